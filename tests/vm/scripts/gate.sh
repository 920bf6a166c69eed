#!/bin/bash
# The gate as a story: mcsd chooses the level at each start, and the volumes are ready before the first instruction.
set -u
. "$TAP"
TIMES=5

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
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
is_isolated() { mcsctl containers; [ "$(field "$1" isolated)" = True ]; }
walks_of() { journalctl -u mcsd --no-pager -o cat | grep -c "volume $1 of container"; }
configure() { printf '%s\n' "$@" >/etc/mcsd/conf.d/gate.toml; systemctl restart mcsd.service; }
run() { docker run --network none "$@"; }
reads_at_once() { # the container's only instruction reads the volume
  local i
  for i in $(seq 1 $TIMES); do
    [ "$(run --rm -v /srv/a:/data bb cat /data/secret)" = "what is a's" ] || { echo "not the ${i}th time"; return 1; }
  done
  echo "$TIMES of $TIMES"
}
carriers_of() { # LEVEL: processes, mounts and files that carry it
  ps -eo label= | grep -F ":$1"
  grep -F "$1" /proc/mounts
  find /srv /var/lib/docker/containers /var/lib/docker/volumes -exec getfattr --absolute-names -h -n security.selinux {} + 2>/dev/null |
    grep -F -B 1 ":$1"
}
nobody_carries() { ! carriers_of "$1" | grep .; }
is_free() { mcsctl pairs; ! mcsctl pairs -q | grep -qxF "$1"; }
is_off_in_docker() { [ "$(docker info --format '{{.DefaultRuntime}}')" = runc ]; }
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E "$1"; }

mkdir -p /srv/a /srv/b
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
cp -a /etc/docker/daemon.json /root/daemon.json.before
mkdir -p /etc/mcsd/conf.d
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'

comment "switching it on"
says "SELinux enforces" Enforcing getenforce
run -d --name before bb sleep 100000 >/dev/null
says "the gate is off" 'configured +off' mcsctl gate status
says "the change is shown first" '^\+ .*"default-runtime": "mcsd"' mcsctl gate enable --dry-run
ok "which changes nothing" cmp /etc/docker/daemon.json /root/daemon.json.before
says "it is switched on, and Docker says so" 'new containers get the runtime mcsd' mcsctl gate enable --reload
says "what was in the file is there" '"selinux-enabled": true' cat /etc/docker/daemon.json
says "the file has the label it had" "$(label_on /root/daemon.json.before | cut -d: -f3)|container_config_t" ls -Z /etc/docker/daemon.json
says "status says who passes and who was there before" 'without +1 running: before' mcsctl gate status
ok "what ran before runs on" docker exec before true
docker rm -f before >/dev/null

comment "ready before the first instruction"
says "a container reads its volume in its first instruction, $TIMES of $TIMES times" "$TIMES of $TIMES" reads_at_once

comment "mcsd has chosen the level"
ok "a container starts" run -d --name one -v /srv/a:/data bb sleep 100000
first=$(process_level one)
wait_for 30 is_isolated one >/dev/null
ok "mcsd says that it is isolated" is_isolated one
ok "its process runs at the level that mcsd says" same "$first" "$(field one level)"
ok "which is not Docker's choice" differ "$first" "$(level_chosen_by_docker one)"
says "docker exec enters at that level" ":$first" entered one
says "and reads the volume" "what is a's" docker exec one cat /data/secret
ok "Docker's own files and /dev/shm are usable" docker exec one sh -c 'cat /etc/hosts /etc/hostname /etc/resolv.conf >/dev/shm/x && echo "# mine" >>/etc/hosts'
not "docker diff shows nothing" grep -q . <(docker diff one)
ok "docker commit makes an image" docker commit one committed
ok "that starts like any other" run --rm committed true

comment "fresh: a new level at each start"
ok "docker restart" docker restart -t 0 one
second=$(process_level one)
ok "it has another level" differ "$first" "$second"
says "and reads its volume at that" "what is a's" docker exec one cat /data/secret
says "docker exec enters at that" ":$second" entered one
ok "the former level is free" wait_for 30 is_free "$first"
ok "nothing carries it" nobody_carries "$first"
ok "docker stop" docker stop -t 0 one
ok "after the exit its level is free" wait_for 30 is_free "$second"
ok "no process, mount or file carries it" nobody_carries "$second"

comment "sticky: the same level, and nothing to walk"
configure '[volumes]' 'linger = "10min"' '[gate]' 'level = "sticky"'
ok "docker start" docker start one
third=$(process_level one) walks=$(walks_of /srv/a)
ok "docker restart" docker restart -t 0 one
ok "the level is the same" same "$third" "$(process_level one)"
ok "the volume was not walked" test "$walks" = "$(walks_of /srv/a)"

comment "shapes"
says "read-only, with a tmpfs" 'what is b.s' run --rm --read-only --tmpfs /tmp -v /srv/b:/data bb \
  sh -c 'echo x >/tmp/x && echo y >/dev/shm/y && ! touch /etc/x 2>/dev/null && cat /data/secret'
run --name store -v /srv/b:/data bb true >/dev/null
says "another's volumes" 'what is b.s' run --rm --volumes-from store bb cat /data/secret
docker rm store >/dev/null
ok "a named volume" run -d --name named -v data:/data bb sh -c 'echo kept >/data/file; sleep 100000'
says "is private" ":$(process_level named)" ls -dZ /var/lib/docker/volumes/data/_data
ok "it is started again" docker restart -t 0 named
says "and is private still" ":$(process_level named)" ls -dZ /var/lib/docker/volumes/data/_data
says "with what was in it" kept docker exec named cat /data/file
docker rm -f named >/dev/null

comment "when mcsd refuses, or is not there"
refused "a volume that must not be labelled ends the start, with the reason" 'mcsd: container .* is not started: .*/etc' \
  run --rm -v /etc:/data bb true
systemctl kill -s KILL --kill-whom=main mcsd.service
says "killed, it is back in time for a start" "what is b's" run --rm -v /srv/b:/data bb cat /data/secret
systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
refused "stopped, a start is refused, with the reason and what to do" 'mcsd cannot be asked.*systemctl status mcsd' run --rm bb true
says "what runs is entered all the same" ":$third" entered one
printf '[gate]\non_error = "start"\n' >/etc/mcsd/conf.d/gate.toml
ok "or it starts, as configured" run --rm bb true
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
ok "what ran meanwhile is as it was" wait_for 60 is_isolated one

comment "switching it off"
says "it is switched off, and Docker says so" 'new containers get the runtime runc' mcsctl gate disable --reload
ok "Docker's default is runc" is_off_in_docker
says "the running container goes on at its level" ":$third" entered one
says "and reads its volume" "what is a's" docker exec one cat /data/secret
ok "mcsd says that it is isolated" wait_for 60 is_isolated one
ok "a new container starts without" run -d --name two -v /srv/b:/data bb sleep 100000
ok "at Docker's level" same "$(process_level two)" "$(level_chosen_by_docker two)"
# Not claimed: that `docker restart -t 0` of a container from the gate's time works at once after this. Docker has
# been seen to leave it exited after 20 s, with a plain `docker start` working then; the cause is not found yet.
docker rm -f one two >/dev/null
not "no mount is left behind" grep -E ' /var/lib/docker/(overlay2|containers)/.*/(merged|mounts)' /proc/mounts
not "mcsd itself was denied nothing" denials 'scontext=[^ ]*:mcsd_t:'
not "nor was the gate" denials 'comm=mcsd-gate'
journalctl -u mcsd --no-pager -o cat | tail -n 100 | sed 's/^/# /'
denials 'mcsd|dockerd_t' | sed 's/^/# /' | tail -n 20
plan
