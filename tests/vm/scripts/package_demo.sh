#!/bin/bash
# guest: --own-kernel --no-install --packages
# long policies: debian
# The whole demo once more, with what rpm has installed, and on the distribution's own kernel: the main job, the gate
# and the package are never shown by a newer kernel alone.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

is_packaged() { rpm -qf /usr/sbin/mcsd /usr/bin/mcsctl /usr/libexec/mcsd/mcsd-gate /usr/lib/systemd/system/mcsd.service; }

ok "rpm installs mcsd" install_release 1
ok "its units are enabled" enable_units
says "programs and units are the package's" "^mcsd-$mcsd_version-1" is_packaged
. "$MCSD_TREE/tests/vm/scripts/demo.sh"
