#!/bin/bash
# guest: --no-install --packages
# A stranger's host: no Docker, and Podman's Docker-compatible socket in its place. That mcsd reaches it is claimed,
# and not that it looks after Podman's containers: it does not hear of them in time.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

comment "no Docker at all"
ok "there is no Docker" systemctl mask --now docker.socket docker.service containerd.service
rm -f /run/docker.sock
ok "rpm installs mcsd" install_release 1
ok "rpm finds everything as it was packed" verify_packages
ok "its units are enabled and started" enable_units --now
ok "mcsd answers" answers
shows "systemctl status says so, and what to do" 'Status: ".*[Dd]ocker.*/run/docker.sock.*\(next: '
ok "nothing of mcsd has failed" nothing_failed
ok "mcsd stops when it is told to" systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
says "cleanly" '^success$' systemctl show -P Result mcsd.service

comment "Podman instead"
ok "Podman's socket is there" systemctl start podman.socket
mkdir -p /etc/mcsd/conf.d
printf '[docker]\nurl = "unix:///run/podman/podman.sock"\n' >/etc/mcsd/conf.d/podman.toml
ok "mcsd is told of it" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'

comment "Docker comes back"
rm /etc/mcsd/conf.d/podman.toml
systemctl unmask docker.socket docker.service containerd.service
ok "mcsd follows Docker, which is not there yet" systemctl restart mcsd.service
ok "Docker starts" systemctl start docker.socket docker.service
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
ok "rpm removes mcsd" remove_packages
not "mcsd was denied nothing" denials
plan
