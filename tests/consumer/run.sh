#!/bin/sh
# run.sh BUILD CMAKE-OPTION...: installs BUILD into a folder, moves that, builds the project beside this script against it
# in Debug and Release, and runs what it built.
set -eu
build=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/installed" > /dev/null
mv "$work/installed" "$work/moved"
if grep -rn "$build" "$work/moved" --include='*.cmake'; then
  echo "the package names the folder that it was built in" >&2
  exit 1
fi
for configuration in Release Debug; do
  cmake -S "$here" -B "$work/$configuration" -G Ninja -DCMAKE_BUILD_TYPE=$configuration -Dbuffers_DIR="$work/moved/lib/cmake/buffers" "$@"
  cmake --build "$work/$configuration"
  "$work/$configuration/consumer"
  "$work/$configuration/consumer_of_one_room"
  "$work/$configuration/consumer_of_testing"
done
# The program that is installed with it, where the examples were built.
[ ! -x "$work/moved/bin/buffers-trace" ] || "$here/../../examples/tests/buffers-trace" "$work/moved/bin/buffers-trace"
# Another generator is refused with a sentence.
if cmake -S "$here" -B "$work/make" -G "Unix Makefiles" -Dbuffers_DIR="$work/moved/lib/cmake/buffers" "$@" > "$work/log" 2>&1; then
  echo "a generator that cannot build modules was accepted" >&2
  exit 1
fi
tr -s '\n ' ' ' < "$work/log" | grep -q "only the Ninja generators build it: cmake -G Ninja, not Unix Makefiles"
