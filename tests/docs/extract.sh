#!/bin/sh
# extract.sh DOCUMENT FOLDER: writes each ```cpp block of a document into FOLDER/NAME_LINE.cpp, and prints the names.
set -eu
name=$(basename "$1" .md)
mkdir -p "$2"
awk -v prefix="$2/$name" '
  /^```cpp$/ { file = prefix "_" NR ".cpp"; print file; next }
  /^```/ { if (file != "") close(file); file = ""; next }
  file != "" { print > file }
' "$1"
