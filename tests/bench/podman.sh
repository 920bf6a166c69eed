#!/bin/bash
# What tests.bench.podman has measured in a guest: starts of a container by Podman, in microseconds, one a line. `plain`
# is without a volume. `:Z` and `gate` have the same large volume: `again` is a later start of one container, `anew` that
# of a new container, as a quadlet makes one each time. Arguments: how many inodes the volume has, how many starts of each.
set -eu
inodes=$1 rounds=$2
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p "$XDG_RUNTIME_DIR" /etc/mcsd/conf.d /etc/containers/containers.conf.d
printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/10-events.conf
printf '%s\n' '[[engine]]' 'kind = "podman"' '[volumes]' 'linger = "1h"' '[gate]' 'deadline = "10min"' >/etc/mcsd/conf.d/podman.toml
# Podman's service goes first: what a login makes in its place, it may not read everywhere.
both_reached() { mcsctl --json status | jq -e '[.engines[] | select(.reachable)] | length == 2' >/dev/null; }
wait_for_both() { local end=$((SECONDS + 300)); until both_reached; do [ $SECONDS -lt $end ] || exit 1; sleep 0.5; done; }
systemctl start podman.socket
systemctl restart mcsd.service
wait_for_both
docker export "$(docker create --network none bb true)" | podman import - bb >/dev/null 2>&1
python3 -c "
import os
for number in range($inodes // 100):
    os.makedirs(f'/srv/big/{number}')
    for name in range(99):
        os.close(os.open(f'/srv/big/{number}/{name}', os.O_CREAT | os.O_WRONLY))
"
create() { podman create --name it --network none "$@" localhost/bb sleep 100000 >/dev/null; }
# timed WORD: starts the container, and stops it
timed() {
  local before after
  before=$(date +%s%N)
  podman start it >/dev/null
  after=$(date +%s%N)
  podman stop -t 0 it >/dev/null
  echo "measured $1 $(((after - before) / 1000)) us"
}
again() { # WORD ARGUMENTS…: the first start is not counted
  local n
  create "${@:2}"
  timed first
  for ((n = 0; n < rounds; n++)); do timed "$1-again"; done
  podman rm -f -t 0 it >/dev/null
}
anew() { # WORD ARGUMENTS…
  local n
  for ((n = 0; n < rounds; n++)); do
    create "${@:2}"
    timed "$1-anew"
    podman rm -f -t 0 it >/dev/null
  done
}
systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
again plain
again relabel -v /srv/big:/data:Z
anew relabel -v /srv/big:/data:Z
systemctl start mcsd.socket mcsd-gate.socket mcsd.service
wait_for_both
mcsctl gate enable --engine podman --reload >&2
again gate -v /srv/big:/data
anew gate -v /srv/big:/data
