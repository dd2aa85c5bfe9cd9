#!/bin/sh
# vectors.sh OBJECT: a compiler may give up on vectors without a word, and then a loop takes several times as long. Fails
# unless the loops in the object compute with vectors of at least 32 bytes.
set -eu
objdump -d --no-show-raw-insn -C "$1" | awk '
  /^[0-9a-f]+ </ { loop = /run_(wide|portably)/ ? $0 : "" }
  function expect(operation, instruction) {
    wanted[operation] = instruction
    if (loop ~ operation && $0 ~ instruction ".*%[yz]mm") found[operation] = 1
  }
  {
    expect("square_root", "vsqrtps")
    expect("convert_to", "vcvttps2dq")
    expect("smaller", "v(min|cmp[a-z]*)ps")
    expect("columns_reduction", "vp(maxs|cmpgt)d")
    expect("places_in_rows", "vcmp[a-z]*ps")
  }
  END {
    for (operation in wanted)
      if (!(operation in found)) { print "no " wanted[operation] " of 32 bytes in the loop of " operation; bad = 1 }
    exit bad
  }
'
