#!/bin/bash
# A pair for whoever asks: commands at a level of their own, whose volumes are labelled, held and put back like a
# container's, also when they are killed; and reservations that end with a process, a unit or at a time.
# Promises 1, 2, 6 and 8, as the kernel enforces them.
# policies: debian fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/containers.sh"

denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null; }
denials_of_mcsd() { denials | grep -E 'scontext=[^ ]*:mcsd_t:'; }
is_gone() { ! mcsctl show "$1"; }
is_free() { ! mcsctl -q pairs | grep -Fx -- "$1"; } # LEVEL
is_running() { [ "$(mcsctl --json show "$1" | jq -r .isolated)" = true ]; }
background() { # NAME ARGUMENTS…: a run that sleeps, in the background
  local name=$1; shift
  mcsctl run --name "$name" "$@" -- sleep 100000 >/dev/null 2>&1 </dev/null &
  echo $! >"/run/$name.pid"
}
pid() { cat "/run/$1.pid"; }
process_of() { tr -d '\0' <"/proc/$(pid "$1")/attr/current"; echo; }
reserved() { mcsctl pairs --state reserved | grep -E "$1"; }
has_ended() { ! reserved "$1"; }

mkdir -p /etc/mcsd/conf.d /srv/a /srv/b /srv/c
printf '[volumes]\nlinger = "2s"\n' >/etc/mcsd/conf.d/run.toml
for place in a b c; do echo "the secret of $place" >/srv/$place/secret; done
mkdir /srv/a/deep && touch /srv/a/deep/file && chcon -t var_log_t /srv/a/deep/file
labels_below /srv/a /srv/b /srv/c >/root/before
ok "mcsd is started" systemctl start mcsd.service
ok "it has seen who is there" wait_for 60 bash -c 'mcsctl --json status | jq -e .synced'

comment "a command at a pair of its own"
says "it runs in the domain of containers, at two categories" ':container_t:s0:c[0-9]+,c[0-9]+$' mcsctl run -- id -Z
says "what it prints goes where its caller has it" '^out$' bash -c 'mcsctl run -- echo out | cat'
says "and it reads what its caller gives it" '^in$' bash -c 'echo in | mcsctl run -- cat'
says "what it prints goes to a file as well" '^file$' bash -c 'mcsctl run -- echo file >/root/out; cat /root/out'
says "and what it says goes where errors go" '^cat: /no' bash -c 'mcsctl run -- cat /no 2>&1 >/dev/null | cat'
says "a megabyte comes through whole" '^1048576$' bash -c 'mcsctl run -- head -c 1048576 /dev/zero | wc -c'
ok "on a terminal it has the terminal" script -qec 'mcsctl run -- sh -c "echo hello"' /root/typescript
says "and prints there" '^hello' cat /root/typescript
says "its level is in its environment" '^s0:c[0-9]+,c[0-9]+$' mcsctl run -- sh -c 'echo $MCSD_LEVEL'
says "its exit status is passed on" '^7$' bash -c 'mcsctl run -- sh -c "exit 7"; echo $?'
signalled() { mcsctl run --name s -- sleep 100000 & wait_for 30 is_running s; kill -TERM $!; wait $!; echo $?; }
says "a signal is passed on" '^143$' signalled
says "a signal of its own is passed on" '^137$' bash -c 'mcsctl run -- sh -c "kill -9 \$\$"; echo $?'
refused "a program that there is not is told like in a shell" "there is no program 'nosuch'" mcsctl run -- nosuch
refused "a domain that there is not is refused" "does not accept the context .*nosuch_t" mcsctl run --type nosuch_t -- true
ok "nothing is left of any of them" wait_for 30 nobody_holds

comment "its volumes are its own"
background one --volume /srv/a
background two --volume /srv/b:private
ok "one runs, and mcsd calls it isolated" wait_for 60 is_running one
ok "two runs, and mcsd calls it isolated" wait_for 60 is_running two
one=$(level one) two=$(level two)
ok "they hold different pairs: $one and $two" test "$one" != "$two"
says "the process of one carries its level" ":container_t:$one\$" process_of one
says "every file in the volume of one carries its level" '^0$' \
  bash -c "find /srv/a -exec stat -c %C {} + | grep -cv ':container_file_t:$one\$' || true"
says "mcsctl containers lists both" "^one +run-.*running +active +$one +assigned +yes +1/1" mcsctl containers
says "mcsctl volumes says who has the volume" "/srv/a +$one +ready +one" mcsctl volumes
ok "disk, processes and ledger agree" mcsctl verify
# A process at the level of a run that is there: not through a pipe, which the kernel would take from it
reads() { runcon "system_u:system_r:container_t:$1" cat "$2" >/dev/null 2>&1 </dev/null; } # LEVEL PATH
ok "a process at one's level reads the volume of one" reads "$one" /srv/a/secret
not "the kernel denies it the volume of two" reads "$one" /srv/b/secret
ok "a process at two's level reads the volume of two" reads "$two" /srv/b/secret
not "and is denied the volume of one" reads "$two" /srv/a/secret
says "a third run reads its own" 'the secret of c' mcsctl run --volume /srv/c -- cat /srv/c/secret
refused "and neither of the others'" 'Permission denied' mcsctl run --volume /srv/c -- cat /srv/a/secret
refused "a run is refused the volume that another one has" 'one holds /srv/a as private' \
  mcsctl run --volume /srv/a -- true
refused "and a container is" 'one holds /srv/a as private' runs thief -v /srv/a:/loot
says "a protected place is left alone, and that is said" 'left alone: /etc: it belongs to the operating system' \
  mcsctl run --volume /etc -- true
docker rm -f thief >/dev/null

comment "whoever is killed, everything is taken back"
kill -9 "$(pid one)"
ok "one is killed, and is no container any more" wait_for 30 is_gone one
ok "its level is free again, after its linger" wait_for 60 is_free "$one"
ok "mcsd is killed as well" systemctl kill -s SIGKILL mcsd.service
kill -9 "$(pid two)"
ok "two is killed while mcsd does not run" wait_for 60 mcsctl status
ok "the next mcsd takes everything back" wait_for 60 nobody_holds
ok "every label is what it was, byte for byte" diff /root/before <(labels_below /srv/a /srv/b /srv/c)
for n in $(seq 20); do
  mcsctl run --volume /srv/a -- sleep 100000 >/dev/null 2>&1 </dev/null &
  sleep "0.$((n * 3 % 10))"
  kill -9 $!
done
ok "twenty are killed at any moment, and nothing is held" wait_for 60 nobody_holds
ok "every label is what it was, byte for byte" diff /root/before <(labels_below /srv/a /srv/b /srv/c)
background one --volume /srv/a
ok "one runs again" wait_for 60 is_running one
ok "mcsd is restarted" systemctl restart mcsd.service
ok "one is still isolated" wait_for 60 is_running one
kill "$(pid one)"
ok "it ends, and nothing is held" wait_for 60 nobody_holds

comment "in a service"
cat >/run/systemd/system/box.service <<'UNIT'
[Service]
ExecStart=/usr/bin/mcsctl run --name box --volume /srv/a -- sh -c 'echo "the level is $MCSD_LEVEL"; exec sleep 100000'
UNIT
systemctl daemon-reload
ok "a service is started by mcsctl run" systemctl start box.service
ok "it is isolated" wait_for 60 is_running box
ok "its main process is the command" bash -c 'test "$(ps -o comm= "$(systemctl show -P MainPID box)")" = sleep'
ok "what it prints is in the journal" wait_for 30 bash -c 'journalctl -u box -o cat | grep -E "^the level is s0:c"'
ok "it is stopped" systemctl stop box.service
ok "and nothing is held" wait_for 60 nobody_holds

comment "reservations end by themselves"
sleep 100000 & held=$!
says "a level is reserved for as long as a process runs" '^s0:c' mcsctl reserve p --pid $held
ok "that is shown" reserved "p \(while process $held runs\)"
kill -9 $held
ok "it ends with the process" wait_for 30 has_ended ' p '
refused "a process that there is not is refused" 'there is no process' mcsctl reserve p --pid $held
systemd-run --quiet --unit held sleep 100000
says "a level is reserved for as long as a unit is active" '^s0:c' mcsctl reserve u --unit held
ok "that is shown" reserved 'u \(while held.service is active\)'
ok "mcsd is restarted" systemctl restart mcsd.service
ok "it is still reserved" wait_for 60 reserved 'u \(while held.service is active\)'
level=$(mcsctl -q pairs --state reserved)
background three --volume /srv/c
ok "a run beside it has another level" wait_for 60 is_running three
kill "$(pid three)"
ok "the unit is stopped" systemctl stop held.service
ok "the reservation ends with it" wait_for 30 has_ended ' u '
ok "its level is free" wait_for 60 is_free "$level"
refused "a unit that is not active is refused" "'held.service' is not active" mcsctl reserve u --unit held
systemd-run --quiet --unit short -p RemainAfterExit=yes true
ok "a unit may be active without a process" wait_for 30 mcsctl reserve s --unit short
ok "the reservation lasts while it is" reserved 's \(while short.service is active\)'
ok "it is stopped" systemctl stop short.service
ok "the reservation ends with it" wait_for 30 has_ended ' s '
says "a level is reserved for a time" '^s0:c' mcsctl reserve t --until 3s
ok "which ends by itself" wait_for 30 has_ended ' t '
sleep 100000 & held=$!
level=$(mcsctl reserve stays --pid $held)
ok "a container takes a reserved level" runs stays --security-opt "label=level:$level" -v /srv/b:/data
kill -9 $held
ok "the reservation ends" wait_for 30 bash -c '[ "$(mcsctl --json show stays | jq -r .reservation)" = null ]'
says "the container keeps the level" "^stays .*active +$level +assigned +yes" mcsctl containers
docker rm -f stays >/dev/null
ok "until it is gone itself" wait_for 60 nobody_holds

comment "the end"
ok "every label is what it was, byte for byte" diff /root/before <(labels_below /srv/a /srv/b /srv/c)
not "the policy denied mcsd nothing" denials_of_mcsd
plan
