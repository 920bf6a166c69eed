#!/bin/bash
# The gate is killed between any two steps of a container's start and of its end. Nothing stays half done: no mount of a
# root file system is left, no level stays taken, and the container can be started again.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

killed() { [ ! -e /run/docker/gate-killed ] && tail -n 1 /run/docker/gate-steps; }
nothing_is_mounted() { ! mounts_of_docker; }
each_step() { says "that was each of its $1 steps, up to becoming the runtime" 'killed before execv' tail -n 1 /run/docker/gate-steps; }
# What a kill has left, and that the container starts in spite of it.
is_whole() {
  says "$(killed)" 'killed' killed
  ok "nothing is mounted for the container" wait_for 30 nothing_is_mounted
  ok "it holds no level" wait_for 60 nobody_holds
  says "it is started, and reads its volume" "what is a's" docker start -a victim
}

mkdir -p /srv/a /etc/mcsd/conf.d
echo "what is a's" >/srv/a/secret
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
program=/usr/libexec/mcsd-killed/mcsd-gate
install -D "$MCSD_TREE/tests/vm/gate_killed.py" $program
chcon --reference=/usr/libexec/mcsd/mcsd-gate $program
mcsctl gate enable >/dev/null 2>&1
docker_settings ".runtimes.killed.path = \"$program\""
docker create --name victim --network none --runtime killed -v /srv/a:/data bb cat /data/secret >/dev/null

comment "the gate, at each step of a start"
for step in $(seq 0 40); do
  echo "create $step" >/run/docker/gate-killed
  if docker start -a victim >/root/start 2>&1; then break; fi
  sed 's/^/# /' /root/start
  is_whole
done
rm -f /run/docker/gate-killed
each_step "$step"

comment "the gate, at each step of the end"
for step in $(seq 0 40); do
  echo "delete $step" >/run/docker/gate-killed
  docker start -a victim >/root/start 2>&1 # which does not wait for the end to be cleaned up
  wait_for 20 killed >/dev/null || break
  is_whole
done
rm -f /run/docker/gate-killed
each_step "$step"
docker rm -f victim >/dev/null
ending
