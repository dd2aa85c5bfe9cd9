#!/usr/bin/env bash
# commands.sh DOCUMENT BUILD: runs the commands (```sh) and projects (```cmake) of a document as a reader would, in order.
#
# BUILD is the folder of the preset `release`. DIR stands for a folder to install to, CHECKOUT for ours. A project's main.cpp
# is the document's first program; from there on, commands run in the project's folder. Three commands are only looked at:
# `examples/run` and `tests/run`, which install packages and call this; ctest lists; vcpkg needs a network.
set -euo pipefail
document=$1 build=$2
name=$(basename "$document" .md)
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$build/tests/commands/$name
rm -rf "$work" && mkdir -p "$work"
export PATH=$build/examples:$build/examples/buffers-trace:$PATH
unset CMAKE_PREFIX_PATH # what a command needs, it says

ctest() { command ctest -N "$@"; }
vcpkg() {
  [ "$1 $2" = "install buffers" ]
  local argument
  for argument in "${@:3}"; do
    case $argument in
      --overlay-ports=*) [ -f "${argument#*=}/buffers/portfile.cmake" ] ;;
      --overlay-triplets=*) overlay=${argument#*=} ;;
      --classic) ;;
      --triplet=*) [ -f "$overlay/${argument#*=}.cmake" ] ;;
      *) return 1 ;;
    esac
  done
}
run() {
  case $1 in
    examples/run* | tests/run*) [ -x "$checkout/${1%% *}" ] ;;
    buffers-trace*) (cd "$work" && eval "$1") ;;
    *) eval "$1" ;;
  esac
}

# Every block as a file, NUMBER.KIND.
awk -v work="$work" '
  /^```(sh|cmake|cpp)$/ { kind = substr($0, 4); file = sprintf("%s/%02d.%s", work, ++count, kind); next }
  /^```/ { kind = ""; next }
  kind != "" { print > file }
' "$document"

cd "$checkout"
ran=0 project=$work/project
for block in "$work"/*.sh "$work"/*.cmake; do [ ! -e "$block" ] || echo "$block"; done | sort > "$work/blocks"
while read -r block; do
  case $block in
    *.sh)
      while read -r line; do
        line=${line//CHECKOUT/$checkout}
        line=${line//DIR/$work/prefix}
        printf '$ %s\n' "$line"
        run "$line"
        ran=$((ran + 1))
      done < "$block"
      ;;
    *.cmake)
      mkdir -p "$project"
      cp "$block" "$project/CMakeLists.txt"
      grep -l 'int main' "$work"/*.cpp | head -1 | xargs -I{} cp {} "$project/main.cpp"
      cd "$project"
      ;;
  esac
done < "$work/blocks"
echo "$ran commands"
[ "$ran" -gt 0 ]
