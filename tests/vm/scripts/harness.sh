#!/bin/bash
# The guest is what all other scripts expect: SELinux enforces, Docker labels containers, mcsd is installed.
. "$TAP"

level() { docker inspect --format '{{.MountLabel}}' "$1" | grep -oE 's0:c[0-9]+,c[0-9]+$'; }
different() { echo "$1 and $2"; [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; }

says "SELinux enforces" '^Enforcing$' getenforce
says "this script runs as a root login would, not as a service" 'unconfined_t|sysadm_t' id -Z
says "Docker labels its containers" 'name=selinux' docker info --format '{{.SecurityOptions}}'

docker run -d --name one --network none bb sleep 1000 >/dev/null
docker run -d --name two --network none bb sleep 1000 >/dev/null
ok "two containers have two pairs" different "$(level one)" "$(level two)"
says "the kernel runs each at its own" "$(level one)$" \
  sh -c "tr -d '\\0' </proc/$(docker inspect --format '{{.State.Pid}}' one)/attr/current"
docker rm -f one two >/dev/null

# A file, because refpolicy keeps silent about directories: container_file_t is a mount point's type there.
echo secret >/srv/denied
chcon -t svirt_sandbox_file_t -l s0:c1,c2 /srv/denied
refused "a file of another pair is denied" 'Permission denied' \
  docker run --name three --network none -v /srv/denied:/loot bb cat /loot
says "the denial is in the audit log" 'avc: +denied.*tcontext=[^ ]*:s0:c1,c2' ausearch -m avc -ts recent
docker rm -f three >/dev/null

ok "mcsd's daemon is there" test -x /usr/sbin/mcsd
says "mcsctl answers" 'usage' mcsctl --help
says "systemd knows the unit" 'mcsd.service' systemctl list-unit-files mcsd.service
says "the daemon's file has its type" ':mcsd_exec_t:' stat -L -c %C /usr/sbin/mcsd
says "mcsd's policy is loaded" '200 mcsd ' sh -c 'semodule -lfull | grep -w mcsd'
plan
