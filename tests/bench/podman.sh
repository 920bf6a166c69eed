#!/bin/bash
# What tests.bench.podman has measured in a guest: starts of a container by Podman, in milliseconds, one a line:
# `plain` without a volume, `relabel` with Podman's own :Z on a volume that has the label already, `gate` through the gate
# with a volume that is ready. Arguments: how many inodes the volume has, and how many starts of each.
set -eu
inodes=$1 rounds=$2
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p "$XDG_RUNTIME_DIR" /etc/mcsd/conf.d /etc/containers/containers.conf.d
printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/10-events.conf
printf '%s\n' '[[engine]]' 'kind = "podman"' '[volumes]' 'linger = "1h"' '[gate]' 'deadline = "10min"' >/etc/mcsd/conf.d/podman.toml
docker export "$(docker create --network none bb true)" | podman import - bb >/dev/null 2>&1
python3 -c "
import os
for number in range($inodes // 100):
    os.makedirs(f'/srv/big/{number}')
    for name in range(99):
        os.close(os.open(f'/srv/big/{number}/{name}', os.O_CREAT | os.O_WRONLY))
"
# start NAME WORD: the time of each start but the first, for which the volume may have to be labelled
start() {
  local before after n
  podman start "$1" >/dev/null
  podman stop -t 0 "$1" >/dev/null
  for ((n = 0; n < rounds; n++)); do
    before=$(date +%s%N)
    podman start "$1" >/dev/null
    after=$(date +%s%N)
    podman stop -t 0 "$1" >/dev/null
    echo "measured $2 $(((after - before) / 1000)) us"
  done
  podman rm -f -t 0 "$1" >/dev/null
}
create() { podman create --name "$1" --network none "${@:2}" localhost/bb sleep 100000 >/dev/null; }
systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
create plain
start plain plain
create own -v /srv/big:/data:Z
start own relabel
systemctl start podman.socket mcsd.socket mcsd-gate.socket mcsd.service
until mcsctl --json status | jq -e '[.engines[] | select(.reachable)] | length == 2' >/dev/null; do sleep 0.5; done
mcsctl gate enable --engine podman --reload >&2
create gated -v /srv/big:/data
start gated gate
