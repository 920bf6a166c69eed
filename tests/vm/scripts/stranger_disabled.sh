#!/bin/bash
# guest: --no-install --packages --boot security=none
# A host unlike ours: SELinux is disabled in the kernel. mcsd can be installed, runs, says so, and labels nothing.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

labels() { getfattr --absolute-names -R -n security.selinux "$1" 2>/dev/null | sort; }

says "SELinux is disabled" Disabled getenforce
ok "rpm installs mcsd" install_release 1
ok "rpm finds everything as it was packed" verify_packages
ok "its units are enabled and started" enable_units --now
ok "mcsd answers" answers
shows "systemctl status says what is missing, and what to do" \
  'Status: "SELinux is disabled in the kernel.*\(next: set SELINUX=enforcing in /etc/selinux/config, take selinux=0 off'
mkdir -p /srv/stranger && echo text >/srv/stranger/file
labels /srv/stranger >/root/before
ok "a container runs" docker run -d --name stranger --network none -v /srv/stranger:/data bb sleep 100000
refused "nobody waits for a volume that can have no label" 'SELinux is disabled in the kernel' mcsctl wait --timeout 60 stranger
says "mcsd looks after the container all the same" '"settled": *true' mcsctl --json show stranger
says "and does not call it isolated" '"isolated": *false' mcsctl --json show stranger
ok "nothing is labelled" diff /root/before <(labels /srv/stranger)
ok "nothing of mcsd has failed" nothing_failed
ok "mcsd stops" systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
ok "rpm removes it" remove_packages
not "nothing of it is left in /run" ls -d /run/mcsd
says "the container runs on" text docker exec stranger cat /data/file
plan
