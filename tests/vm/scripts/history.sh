#!/bin/bash
# A random history of a host; after each step it is checked that mcsd keeps its promises: see ../history.
# `make test-long` runs one short history, always the same; `make fuzz MINUTES=60` runs others for that time.
# `make test` runs none.
# long policies: debian fedora-like
cd "$MCSD_TREE" || exit 125
[ $# -gt 0 ] || set -- --seed 1 --steps 25
exec python3 -B -m tests.vm.history "$@"
