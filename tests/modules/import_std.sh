#!/bin/sh
# import_std.sh BUILD TBB-FOLDER COMPILER FLAG...: a program that says `import std; import buffers;`, with the interfaces
# that BUILD made. CMake's own way to import std changes from version to version; this is the compiler's, for Clang with
# libc++. Exits with 77 where the standard library has no std.cppm.
set -eu
build=$1
tbb=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
header=$(printf '#include <version>' | "$@" -x c++ -M - | grep -o '/[^ ]*/version' | head -1)
std=$(dirname "$(realpath "$header")")/../../../share/libc++/v1/std.cppm
[ -e "$std" ] || { echo "skipped: there is no $std"; exit 77; }
"$@" -Wno-reserved-module-identifier --precompile "$std" -o "$work/std.pcm"
"$@" -fprebuilt-module-path="$build/CMakeFiles/buffers.dir" -fprebuilt-module-path="$work" "$here/import_std.cpp" \
  "$work/std.pcm" "$build/libbuffers.a" -L"$tbb" -Wl,-rpath,"$tbb" -ltbb -o "$work/program"
"$work/program"
