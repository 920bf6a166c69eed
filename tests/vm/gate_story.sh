# What the stories about the gate share: `. "$TAP"; . "$MCSD_TREE/tests/vm/gate_story.sh"`.

# Of both daemons their sockets are asked: a client that an emulated processor has to start takes seconds, and what
# a story waits for is asked often.
mcsd_says() { curl -sS --fail-with-body --unix-socket /run/mcsd/mcsd.sock "http://mcsd/v1/$1"; }
docker_says() { curl -sS --fail-with-body --unix-socket /run/docker.sock "http://docker/$1"; }
field() { mcsd_says "containers/$1" | jq -r ".$2"; }
inspected() { docker_says "containers/$1/json" | jq -r ".$2"; }
pid_of() { inspected "$1" State.Pid; }
process_label() { tr -d '\0\n' <"/proc/$(pid_of "$1")/attr/current"; }
process_level() { process_label "$1" | grep -oE 's0:c[0-9.,c]+$'; }
level_chosen_by_docker() { inspected "$1" ProcessLabel | grep -oE 's0:c[0-9.,c]+$'; }
entered() { docker exec "$1" cat /proc/self/attr/current | tr -d '\0'; }
label_on() { getfattr --absolute-names -h --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0'; }
differ() { echo "$1 and $2"; [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; }
same() { echo "$1 and $2"; [ -n "$1" ] && [ "$1" = "$2" ]; }
wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || { "$@"; return 1; }; sleep 0.2; done
}
is_isolated() { mcsd_says "containers/$1" && echo && [ "$(field "$1" isolated)" = true ]; }
walks_of() { journalctl -u mcsd --no-pager -o cat | grep -c "volume $1 of container"; }
configure() { printf '%s\n' "$@" >/etc/mcsd/conf.d/gate.toml; systemctl restart mcsd.service; }
run() { docker run --network none "$@"; }
carriers_of() { # LEVEL: processes, mounts and files that carry it
  ps -eo label= | grep -F ":$1"
  grep -F "$1" /proc/mounts
  find /srv /var/lib/docker/containers /var/lib/docker/volumes -exec getfattr --absolute-names -h -n security.selinux {} + 2>/dev/null |
    grep -F -B 1 ":$1"
}
nobody_carries() { ! carriers_of "$1" | grep .; }
levels_held() { mcsd_says pairs | jq -r '.items[].level'; }
is_free() { local held; held=$(set -o pipefail; levels_held) && echo "held: $held" && ! grep -qxF "$1" <<<"$held"; }
nobody_holds() { local held; held=$(set -o pipefail; levels_held) && echo "held: $held" && [ -z "$held" ]; }
runtime_is() { [ "$(docker_says info | jq -r .DefaultRuntime)" = "$1" ]; }
is_running() { [ "$(inspected "$1" State.Running)" = true ]; }
mounts_of_docker() { grep -E ' /var/lib/docker/.*/(merged|mounts|rootfs)' /proc/mounts; }
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E "$1"; }

# docker_settings JQ: change daemon.json and start Docker anew with it
docker_settings() {
  jq "$1" /etc/docker/daemon.json >/root/daemon.json && cat /root/daemon.json >/etc/docker/daemon.json
  systemctl reset-failed docker.service docker.socket 2>/dev/null
  systemctl restart docker.service && wait_for 60 docker_says _ping
}

# import_bb: the image again, for an engine that has another store
import_bb() {
  local root=/root/bb tool
  mkdir -p $root/bin $root/tmp && cp /bin/busybox $root/bin
  for tool in sh cat ls sleep true touch id df; do ln -sf busybox $root/bin/$tool; done
  tar -C $root -c . | docker import - bb
}

# The end of each story: mcsd and the gate have been denied nothing, and what happened is in the output.
ending() {
  not "no mount is left behind" mounts_of_docker
  not "mcsd itself was denied nothing" denials 'scontext=[^ ]*:mcsd_t:'
  not "nor was the gate" denials 'comm=mcsd-gate'
  journalctl -u mcsd --no-pager -o cat | tail -n 100 | sed 's/^/# /'
  denials 'mcsd|dockerd_t' | sed 's/^/# /' | tail -n 20
  plan
}
