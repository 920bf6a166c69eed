#!/bin/bash
# mcsd is killed at a step of a container's start or of its end. No level stays taken, and no volume stays labelled in
# part. The start succeeds, because systemd has started mcsd again before the gate gives up.
# The steps are chosen by mcsd's system calls: writing to the ledger, to the originals and to the volume, and answering.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

is_traced() { [ "$(awk '/^TracerPid/ { print $2 }' "/proc/$1/status")" != 0 ]; }
is_ended() { [ ! -e "/proc/$1" ]; }
reads_its_volume() { docker exec victim cat /data/secret; }
kill_mcsd_at() { # SYSTEM-CALLS N: when it comes to the Nth of these
  target=$(systemctl show -P MainPID mcsd.service)
  strace -f -qq -o /dev/null -p "$target" -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" 2>/dev/null &
  wait_for 20 is_traced "$target"
}

mkdir -p /srv/a /etc/mcsd/conf.d
echo "what is a's" >/srv/a/secret
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
mcsctl gate enable --reload >/dev/null 2>&1

comment "at each step of a start"
for point in fdatasync:1 fdatasync:2 fdatasync:3 setxattr:1 sendto:1; do
  docker create --name victim --network none -v /srv/a:/data bb sleep 100000 >/dev/null
  wait_for 60 mcsd_says containers/victim >/dev/null
  kill_mcsd_at "${point%:*}" "${point#*:}"
  ok "killed at ${point/:/ }: docker start succeeds all the same" docker start victim
  ok "killed it was" wait_for 20 is_ended "$target"
  says "the container reads its volume" "what is a's" reads_its_volume
  ok "it is isolated" wait_for 60 is_isolated victim
  level=$(process_level victim)
  docker rm -f victim >/dev/null
  ok "its level is free in the end" wait_for 60 is_free "$level"
done

comment "at each step of the end"
for point in fdatasync:1 setxattr:1; do
  run -d --name victim -v /srv/a:/data bb sleep 100000 >/dev/null
  wait_for 60 is_isolated victim >/dev/null
  level=$(process_level victim)
  kill_mcsd_at "${point%:*}" "${point#*:}"
  ok "the container is removed" docker rm -f victim
  ok "mcsd is killed at ${point/:/ }" wait_for 20 is_ended "$target"
  ok "the level is free" wait_for 60 is_free "$level"
  says "the volume has its label back" ':var_t:s0$' label_on /srv/a/secret
done
ending
