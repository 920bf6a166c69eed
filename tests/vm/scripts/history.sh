#!/bin/bash
# A random history of a host, whose promises are looked at after each step: see ../history. In make test it is always
# the same one; `make fuzz MINUTES=60` runs others, for so long.
# long policies: debian fedora-like
cd "$MCSD_TREE" || exit 125
[ $# -gt 0 ] || set -- --seed 1 --steps 25
exec python3 -B -m tests.vm.history "$@"
