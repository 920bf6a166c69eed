#!/bin/bash
# long policies: debian fedora-like
# Everyday compose files whose names begin with j to z: started without mcsd, with mcsd watching, and through the gate.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/corpus_story.sh"
[ $# -gt 0 ] || set -- $(in_corpus j-z)
corpus "$@"
