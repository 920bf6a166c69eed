#!/bin/bash
# The second host of a pair: it mounts what server.sh serves.
set -u
storage=/mnt/nfs
. "$MCSD_TREE/tests/vm/pair/common.sh"

mkdir -p $storage
ok "a network" network $client 2
# Without caches, as each host asks at once what the other has done.
ok "the storage is mounted" wait_for 120 mount -t nfs4 -o vers=4.2,sec=sys,noac,lookupcache=none $server:/ $storage
says "with labels" '[ ,]seclabel,' grep " $storage " /proc/self/mountinfo
ok "the other host has a directory there" heard web
level=$(cd $storage && ls -d step-web\ *) level=${level#step-web }
says "which carries its container's level here, too" ":$level\$" stat -c %C $storage/web/file
joined beta ''
ok "mcsd grants" wait_for 60 grants
ok "the gate is switched on" mcsctl gate enable --reload
refused "the directory is refused here, and who has it is named" "web on host alpha has '/web' of this storage at $level" starts web
docker rm -f web >/dev/null
comment "a container here is shown it all the same, and left to the kernel"
docker run -d --name spy --label io.mcsd.volume=/data:ignore -v $storage/web:/data bb sleep 100000 >/dev/null
refused "which denies it" 'Permission denied' docker exec spy cat /data/file
docker rm -f spy >/dev/null
ok "another directory" starts own
says "is read" "it is own's" docker exec own cat /data/file
not "their levels are apart" test "$level" = "$(process_level own)"
tell "own $(process_level own)"
tell own

ok "the other host has a member of a group" heard team
ok "a member here" starts team "${member[@]}"
says "reads what that one has written" "from alpha" docker exec team cat /data/alpha
ok "and writes" docker exec team sh -c 'echo "from beta" >/data/beta'
tell team-beta

ok "the other host has given up its directory" heard free
ok "a container here has it" wait_for 30 eval '{ docker rm -f web; starts web; } >/dev/null 2>&1'
says "and reads it" "it is web's" docker exec web cat /data/file
tell over
mcsctl fleet status | sed 's/^/# /'
heard end
docker rm -f web own team >/dev/null
ok "all is given up" wait_for 60 bash -c '[ "$(mcsctl --json fleet status | jq ".store.directories | length")" = 0 ]'
says "every label is what it was" '^:s0 :s0 :s0 $' bash -c "stat -c %C $storage/{web,own,team}/file | sed 's/.*_t//' | tr '\n' ' '"
not "mcsd, mcsd-fleet and the gate were denied nothing" denials 'scontext=[^ ]*:(mcsd_t|mcsd_fleet_t):|comm=mcsd-gate'
tell end-beta
plan
