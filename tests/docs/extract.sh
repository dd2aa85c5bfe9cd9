#!/bin/sh
# extract.sh DOCUMENT FOLDER: makes programs of the ```cpp blocks of a document, and prints their names.
#
# A block with a main is a program, FOLDER/NAME_LINE.cpp. All others together are one, FOLDER/NAME.cpp: each is a function
# of its own, which main calls in turn; one that begins with ```cpp top, and the includes and imports of all, stand in
# front of those. The documents leave out the usual includes: they are in prelude.hpp.
set -eu
name=$(basename "$1" .md)
mkdir -p "$2"
awk -v document="$1" -v program="$2/$name" '
  /^```cpp( top)?$/ { inside = 1; top = /top/; at = NR; block = ""; next }
  inside && /^```/ {
    inside = 0
    if (block ~ /int main\(/) {
      file = program "_" at ".cpp"
      printf "%s", block > file
      close(file)
      print file
      next
    }
    while (match(block, /(^|\n)#include [^\n]*/)) {
      heads = heads substr(block, RSTART, RLENGTH) "\n"
      block = substr(block, 1, RSTART - 1) (RSTART > 1 ? "\n" : "") substr(block, RSTART + RLENGTH)
    }
    line = "#line " at + 1 " \"" document "\"\n"
    if (top) tops = tops line block
    else {
      bodies = bodies "static void block_" at "() {\n" line block "}\n"
      calls = calls "  block_" at "();\n"
    }
    next
  }
  inside { block = block $0 "\n" }
  END {
    if (calls == "" && tops == "") exit
    file = program ".cpp"
    printf "#include \"docs/prelude.hpp\"\n%simport buffers;\nimport buffers.testing;\n%s%sint main() {\n%s}\n", heads, tops, bodies, calls > file
    print file
  }
' "$1"
