#!/bin/sh
# run.sh PROGRAM: compares what PROGRAM computes, reads and writes with NumPy. 77 where there is none.
set -eu
here=$(dirname "$0")
python=/usr/bin/python3
if ! $python -c 'import numpy' 2> /dev/null; then
  echo "skipped: $python has no NumPy to compare with (Debian: python3-numpy)"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
$python "$here/cases.py" "$folder"
"$1" "$folder"
$python "$here/read_back.py" "$folder"
