#!/bin/bash
# The first host of a pair: it serves NFS with labels from a disk of its own, and etcd; its containers have directories
# there, and those of the other host, client.sh, have others. Promises 1, 2 and 9, between two kernels that enforce.
set -u
storage=/srv/export
. "$MCSD_TREE/tests/vm/pair/common.sh"

for name in web own team; do mkdir -p $storage/$name; echo "it is $name's" >$storage/$name/file; done
ok "a network" network $server 1
printf '%s\n' "$storage $client(rw,sync,no_subtree_check,no_root_squash,security_label,fsid=0)" >/etc/exports
systemctl unmask nfs-server.service rpcbind.service rpcbind.socket etcd.service
ok "NFS is served" systemctl start nfs-server.service
exportfs -ra
printf '%s\n' ETCD_LISTEN_CLIENT_URLS=http://$server:2379 ETCD_ADVERTISE_CLIENT_URLS=http://$server:2379 ETCD_LOG_LEVEL=error >/etc/default/etcd
ok "so is etcd" systemctl start etcd.service
joined alpha 'root = "/"'
ok "a fleet of two hosts" mcsctl fleet init alpha beta --config /etc/mcsd/fleet.toml
ok "mcsd grants" wait_for 60 grants
ok "the gate is switched on" mcsctl gate enable --reload
ok "a container has a directory of the storage" starts web
says "and reads it" "it is web's" docker exec web cat /data/file
tell "web $(process_level web)"
tell web

ok "the other host has another one" heard own
level=$(cd $storage && ls -d step-own\ *) level=${level#step-own }
says "it carries that container's level here, too" ":$level\$" stat -c %C $storage/own/file
refused "it is refused here, and who has it is named" "own on host beta has '/own' of this storage at $level" starts own
docker rm -f own >/dev/null
comment "a container here is shown it all the same, and left to the kernel"
docker run -d --name spy --label io.mcsd.volume=/data:ignore -v $storage/own:/data bb sleep 100000 >/dev/null
refused "which denies it" 'Permission denied' docker exec spy cat /data/file
docker rm -f spy >/dev/null
ok "a member of a group" starts team "${member[@]}"
ok "writes for the one on the other host" docker exec team sh -c 'echo "from alpha" >/data/alpha'
tell team
ok "which has written, too" heard team-beta
says "and is read" "from beta" docker exec team cat /data/beta

docker rm -f web >/dev/null
ok "the first directory is given up" wait_for 60 bash -c '! mcsctl --json fleet status | jq -e ".store.directories[] | select(.path == \"/web\")"'
says "and carries no level" ':s0$' stat -c %C $storage/web/file
tell free
ok "the other host has it then" heard over
mcsctl fleet status | sed 's/^/# /'
docker rm -f team >/dev/null
not "mcsd, mcsd-fleet and the gate were denied nothing" denials 'scontext=[^ ]*:(mcsd_t|mcsd_fleet_t):|comm=mcsd-gate'
tell end
heard end-beta
plan
