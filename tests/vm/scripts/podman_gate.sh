#!/bin/bash
# Docker and Podman side by side, both through the gate: each container at a pair of its own, its volumes ready before
# its first instruction, and none reaches another's. Promises 1, 2, 4, 6 and 8. How many starts of each: -- 5
# policies: debian fedora-like
set -u
. "$TAP"
starts=${1:-5}
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p "$XDG_RUNTIME_DIR" /etc/mcsd/conf.d /etc/containers/containers.conf.d

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
pod() { podman run -d --name "$1" --network none "${@:2}" localhost/bb sleep 100000; }
pid_of() { podman inspect -f '{{.State.Pid}}' "$1"; }
level_of() { tr -d '\0' <"/proc/$(pid_of "$1")/attr/current" | cut -d: -f4-; }
# What a container prints is lost on Debian's policy, where Podman's pipes are a terminal's domain's.
podman_said() { podman exec "$1" sh -c "$2 >/data/said 2>&1"; cat "$3/said"; }
known() { mcsctl --json show "$1" | jq -r "$2"; }
isolated() { [ "$(known "$1" .isolated)" = true ]; }
gone() { ! mcsctl show "$1" >/dev/null 2>&1; }
nobody_holds() { [ "$(mcsctl --json pairs | jq '.items | length')" = 0 ]; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
two_engines() { [ "$(mcsctl --json status | jq '[.engines[] | select(.reachable)] | length')" = 2 ]; }

for place in /srv/one /srv/two /srv/docker /srv/shared /srv/late; do mkdir -p "$place"; echo "it is ${place#/srv/}'s" >"$place/file"; done
labels_below /srv/one /srv/two /srv/docker /srv/shared /srv/late >/root/before
# The policy does not let Podman's service read the journal everywhere.
printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/10-events.conf

comment "two engines"
printf '%s\n' '[[engine]]' 'kind = "podman"' '[volumes]' 'linger = "2s"' >/etc/mcsd/conf.d/podman.toml
ok "Podman's socket is there" systemctl start podman.socket
ok "mcsd starts with both" systemctl restart mcsd.service
ok "it reaches both" wait_for 60 two_engines
mcsctl status | sed 's/^/# /'
ok "Podman has the image" bash -c 'docker export "$(docker create --network none bb true)" | podman import - bb && docker container prune -f'
ok "Docker's gate is switched on" mcsctl gate enable --reload
ok "and Podman's" mcsctl gate enable --engine podman --reload
says "mcsctl gate status says so" 'podman +on: new containers get the runtime' mcsctl gate status --engine podman

comment "a Podman container through the gate"
ok "it starts" pod one -v /srv/one:/data
says "Podman chose another level than it runs at" no bash -c \
  "[ '$(podman inspect -f '{{.ProcessLabel}}' one | cut -d: -f4-)' = '$(level_of one)' ] && echo yes || echo no"
ok "mcsd knows it by its engine, and calls it isolated" wait_for 30 isolated podman/one
says "the level is mcsd's choice" assigned known podman/one .origin
says "and the one that the process has" "^$(level_of one)\$" known podman/one .level
says "it reads its volume" "it is one's" podman_said one 'cat /data/file' /srv/one
ok "who enters it runs at its level" podman exec one sh -c 'cat /proc/self/attr/current >/data/exec'
says "which is the container's" "$(level_of one)" cat /srv/one/exec
mcsctl containers | sed 's/^/# /'

comment "nobody reaches another's"
ok "a second one starts" pod two -v /srv/two:/data -v /srv/one:/other --annotation io.mcsd.volume=/other:ignore
says "at another level" no bash -c "[ '$(level_of one)' = '$(level_of two)' ] && echo yes || echo no"
says "the kernel denies it the first one's volume" 'ermission denied' podman_said two 'cat /other/file' /srv/two
ok "a Docker container starts" docker run -d --name own --network none -v /srv/docker:/data -v /srv/two:/other \
  --label io.mcsd.volume=/other:ignore bb sleep 100000
says "it reads its own" "it is docker's" docker exec own cat /data/file
refused "and is denied Podman's" 'ermission denied' docker exec own cat /other/file
not "a second private claim on one directory is refused, and the start with it" pod thief -v /srv/docker:/data
says "the journal names who has it" 'own' bash -c 'journalctl -q -o cat -u mcsd.service | grep -F "is not started" | tail -n 1'
podman rm -f -t 0 thief >/dev/null 2>&1

comment "a pod"
ok "a pod is created" podman pod create --name both --network none --infra-image localhost/bb --infra-command "sleep 100000"
ok "its first container starts" podman run -d --pod both --name left -v /srv/shared:/data --annotation io.mcsd.volume=/data:shared localhost/bb sleep 100000
ok "and its second" podman run -d --pod both --name right -v /srv/shared:/data --annotation io.mcsd.volume=/data:shared localhost/bb sleep 100000
says "both are at one level" yes bash -c "[ '$(level_of left)' = '$(level_of right)' ] && echo yes"
says "and read what they share" "it is shared's" podman_said right 'cat /data/file' /srv/shared
podman pod rm -f -t 0 both >/dev/null

comment "restarted, and by restart policy"
before=$(level_of one)
ok "it is restarted" podman restart -t 0 one
says "at the same level, which is still its own" "^$before\$" level_of one
says "and reads its volume" "it is one's" podman_said one 'cat /data/file' /srv/one

comment "starts of each, the volume read by the first instruction"
first_read() { podman --runtime "$1" run --rm --network none -v /srv/late:/data localhost/bb sh -c 'cat /data/file >/data/copy && rm /data/copy' 2>/dev/null; }
for runtime in crun runc; do
  missed=0
  for ((n = 0; n < starts; n++)); do first_read $runtime || missed=$((missed + 1)); wait_for 30 bash -c '! mcsctl --json volumes | jq -e ".items[] | select(.path == \"/srv/late\" and .state == \"working\")" >/dev/null'; done
  says "in $starts of $starts starts of Podman's with $runtime the volume was ready" '^0$' echo "$missed"
done
missed=0
for ((n = 0; n < starts; n++)); do docker run --rm --network none -v /srv/late:/data bb cat /data/file >/dev/null 2>&1 || missed=$((missed + 1)); done
says "and in $starts of Docker's" '^0$' echo "$missed"

comment "without mcsd nothing starts, with the gate switched off all does"
systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
podman stop -t 0 two >/dev/null
not "a start is refused while mcsd is away" podman start two
ok "mcsd is back" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
ok "and reaches both" wait_for 60 two_engines
ok "then it starts" podman start two
ok "the gate is switched off for Podman" mcsctl gate disable --engine podman --reload
not "its file is gone" test -e /etc/containers/containers.conf.d/90-mcsd.conf
podman stop -t 0 one >/dev/null
ok "a container that was made with it starts without" podman start one
says "at Podman's level" yes bash -c "[ '$(podman inspect -f '{{.ProcessLabel}}' one | cut -d: -f4-)' = '$(level_of one)' ] && echo yes"

comment "the end"
podman rm -f -t 0 one two >/dev/null
docker rm -f own >/dev/null
ok "nobody holds anything" wait_for 90 nobody_holds
rm -f /srv/*/said /srv/one/exec
ok "every label is what it was" diff /root/before <(labels_below /srv/one /srv/two /srv/docker /srv/shared /srv/late)
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:|comm=mcsd-gate'; }
not "mcsd and the gate were denied nothing" denials
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
