#!/bin/sh
# exports.sh SOURCE: each name that the modules export is in exports.cpp.
set -eu
bad=0
for name in $("$1/docs/make_reference.py" --names); do
  grep -q "buffers::$name\b" "$1/tests/modules/exports.cpp" || { echo "exports.cpp does not use buffers::$name"; bad=1; }
done
exit $bad
