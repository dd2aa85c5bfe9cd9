#!/usr/bin/env bash
# Brings this machine what building buffers needs, and does nothing where it is all there.
#
#   cmake/setup.sh [tsan]
#
# On Debian 12 it installs the compiler and the libraries as packages, and builds oneTBB and google-benchmark from
# Debian's sources with the compiler and the standard library that buffers itself is built with: an exception can only
# leave a oneTBB task when libtbb knows the same standard library. They go to build/deps; with the word `tsan`, a second
# time and instrumented to build/deps-tsan. The machine's own apt sources stay as they are.
#
# BUFFERS_DEPS names another place than build/ for both, to share them between checkouts.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${BUFFERS_DEPS:-$root/build}
needs="buffers needs Clang 22 with libc++ 19 (or another compiler and standard library that have C++20 modules and <mdspan>), CMake 3.28 or newer, and Ninja 1.11 or newer"

say() { printf '\033[1m-- %s\033[0m\n' "$*" >&2; }
refuse() { printf '%s; %s.\n' "$needs" "$*" >&2; exit 1; }

packages=(clang-22 clang-tools-22 libclang-rt-22-dev libc++-19-dev libc++abi-19-dev cmake ninja-build
          libmsgsl-dev libboost1.83-dev libopenblas-dev python3-numpy dpkg-dev binutils
          valgrind)
# Peers of the benchmarks, each left out of its table where it cannot be installed, and a program whose allocations they
# repeat.
peers=(libmimalloc-dev libjemalloc-dev libfoonathan-memory-dev libboost-container1.83-dev libeigen3-dev
       libxtensor-dev libxsimd-dev sqlite3)

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }
recent_cmake() { cmake --version 2>/dev/null | awk 'NR == 1 { split($3, v, "."); exit !(v[1] > 3 || v[2] >= 28) }'; }

missing() {
  local package
  for package in "$@"; do
    case $package in
      cmake) recent_cmake || echo cmake ;;
      *) installed "$package" || echo "$package" ;;
    esac
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else refuse "to install it here, run this as root or install sudo"
  fi
}

# Each of the machine's archives with its release; nothing before the first `apt-get update`.
archives() { apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages'; }

# apt with sources of our own, made from the machine's: its archive, backports, and the source packages.
apt_options=()
apt_view() {
  [ ${#apt_options[@]} -gt 0 ] && return
  mkdir -p "$build/apt/lists/partial"
  apt_options=(-q -o "Dir::Etc::sourcelist=$build/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$build/apt/lists")
  archives | grep -q . || as_root apt-get update >&2
  archives |
    awk '$2 ~ /^bookworm(-updates|-security)?$/ && !seen[$0]++ { print "deb", $1, $2, "main" }
         $2 == "bookworm" && !done++ { print "deb", $1, "bookworm-backports main"; print "deb-src", $1, "bookworm main" }' \
    > "$build/apt/sources.list"
  grep -q backports "$build/apt/sources.list" || refuse "no Debian 12 archive is among this machine's apt sources"
  as_root apt-get "${apt_options[@]}" update >&2
}

# Debian has room for one version of libc++'s runtime at a time: an older one makes way, and nothing else does.
apt_install() {
  apt_view
  local options=(install -y --no-install-recommends -t bookworm-backports) removed
  removed=$(apt-get "${apt_options[@]}" -s "${options[@]}" "$@" | awk '$1 == "Remv" { print $2 }')
  removed=$(grep -vxE '(libc\+\+1|libc\+\+abi1|libunwind)-[0-9]+' <<< "$removed" || true)
  [ -z "$removed" ] || { say "installing $* would remove" $removed; return 1; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" "${options[@]}" "$@" >&2
}

install_packages() {
  local wanted
  mapfile -t wanted < <(missing "${packages[@]}")
  if [ ${#wanted[@]} -gt 0 ]; then
    . /etc/os-release 2>/dev/null || ID=unknown
    [ "${ID:-}${VERSION_ID:-}" = debian12 ] || refuse "this set-up can install them on Debian 12 only"
    say "installing ${wanted[*]}"
    apt_install "${wanted[@]}" || refuse "the packages above could not be installed"
  fi
  mapfile -t wanted < <(missing "${peers[@]}")
  local peer
  for peer in "${wanted[@]}"; do
    [ -e "$build/apt/without-$peer" ] && continue
    say "installing $peer for the benchmarks"
    apt_install "$peer" || { say "$peer is not to be had: the benchmarks go without it"; : > "$build/apt/without-$peer"; }
  done
}

# build_library FOLDER SOURCE-PACKAGE SANITIZER CMAKE-OPTION...: builds a Debian source package into build/FOLDER, once.
build_library() {
  local folder=$1 source=$2 sanitizer=$3 stamp="$build/$1/.$2" work
  shift 3
  [ -e "$stamp" ] && return
  say "building $source${sanitizer:+ with -fsanitize=$sanitizer} into $build/$folder"
  apt_view
  work=$(mktemp -d)
  ( cd "$work"
    apt-get "${apt_options[@]}" source "$source" >&2
    cmake -S "$source"-*/ -B made -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$build/$folder" \
      -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DBUFFERS_SANITIZER="$sanitizer" \
      -DCMAKE_TOOLCHAIN_FILE="$root/cmake/toolchains/clang-libcxx.cmake" "$@"
    cmake --build made --target install ) > "$work/log" 2>&1 || { tail -40 "$work/log" >&2; exit 1; }
  rm -rf "$work"
  : > "$stamp"
}

build_libraries() {
  # libtbb finds and uses libtbbmalloc where that lies beside it; how it synchronises, ThreadSanitizer does not follow.
  build_library "$1" onetbb "$2" -DTBB_TEST=OFF -DTBB_STRICT=OFF -DTBBMALLOC_BUILD="$([ "$2" = thread ] && echo OFF || echo ON)"
  build_library "$1" benchmark "$2" -DBENCHMARK_ENABLE_TESTING=OFF -DBENCHMARK_ENABLE_WERROR=OFF -DBUILD_SHARED_LIBS=OFF \
    "-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG -Wno-c2y-extensions" \
    -DGENERIC_LIB_VERSION=1.7.1 -DGENERIC_LIB_SOVERSION=1 # Debian's tree has no git tag to read them from
}

command -v dpkg-query >/dev/null || refuse "this set-up can install them on Debian 12 only"
mkdir -p "$build"
install_packages
build_libraries deps ""
[ "${1:-}" != tsan ] || build_libraries deps-tsan thread
