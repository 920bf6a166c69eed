#!/bin/bash
# guest: --own-kernel --no-install --packages
# long policies: debian
# The whole demo again, with the installed packages and the distribution's own kernel: the other stories may run on a
# newer kernel, which alone would not show that the main job, the gate and the packages work here.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

is_packaged() { rpm -qf /usr/sbin/mcsd /usr/bin/mcsctl /usr/libexec/mcsd/mcsd-gate /usr/lib/systemd/system/mcsd.service; }

ok "rpm installs mcsd" install_release 1
ok "its units are enabled" enable_units
says "programs and units are the package's" "^mcsd-$mcsd_version-1" is_packaged
. "$MCSD_TREE/tests/vm/scripts/demo.sh"
