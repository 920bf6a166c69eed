#!/bin/bash
# long policies: debian fedora-like
# Everyday compose files, those whose names begin with j-z: started without mcsd, with it watching, and with the gate.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/corpus_story.sh"
[ $# -gt 0 ] || set -- $(in_corpus j-z)
corpus "$@"
