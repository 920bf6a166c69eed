#!/bin/bash
# policies: debian
# long policies: fedora-like
# Everyday compose files whose names begin with a to i: started without mcsd, with mcsd watching, and through the gate.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/corpus_story.sh"
[ $# -gt 0 ] || set -- $(in_corpus a-i)
corpus "$@"
