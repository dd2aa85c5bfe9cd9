#!/bin/sh
# import_std.sh BUILD TBB-FOLDER COMPILER FLAG...: a program that says `import std; import buffers;`, with the interfaces
# that BUILD made. CMake's own way to import std changes from version to version; these are the compilers', Clang's with
# libc++ and GCC's. Exits with 77 where the standard library brings no module.
set -eu
build=$1
tbb=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
interfaces=$build/CMakeFiles/buffers.dir
header=$(printf '#include <version>' | "$@" -x c++ -M - | grep -o '/[^ ]*/version' | head -1)
headers=$(dirname "$(realpath "$header")")

if [ -e "$interfaces/buffers.gcm" ]; then
  std=$headers/bits/std.cc
else
  std=$headers/../../../share/libc++/v1/std.cppm
fi
[ -e "$std" ] || { echo "skipped: there is no $std"; exit 77; }

if [ -e "$interfaces/buffers.gcm" ]; then
  for file in "$interfaces"/*.gcm; do
    basename "$file" .gcm | sed "s|-|:|; s|\$| $file|"  # the partition buffers.core:errors is buffers.core-errors.gcm
  done > "$work/map"
  echo "std $work/std.gcm" >> "$work/map"
  cd "$build"  # an interface knows by a path from here what it imports
  set -- "$@" -fmodules -fmodule-mapper="$work/map"
  object=$work/std.o
  "$@" -c "$std" -o "$object"
else
  object=$work/std.pcm
  "$@" -Wno-reserved-module-identifier --precompile "$std" -o "$object"
  set -- "$@" -fprebuilt-module-path="$interfaces" -fprebuilt-module-path="$work"
fi
"$@" "$here/import_std.cpp" "$object" "$build/libbuffers.a" -L"$tbb" -Wl,-rpath,"$tbb" -ltbb -o "$work/program"
"$work/program"
