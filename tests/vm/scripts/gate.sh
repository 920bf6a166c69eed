#!/bin/bash
# The gate as a story: it is switched on, volumes are ready before a container's first instruction, it is switched off.
# An argument says how many starts have to find their volumes ready, 5 unless given; many take long:
# `tests/vm/run tests/vm/scripts/gate.sh -- 50`.
# policies: debian fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"
TIMES=${1:-5}

reads_at_once() { # TIMES VOLUME FILE: the container's only instruction reads the file in the volume
  local i
  for i in $(seq 1 "$1"); do
    [ "$(run --rm -v "$2:/data" bb cat "/data/$3")" = "what is a's" ] || { echo "not the ${i}th time"; return 1; }
  done
  echo "$1 of $1"
}
starts_and_reads() { # TIMES CONTAINER
  local i
  for i in $(seq 1 "$1"); do
    [ "$(docker start -a "$2")" = "what is a's" ] || { echo "not the ${i}th time"; return 1; }
  done
  echo "$1 of $1"
}

mkdir -p /srv/a /srv/b /srv/large
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
for d in $(seq 1 200); do mkdir /srv/large/$d; (cd /srv/large/$d && touch $(seq 1 99)); done
echo "what is a's" >/srv/large/200/last
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

comment "ready before the first instruction; nothing of SELinux is said to Docker"
says "a container reads its volume in its first instruction, $TIMES of $TIMES times" "$TIMES of $TIMES" \
  reads_at_once $TIMES /srv/a secret
says "a volume of 20,001 inodes too, each time at another level" "2 of 2" reads_at_once 2 /srv/large 200/last
configure '[volumes]' 'linger = "10min"' '[gate]' 'level = "sticky"'
docker create --name large --network none -v /srv/large:/data bb cat /data/200/last >/dev/null
says "and one container of it that is started $TIMES times at one level" "$TIMES of $TIMES" starts_and_reads $TIMES large
says "for which it was walked once" '^1$' sh -c 'journalctl -u mcsd -o cat --no-pager | grep -c "volume /srv/large of container large"'
docker rm large >/dev/null
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'

comment "mcsd has chosen the level"
ok "a container starts" run -d --name one -v /srv/a:/data bb sleep 100000
first=$(process_level one)
ok "mcsd says that it is isolated" wait_for 60 is_isolated one
ok "its process runs at the level that mcsd says" same "$first" "$(field one level)"
ok "which is not Docker's choice" differ "$first" "$(level_chosen_by_docker one)"
says "docker exec enters at that level" ":$first" entered one
says "and reads the volume" "what is a's" docker exec one cat /data/secret

comment "switching it off"
says "it is switched off, and Docker says so" 'new containers get the runtime runc' mcsctl gate disable --reload
ok "Docker's default is runc" runtime_is runc
says "the running container goes on at its level" ":$first" entered one
says "and reads its volume" "what is a's" docker exec one cat /data/secret
ok "mcsd says that it is isolated" wait_for 60 is_isolated one
# By watching, volumes are ready in time as a rule only; and this policy's Docker cannot mount what is not.
docker create --name two --network none -v /srv/b:/data bb sleep 100000 >/dev/null
ok "mcsd has a new container's volume ready by watching" mcsctl wait --timeout 60 two
ok "it starts without the gate" docker start two
ok "at Docker's level" same "$(process_level two)" "$(level_chosen_by_docker two)"
# Docker leaves the root file system mounted over a restart, at the level that the gate had given it.
ok "the container from the gate's time is started again" docker restart -t 0 one
ok "at Docker's level" same "$(process_level one)" "$(level_chosen_by_docker one)"
ok "and mcsd has its volume ready" wait_for 60 is_isolated one
says "for it to read" "what is a's" docker exec one cat /data/secret
docker rm -f one two >/dev/null
ending
