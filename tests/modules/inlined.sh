#!/bin/sh
# inlined.sh OBJECT: in a named module a member function is only inline when it says so. Fails when a hot_ function in the
# object calls anything but the slow ways. What a compiler puts into a part of its own (.cold) is one.
set -eu
objdump -dr --no-show-raw-insn -C "$1" | awk '
  /^[0-9a-f]+ <hot_[a-z_]*>/ { name = $2; ++seen; next }
  /^[0-9a-f]+ </ { name = "" }
  name != "" && /R_X86_64_(PLT32|PC32|GOTPCREL|REX_GOTPCRELX|GOTPCRELX)/ &&
    !/\.text|_slow|_oversize|reclaim|floor|thread_default|bind|end_lease|__tls_get_addr|_Unwind_Resume|terminate|~scope/ { print name, $0; bad = 1 }
  END { if (seen < 12) { print "only " seen + 0 " hot functions in the object"; bad = 1 }; exit bad }
'
