#!/bin/bash
# What happens to a start that the gate cannot prepare. By default it is refused, with the reason and what to do; with
# `on_error = "start"` the container starts, and the journal says so. After a failure it reaches less, never more.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

policy_is() { configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"' "on_error = \"$1\"" "${@:2}"; }
told() { journalctl -u mcsd --no-pager -o cat | grep "$@"; }
started_unprepared() { told -E "container $1 starts although it could not be prepared: .*$2"; }
made() { # NAME OPTION… COMMAND…: made, and looked at by mcsd, which can take longer than a short deadline here
  docker create --network none --name "$@" >/dev/null && wait_for 60 mcsd_says "containers/$1"
}
stop_mcsd() { systemctl stop mcsd.service mcsd.socket mcsd-gate.socket; }

mkdir -p /srv/a /srv/b /srv/part /srv/large /etc/mcsd/conf.d
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
echo one >/srv/part/one; chattr +i /srv/part/one
# While this file system is frozen no label is written to it: its walk is late, however fast the machine is.
dd if=/dev/zero of=/root/disk bs=1M count=64 status=none && mkfs.ext4 -q /root/disk && mount -o loop /root/disk /srv/large
for d in $(seq 1 100); do mkdir /srv/large/$d; (cd /srv/large/$d && touch $(seq 1 99)); done
# Of this type, because refpolicy's Docker cannot mount others, and here no walk gets as far as the root.
mkdir -p /usr/local/theirs
chcon -t container_file_t /usr/local/theirs /srv/part /srv/large /srv/a /srv/b
policy_is refuse
mcsctl gate enable --reload >/dev/null 2>&1

comment "volumes"
ok "one that must not be labelled is left alone, and ends no start" run --rm -v /usr/local/theirs:/data bb true
says "and mcsd tells of it" 'left alone' told '/usr/local/theirs .* is left alone: .*/usr'
ok "one that another container holds" run -d --name holder -v /srv/a:/data bb sleep 100000
level=$(process_level holder)
refused "ends the start, with the holder's name" 'mcsd: .* /srv/a.*holder' run --rm -v /srv/a:/data bb true
refused "one that can be labelled in part ends it too, with what was skipped" 'mcsd: .*/srv/part.*part of it could not be labelled' run --rm -v /srv/part:/data bb true
policy_is refuse 'deadline = "2s"'
fsfreeze --freeze /srv/large
made late -v /srv/large:/data bb true
refused "one that takes longer than the deadline ends it" 'mcsd: container late .*not ready after 2 s' docker start late
fsfreeze --unfreeze /srv/large
docker rm late >/dev/null
policy_is start
refused "or they start, as configured: held by another: the kernel denies it" 'Permission denied' run --name second -v /srv/a:/data bb cat /data/secret
says "and mcsd tells of it" 'second' started_unprepared second holder
says "the holder's volume carries the holder's level" ":$level" ls -Z /srv/a/secret
ok "in part" run --name part -v /srv/part:/data bb true
says "and mcsd tells of it" 'part' started_unprepared part 'part of it'
policy_is start 'deadline = "2s"'
fsfreeze --freeze /srv/large
made late -v /srv/large:/data bb sleep 100000
ok "late: the container runs" docker start late
says "and mcsd tells of it" 'late' started_unprepared late 'not ready after'
fsfreeze --unfreeze /srv/large
ok "until its volume is ready" wait_for 120 is_isolated late
docker rm -f holder second part late >/dev/null
chattr -i /srv/part/one

comment "mcsd"
policy_is refuse
ok "a container runs" run -d --name runs -v /srv/b:/data bb sleep 100000
level=$(process_level runs)
systemctl kill -s KILL --kill-whom=main mcsd.service
says "killed, it is back in time for a start" "what is a's" run --rm -v /srv/a:/data bb cat /data/secret
(sleep 2; systemctl restart mcsd.service) &
says "restarted in the middle of a start, it finishes that" "^1$" run --rm -v /srv/large:/data bb sh -c 'ls -d /data/100 | wc -l'
wait
stop_mcsd
refused "stopped, a start is refused, with the reason and what to do" 'mcsd cannot be asked.*systemctl status mcsd' run --rm bb true
says "what runs is entered all the same" ":$level" entered runs
printf '[gate]\non_error = "start"\n' >/etc/mcsd/conf.d/gate.toml
ok "or it starts, as configured" run --rm bb true
ok "and what is restarted comes up at Docker's own level" docker restart -t 0 runs
ok "with everything it needs" same "$(process_level runs)" "$(level_chosen_by_docker runs)"
policy_is refuse
ok "when mcsd is back it has the volume of that ready" wait_for 60 is_isolated runs
docker rm -f runs >/dev/null

comment "the ledger"
# What is written goes to the log first.
writable() { if [ "$1" = no ]; then chattr +i /var/lib/mcsd/ledger.db-wal; else chattr -i /var/lib/mcsd/ledger.db-wal; fi; }
policy_is refuse
labels=$(ls -Z /srv/a/secret)
writable no
refused "one that cannot be written ends the start" 'mcsd: container .* is not started: .*ledger' run --rm -v /srv/a:/data bb true
ok "and no inode is touched" same "$labels" "$(ls -Z /srv/a/secret)"
writable again
policy_is start
writable no
refused "or it starts, as configured, and is denied the volume" 'ermission denied' run --name ledgerless -v /srv/a:/data bb cat /data/secret
ok "in which no inode is touched" same "$labels" "$(ls -Z /srv/a/secret)"
says "and mcsd tells of it" ledgerless started_unprepared ledgerless ledger
writable again
docker rm -f ledgerless >/dev/null
policy_is refuse
ok "with a ledger again it is as before" run --rm -v /srv/a:/data bb cat /data/secret

comment "a root file system that is not an overlay"
docker_settings '."storage-driver" = "vfs"' >/dev/null
import_bb >/dev/null
# Refused before the runtime is called; this policy's Docker could not start it, the gate or no gate.
refused "ends the start, with what to do" 'mcsd: .*cannot be given a level of mcsd.s own.*level = "docker"' run --rm bb true
docker_settings 'del(."storage-driver")' >/dev/null
ok "one that is starts again" run --rm bb true
ending
