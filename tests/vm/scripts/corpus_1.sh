#!/bin/bash
# policies: debian
# long policies: fedora-like
# Everyday compose files, those whose names begin with a-i: started without mcsd, with it watching, and with the gate.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/corpus_story.sh"
[ $# -gt 0 ] || set -- $(in_corpus a-i)
corpus "$@"
