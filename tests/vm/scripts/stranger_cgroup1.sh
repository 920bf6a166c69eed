#!/bin/bash
# guest: --own-kernel --no-install --packages --boot "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
# A host unlike ours: control groups of version 1, as on older distributions. The main job works all the same.
# It needs the distribution's own kernel: the User Mode Linux kernel has no memory controller of version 1.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

says "this host has control groups of version 1" '^1$' docker info --format '{{.CgroupVersion}}'
says "SELinux enforces" Enforcing getenforce
ok "rpm installs mcsd" install_release 1
ok "its units are enabled and started" enable_units --now
ok "mcsd answers" answers
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
ok "nothing of mcsd has failed" nothing_failed
says "it runs confined" ':mcsd_t:' context_of_mcsd
looks_after docker
ok "the container goes" docker rm -f stranger
labels_come_back
ok "Docker starts containers through the gate" mcsctl gate enable --reload
says "which has a volume ready before the first instruction" text \
  docker run --rm --network none -v /srv/stranger:/data bb cat /data/file
ok "rpm removes mcsd" remove_packages
says "Docker starts containers all the same" runc docker info --format '{{.DefaultRuntime}}'
not "mcsd was denied nothing" denials
plan
