#!/bin/bash
# guest: --no-install --packages
# Hosts unlike ours: SELinux is permissive, Docker does not label containers, the policy has no types for containers.
# mcsd runs on each, and says in one line what is missing.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

restart_docker_with() { # JSON…
  jq "$1" /etc/docker/daemon.json >/root/daemon.json && cat /root/daemon.json >/etc/docker/daemon.json
  systemctl restart docker.service
}
module_of_mcsd() { semodule -lfull | grep -E '^200 +mcsd '; }
container_modules() { # the ones that speak of containers and engines
  semodule -l | grep -xE 'container|docker|podman|crio|kubernetes|rootlesskit|containerd'
}
without_containers() { # a host whose policy never had them: their programs are programs like others
  systemctl stop docker.socket docker.service containerd.service
  # What Docker makes anew at its start, and nobody may give a label without the module.
  rm -rf /var/lib/docker/volumes/backingFsBlockDev /run/docker /run/containerd
  # shellcheck disable=SC2046
  semodule -d $(container_modules) || return
  restorecon -RF /usr/sbin /usr/bin /usr/lib/systemd/system /etc/docker /var/lib/docker /var/lib/containerd || return
  # systemd remembers what its units carry.
  systemctl daemon-reload
}
canonical() { python3 -c 'import selinux, sys; print(selinux.security_check_context(sys.argv[1]))' "$1"; }

comment "a permissive kernel"
ok "SELinux is permissive" setenforce 0
ok "rpm installs mcsd" install_release 1
ok "rpm finds everything as it was packed" verify_packages
ok "its units are enabled and started" enable_units --now
ok "mcsd answers" answers
shows "systemctl status says so, and what to do" 'Status: "SELinux is permissive: it denies nothing \(next: run setenforce 1\)"'
mkdir -p /srv/stranger && echo text >/srv/stranger/file
docker run -d --name stranger --network none -v /srv/stranger:/data bb sleep 100000 >/dev/null
ok "a container's volume is labelled all the same" mcsctl wait --timeout 60 stranger
says "and it is not called isolated" '"isolated": *false' mcsctl --json show stranger
ok "SELinux enforces" setenforce 1
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
ok "and now it is isolated" wait_for 30 is_isolated stranger
docker rm -f stranger >/dev/null
mcsctl restore /srv/stranger >/dev/null

comment "Docker without selinux-enabled"
ok "Docker labels nothing" restart_docker_with '."selinux-enabled" = false'
shows "systemctl status says so, and what to do" 'Status: "Docker: .*does not label containers \(next: set \\?"selinux-enabled\\?": true'
docker run -d --name stranger --network none bb sleep 100000 >/dev/null
ok "mcsd sees a container" wait_for 30 mcsctl show stranger
says "and does not call it isolated" '"isolated": *false' mcsctl --json show stranger
docker rm -f stranger >/dev/null

not "mcsd was denied nothing" denials

comment "a policy without the container module"
ok "mcsd is removed" remove_packages
ok "the policy has no containers" without_containers
refused "it does not know their files" 'Invalid argument' canonical system_u:object_r:container_file_t:s0
ok "Docker starts" systemctl start docker.socket docker.service
ok "and runs a container" docker run -d --name stranger --network none -v /srv/stranger:/data bb sleep 100000
ok "rpm installs mcsd" install_release 1
says "its module is loaded" mcsd module_of_mcsd
ok "its units are enabled and started" enable_units --now
ok "mcsd answers" answers
shows "systemctl status says so, and what to do" 'Status: ".*volumes cannot be labelled.*load the policy.s container module'
says "it runs confined" ':mcsd_t:' context_of_mcsd
# Docker has no domain there that mcsd may connect to; with one, it could label nothing all the same.
says "it has labelled nothing" ':var_t:s0$' label_of /srv/stranger/file
ok "nothing of mcsd has failed" nothing_failed
ok "rpm removes mcsd" remove_packages
not "nothing of it is left in /run" ls -d /run/mcsd
says "the container runs on" text docker exec stranger cat /data/file
plan
