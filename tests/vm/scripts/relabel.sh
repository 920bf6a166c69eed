#!/bin/bash
# The relabel engine's test suites on a kernel with SELinux: attacks, kills, errors, exact undo. Promises 3 to 6 and 9.
# They run with the C loop, which packages have; `make test-host` runs them with the Python loop as well.
set -u
. "$TAP"
cd /usr/src/mcsd || exit 125
cp /var/cache/mcsd-built/*.so mcsd/relabel/native/
mkdir -p /var/tmp/relabel

suite() { # NAME OPTIONS…: everything passes, and nothing is left out
  local name=$1; shift
  python3 -m pytest -q -n 2 -k native -p no:cacheprovider --basetemp "/var/tmp/relabel/$name" "tests/host/test_relabel_$name.py" "$@"
}
denied() { ausearch -m avc,selinux_err -ts boot 2>/dev/null | grep -E 'comm="(python3|pytest)'; }

says "SELinux enforces" Enforcing getenforce
says "the C loop is built here" _walk ls mcsd/relabel/native
says "whoever owns the tree: links, renames, mounts and hard links while it is walked" ' passed' suite attacks
says "labels, originals, undo" ' passed' suite engine
says "whatever the file system answers" ' passed' suite errors
says "killed anywhere, in both directions" ' passed' suite kill
says "undo is exact over generated trees, while others create, delete and rename" ' passed' suite roundtrip
says "volumes are judged by what was opened" ' passed' suite examine
not "none of it was denied to the suites" denied
rm -r /var/tmp/relabel
plan
