#!/bin/sh
# run.sh BUILD WAY [CMAKE-OPTION...]: builds the project beside this script against the library and runs its programs.
#
#   installed    the package installed from BUILD, in a folder that was moved afterwards
#   built        the package that lies in BUILD itself
#   sanitized    the same; its options ask for AddressSanitizer, which the package may have been built without, and for
#                floating-point arithmetic that is not IEEE's
#   subdirectory the sources, as shared libraries in Debug, by add_subdirectory; then the package that this project installs,
#                in Release
#   refused      no programs: generators, compilers and libraries that cannot work are refused with a sentence
set -eu
build=$1
way=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# install BUILD: leaves a package in $package, and nothing in the folder that it was installed to.
install() {
  cmake --install "$1" --prefix "$work/installed" > /dev/null
  mv "$work/installed" "$work/moved"
  package=$work/moved/lib/cmake/buffers
  if grep -rn -e "$1" -e "$here" -e "$work" "$work/moved" --include='*.cmake'; then
    echo "the package names a folder that it was built in" >&2
    exit 1
  fi
}

# run FOLDER CMAKE-OPTION...
run() {
  folder=$work/$1
  shift
  cmake -S "$here" -B "$folder" -G Ninja "$@"
  cmake --build "$folder" > "$folder/log" 2>&1 || { cat "$folder/log" && return 1; }
  cat "$folder/log"
  if grep -q warning: "$folder/log"; then return 1; fi # the project's own options ask for all of them
  ctest --test-dir "$folder" --output-on-failure --no-tests=error
}

# refused SENTENCE CMAKE-OPTION...: the project is not configured, and says why.
refused() {
  sentence=$1
  shift
  rm -rf "$work/refused"
  if cmake -S "$here" -B "$work/refused" -Dbuffers_DIR="$package" "$@" > "$work/log" 2>&1; then
    echo "accepted, though: $sentence" >&2
    exit 1
  fi
  tr -s '\n ' ' ' < "$work/log" | grep -q "$sentence" || { cat "$work/log" >&2; exit 1; }
  echo "refused: $sentence"
}

case $way in
  installed)
    install "$build"
    run installed -Dbuffers_DIR="$package" "$@"
    # The program that comes with it finds its libraries, and the one that it preloads.
    if [ -e "$build/examples/buffers-trace/buffers-trace" ]; then
      "$work/moved/bin/buffers-trace" record -o "$work/trace" true
      "$work/moved/bin/buffers-trace" info "$work/trace"
    fi
    ;;
  built | sanitized) run "$way" -Dbuffers_DIR="$build" -DCONSUMER_POLICIES=3.20 "$@" ;;
  subdirectory)
    run subdirectory -DBUFFERS_SOURCE="$here/../.." -DBUILD_SHARED_LIBS=ON -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
      -DCMAKE_VISIBILITY_INLINES_HIDDEN=ON -DCONSUMER_POLICIES=3.20 -DCMAKE_BUILD_TYPE=Debug \
      "-DCONSUMER_OPTIONS=-Wall;-Wextra;-Wpedantic;-Werror" "$@"
    install "$work/subdirectory"
    run shared -Dbuffers_DIR="$package" -DCMAKE_BUILD_TYPE=Release "$@"
    ;;
  refused)
    install "$build"
    refused 'requested version "0.2"' -G Ninja -DWANTED_VERSION=0.2 "$@" # before 1.0 a minor version may break
    refused "only the Ninja generators build it: cmake -G Ninja, not Unix Makefiles" -G "Unix Makefiles" "$@"
    refused "CXX is not among the languages of the project" -G Ninja -DCONSUMER_LANGUAGE=C "$@"
    refused "CMAKE_CXX_STANDARD is 20: set it to 23 before find_package" -G Ninja -DCMAKE_CXX_STANDARD=20 "$@"
    refused "buffers has no component tensor" -G Ninja -DWANTED_COMPONENTS=tensor "$@"
    refused "its errors are exceptions, which -fno-exceptions leaves out" -G Ninja -DCONSUMER_FLAGS=-fno-exceptions "$@"
    refused "its errors are exceptions, which -fno-exceptions leaves out" -G Ninja -DCONSUMER_OPTIONS=-fno-exceptions "$@"
    refused "it needs a standard library with <mdspan>" -G Ninja -DCMAKE_CXX_FLAGS=-nostdinc++ "$@"
    # With other options the same folder is asked again.
    cmake -S "$here" -B "$work/refused" -UCMAKE_CXX_FLAGS > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    old=$(g++ -dumpfullversion 2> /dev/null || echo 99)
    if [ "${old%%.*}" -lt 16 ]; then
      refused "it needs Clang 20 or GCC 16, or newer, not GNU $old" -G Ninja -DCMAKE_CXX_COMPILER=g++
      # Clang takes the library of the system's GCC, unless told otherwise.
      if command -v clang++-22 > /dev/null; then
        refused "it needs a standard library with <mdspan>" -G Ninja -DCMAKE_CXX_COMPILER=clang++-22
      fi
    fi
    # As if the package were another library's.
    sed -i 's/STREQUAL "lib[a-z+]*"/STREQUAL "libother"/; s/was built with lib[a-z+]*/was built with libother/' "$package/buffersConfig.cmake"
    refused "this package was built with libother, and a program with lib[a-z+]* cannot use it" -G Ninja "$@"
    ;;
esac
