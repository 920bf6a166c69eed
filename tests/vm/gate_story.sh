# What the stories about the gate share: `. "$TAP"; . "$MCSD_TREE/tests/vm/gate_story.sh"`.

field() { mcsctl --json show "$1" | python3 -c "import json,sys; print(json.load(sys.stdin)['$2'])"; }
pid_of() { docker inspect --format '{{.State.Pid}}' "$1"; }
process_label() { tr -d '\0\n' <"/proc/$(pid_of "$1")/attr/current"; }
process_level() { process_label "$1" | grep -oE 's0:c[0-9.,c]+$'; }
level_chosen_by_docker() { docker inspect --format '{{.ProcessLabel}}' "$1" | grep -oE 's0:c[0-9.,c]+$'; }
entered() { docker exec "$1" cat /proc/self/attr/current | tr -d '\0'; }
label_on() { getfattr --absolute-names -h --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0'; }
differ() { echo "$1 and $2"; [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; }
same() { echo "$1 and $2"; [ -n "$1" ] && [ "$1" = "$2" ]; }
wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || { "$@"; return 1; }; sleep 0.2; done
}
is_isolated() { mcsctl containers; [ "$(field "$1" isolated)" = True ]; }
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
is_free() { mcsctl pairs; ! mcsctl pairs -q | grep -qxF "$1"; }
nobody_holds() { mcsctl pairs; [ -z "$(mcsctl pairs -q)" ]; }
runtime_is() { [ "$(docker info --format '{{.DefaultRuntime}}')" = "$1" ]; }
is_running() { [ "$(docker inspect --format '{{.State.Running}}' "$1")" = true ]; }
mounts_of_docker() { grep -E ' /var/lib/docker/.*/(merged|mounts|rootfs)' /proc/mounts; }
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E "$1"; }

# docker_settings JQ: change daemon.json and start Docker anew with it
docker_settings() {
  jq "$1" /etc/docker/daemon.json >/root/daemon.json && cat /root/daemon.json >/etc/docker/daemon.json
  systemctl reset-failed docker.service docker.socket 2>/dev/null
  systemctl restart docker.service && wait_for 60 docker info
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
