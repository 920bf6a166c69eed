#!/bin/bash
# guest: --no-install --packages
# A host unlike ours: Podman's Docker-compatible socket instead of Docker.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

with_podman() { docker -H unix:///run/podman/podman.sock "$@"; }
is_gone() { ! mcsctl show stranger; }
complaints() { journalctl -u mcsd.service -o cat --no-pager | grep 'could not be handled'; }

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
mkdir -p /etc/mcsd/conf.d /etc/containers/containers.conf.d
# Podman keeps its events in the journal where it can, and Debian's policy does not let it read them there.
printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/events.conf
ok "Podman's socket is there" systemctl start podman.socket
# Asked for by the service: what a shell has made before, Debian's policy does not let it write.
ok "and there is an image" with_podman import /usr/lib/mcsd-test/bb.tar bb
printf '[docker]\nurl = "unix:///run/podman/podman.sock"\n' >/etc/mcsd/conf.d/podman.toml
ok "mcsd is told of it" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
looks_after with_podman
ok "it is killed" with_podman kill stranger
ok "and removed" with_podman rm stranger
ok "mcsd hears of that" wait_for 30 is_gone
not "and complains of nothing" complaints
labels_come_back

comment "Docker comes back"
rm /etc/mcsd/conf.d/podman.toml
systemctl unmask docker.socket docker.service containerd.service
ok "mcsd follows Docker, which is not there yet" systemctl restart mcsd.service
ok "Docker starts" systemctl start docker.socket docker.service
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
ok "rpm removes mcsd" remove_packages
not "mcsd was denied nothing" denials
plan
