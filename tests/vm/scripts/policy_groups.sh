#!/bin/bash
# mcsd_groups.cil: a file that a container creates in a shared volume can be read by the other containers at once.
# Without the module, on a policy like refpolicy, it carries all categories of the process that created it until mcsd
# corrects the label.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"
tree=/usr/src/mcsd

level_of() { ls -Z "$1" | cut -d' ' -f1 | cut -d: -f4-; }
is_at() { [ "$(level_of "$1")" = "$2" ]; } # PATH LEVEL
member() { # NAME: a container that shares /srv/group
  docker create --name "$1" --network none --label io.mcsd.volume=/data:shared -v /srv/group:/data bb \
    sh -c 'while :; do sleep 1; done' && mcsctl wait --timeout 60 "$1" && docker start "$1"
}
writes() { docker exec "$1" sh -c "echo from $1 >/data/$2"; }
reads() { docker exec "$1" cat "/data/$2"; }

mkdir -p /srv/group
ok "mcsd runs" systemctl start mcsd.service
ok "one container shares a directory" member one
ok "so does another" member two
if seinfo --default 2>/dev/null | grep -q 'default_range file target low'; then
  comment "this policy gives new files their directory's level by itself"
else
  ok "without the module a container makes a file" writes one before
  ok "which mcsd gives the directory's level" wait_for 10 is_at /srv/group/before s0
  says "the other container reads it then" 'from one' reads two before
  systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
  ok "without mcsd as well, a container makes another" writes one unwatched
  not "and the other container is denied" reads two unwatched
  cp "$tree/selinux-policy/mcsd_groups.cil" /tmp  # where semodule may read
  ok "the module is loaded" semodule -X 200 -i /tmp/mcsd_groups.cil
  comment "mcsd is still stopped: what follows is the policy's doing"
fi
ok "a container makes a file" writes one after
says "it has the directory's level" '^s0$' level_of /srv/group/after
says "the other container reads it" 'from one' reads two after
ok "and writes one" writes two back
says "which the first reads" 'from two' reads one back
if ! systemctl is-active -q mcsd.service; then
  ok "mcsd starts" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
  ok "and puts right what was made while it was not there" wait_for 20 is_at /srv/group/unwatched s0
fi
docker rm -f one two >/dev/null
plan
