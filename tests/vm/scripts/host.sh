#!/bin/bash
# One host, several holders of levels: a container of another engine, levels chosen by hand, reservations, groups, and
# one directory claimed by two containers. Promises 1, 2 and 8, as the kernel enforces them.
set -u
. "$TAP"
tree=/usr/src/mcsd

field() { mcsctl --json show "$1" | jq -r ".$2"; }
wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
create() { docker create --name "$1" --network none "${@:2}" bb sleep 100000; }
runs() { create "$@" && mcsctl wait --timeout 60 "$1" && docker start "$1"; } # its volumes are ready, and it runs
remove() { docker rm -f "$@"; }
told() { # MESSAGE_ID FIELD=VALUE…
  journalctl -q -o cat -u mcsd.service "MESSAGE_ID=$1" "${@:2}" | grep .
}
times_labelled() { told 8f570f509e124ccdb8ea2a54478901b4 "MCSD_VOLUME=$1" | wc -l; }
reserved() { mcsctl pairs --state reserved | grep -F "$1"; }
nobody_holds() { mcsctl pairs; [ "$(mcsctl --json pairs | jq '.items | length')" = 0 ]; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }
conflict=f12adb90adbc472c9a5a033ea0a9a683

# The stranger is a container that runc runs without Docker, as Podman and CRI-O have it do: Docker's list of
# pairs does not know it. With Podman itself the guest's image would grow by half for the same process.
stranger_id=$(printf '%064d' 7)
stranger() {
  local config=/srv/stranger/config.json
  mkdir -p /srv/stranger/rootfs
  docker export "$(docker create --network none bb true)" | tar -C /srv/stranger/rootfs -x
  docker container prune -f
  chcon -R -t container_file_t -l s0:c5,c6 /srv/stranger/rootfs
  runc spec -b /srv/stranger
  jq '.process.args = ["sleep", "100000"] | .process.terminal = false
    | .process.selinuxLabel = "system_u:system_r:container_t:s0:c5,c6"
    | .linux.mountLabel = "system_u:object_r:container_file_t:s0:c5,c6"' $config >$config.new
  mv $config.new $config
  runc run -d -b /srv/stranger --pid-file /run/stranger.pid "$stranger_id" >/dev/null 2>&1
}

mkdir -p /etc/mcsd/conf.d
printf '[volumes]\nlinger = "2s"\n' >/etc/mcsd/conf.d/host.toml
places=(/srv/mine /srv/low /srv/high /srv/web /srv/team /srv/own /srv/both)
for place in "${places[@]}"; do mkdir -p "$place"; echo "it is ${place#/srv/}'s" >"$place/file"; done
labels_below "${places[@]}" >/root/before
# What is made in a shared volume takes the volume's level: on some policies only with this module.
load_groups() { cp "$tree/selinux-policy/mcsd_groups.cil" /tmp && semodule -X 200 -i /tmp/mcsd_groups.cil; }
seinfo --default 2>/dev/null | grep -q 'default_range file target low' || ok "mcsd_groups is loaded" load_groups

comment "a stranger: a container of another engine"
ok "it runs" stranger
says "at a level that Docker may give away at any time" ':container_t:s0:c5,c6$' \
  cat "/proc/$(cat /run/stranger.pid)/attr/current"
ok "systemd starts mcsd" systemctl start mcsd.service
says "mcsctl pairs says who holds the level" "s0:c5,c6 +foreign +process $(cat /run/stranger.pid)" mcsctl pairs
ok "a Docker container is put at the same level" create clash --security-opt label=level:s0:c5,c6 -v /srv/mine:/data
refused "its volume is not labelled, because of that process" "process $(cat /run/stranger.pid)" \
  mcsctl wait --timeout 60 clash
says "it carries what it did" ':var_t:s0' ls -dZ /srv/mine /srv/mine/file
says "mcsctl containers lists it as in conflict" '^clash .*s0:c5,c6' mcsctl containers --conflicts
says "and in the journal" "process $(cat /run/stranger.pid)" told $conflict MCSD_CONTAINER_NAME=clash
remove clash >/dev/null
runc delete -f "$stranger_id"

comment "two levels chosen by hand, one of which dominates the other"
ok "one is first" runs low --security-opt label=level:s0:c10,c20 -v /srv/low:/data
ok "the other comes after it" create high --security-opt label=level:s0:c10,c20,c30 -v /srv/high:/data
refused "the second one's volume is not labelled, and the first is named" 'low' mcsctl wait --timeout 60 high
says "it carries what it did" ':var_t:s0' ls -dZ /srv/high
says "the first is in conflict with the second" '"high"' mcsctl --json show low
says "and the other way round" '"low"' mcsctl --json show high
says "the journal has it of the first" 'low at s0:c10,c20 is not separate from high' told $conflict MCSD_CONTAINER_NAME=low
says "and of the second" 'high at s0:c10,c20,c30 is not separate from low' told $conflict MCSD_CONTAINER_NAME=high
remove low high >/dev/null

comment "a reservation: a level that outlives its containers"
says "mcsctl reserve prints what to hand to Docker" '--security-opt label=level:s0:c[0-9]+,c[0-9]+' \
  script -qec 'mcsctl reserve web' /dev/null
web=$(mcsctl reserve web)
ok "the same again for the same name" test -n "$web"
ok "a container is made with it" runs web --security-opt "label=level:$web" -v /srv/web:/data
says "its level is assigned, not adopted" assigned field web origin
ok "it is removed" remove web
ok "the reservation has its level back" wait_for 20 reserved "$web"
ok "and made again" runs web --security-opt "label=level:$web" -v /srv/web:/data
says "it has the same level" "^$web\$" field web level
says "it reads its volume" "it is web's" docker exec web cat /data/file
says "which was walked once, for the first of the two" '^1$' times_labelled /srv/web
refused "what is in use cannot be released" 'in use by container web' mcsctl release web
remove web >/dev/null
ok "without a container it can" wait_for 20 mcsctl release web

comment "a group: two share what a third cannot read"
one=$(mcsctl reserve one --group team) two=$(mcsctl reserve two --group team)
ok "members' levels have four categories, and differ: $one and $two" test "$one" != "$two"
member() { runs "$1" --security-opt "label=level:$2" --label io.mcsd.group=team --label io.mcsd.volume=/data:group -v /srv/team:/data; }
ok "one is made" member one "$one"
ok "two is made" member two "$two"
says "the volume carries the group's pair, and nobody's own" ':container_file_t:s0:c[0-9]+,c[0-9]+ ' ls -dZ /srv/team
says "one reads it" "it is team's" docker exec one cat /data/file
says "two reads it" "it is team's" docker exec two cat /data/file
ok "one makes a file" docker exec one sh -c 'echo of one >/data/new'
says "which two reads" 'of one' docker exec two cat /data/new
ok "and writes" docker exec two sh -c 'echo of two >>/data/new'
ok "a third mounts the same directory" create third -v /srv/team:/data
refused "mcsd refuses it, and says who holds it" '(one|two) holds /srv/team as group' mcsctl wait --timeout 60 third
docker start third >/dev/null
refused "the kernel denies it the file" 'Permission denied' docker exec third cat /data/file
refused "and the new one" 'Permission denied' docker exec third cat /data/new
remove one two third >/dev/null
rm -f /srv/team/new

comment "one directory, claimed by two"
ok "the first has it" runs first -v /srv/own:/data
ok "the second asks for it" create second -v /srv/own:/data
refused "it is told who holds it" 'first holds /srv/own as private' mcsctl wait --timeout 60 second
docker start second >/dev/null
refused "and the kernel denies it" 'Permission denied' docker exec second cat /data/file
says "the first still reads it" "it is own's" docker exec first cat /data/file
for name in three four; do
  ok "$name says that it shares another" runs $name --label io.mcsd.volume=/data:shared -v /srv/both:/data
done
ok "three writes there" docker exec three sh -c 'echo of three >/data/new'
says "four reads it" 'of three' docker exec four cat /data/new
remove first second three four >/dev/null
rm -f /srv/both/new

comment "the end"
for name in one two; do ok "reservation $name is released" wait_for 30 mcsctl release $name; done
ok "every pair is free" wait_for 60 nobody_holds
ok "every label is what it was" diff /root/before <(labels_below "${places[@]}")
not "mcsd itself was denied nothing" denials_of_mcsd
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
