#!/bin/bash
# mcsctl why: a story for each cause of a denial, and each remedy typed as it is printed.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/containers.sh"

settled() { mcsctl --json show "$1" | jq -e '.settled and .isolated' >/dev/null; }
answers() { mcsctl status >/dev/null 2>&1; }
# What a program is told of one container since the last mark.
mark() { sleep 1.1; MARK=$(date '+%Y-%m-%d %H:%M:%S'); }
why() { mcsctl --json why "$1" --since "$MARK"; }
tells() { mcsctl why "$1" --since "$MARK"; }
is() { # NAME CODES
  local seen
  seen=$(why "$1" | jq -r '(.denials + .standing)[].causes[].code' | sort -u | paste -sd' ')
  echo "$seen"
  [ "$seen" = "$2" ]
}
remedy() { # NAME: type every command that is told, once, in order
  local all line
  all=$(why "$1" | jq -r '[(.denials + .standing)[].causes[].commands[]] | reduce .[] as $c ([]; if index($c) then . else . + [$c] end) | .[]')
  [ -n "$all" ] || { echo "nothing is told"; return 1; }
  while IFS= read -r line; do echo "# $line"; bash -c "$line" </dev/null || return; done <<<"$all"
}
# A directory that Docker may mount on either policy, and that mcsd is not to label.
open_to_all() { mkdir -p "$1"; chcon -R -l s0 "$1"; chcon -R -t svirt_sandbox_file_t "$1" 2>/dev/null || chcon -R -t container_file_t "$1"; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

# Nothing is put right by itself here: what was denied stays so until somebody does what is told.
mkdir -p /etc/mcsd/conf.d /srv/one /srv/two /srv/late
printf '[volumes]\nlinger = "1h"\nconfirm = "0"\n[watch]\ndirectories = 0\n' >/etc/mcsd/conf.d/why.toml
for place in /srv/one /srv/two /srv/late; do echo "in ${place#/srv/}" >$place/f; done
ok "systemd starts mcsd" systemctl start mcsd.service

ok "one runs" runs one -v /srv/one:/data
ok "two runs" runs two -v /srv/two:/data
wait_for 30 settled one; wait_for 30 settled two

comment "nothing was denied"
mark
says "it says so, and what else it may be" 'SELinux has denied nothing to one' mcsctl why one
says "to a program too" '"denials": \[\]' mcsctl --json why one --since "$MARK"
refused "who does not exist is not found" 'no container' mcsctl why nobody

comment "a stray copy: cp -a carries a label into another's volume"
cp -a /srv/two/f /srv/one/copy
mark
refused "it is denied" 'Permission denied' docker exec one cat /data/copy
ok "it is a stray" is one stray
says "whose level it is, and since when" 'two holds it.*since 20' tells one
says "where it is on the host, though no path was recorded" '/srv/one/copy' tells one
says "asked by path, the same" '"code": "stray"' mcsctl --json why /srv/one/copy --since "$MARK"
ok "what is told is typed" remedy one
says "and the file is read" 'in two' docker exec one cat /data/copy
ok "which is told too" is one mended

comment "a stale pair: a level that nobody holds"
echo old >/srv/one/old
chcon --reference=/srv/one/f /srv/one/old; chcon -l s0:c1,c2 /srv/one/old
mark
refused "it is denied" 'Permission denied' docker exec one cat /data/old
ok "it is stale" is one stale
ok "what is told is typed" remedy one
says "and the file is read" old docker exec one cat /data/old

comment "another's private volume, through a mount that mcsd leaves alone"
open_to_all /srv/all; mkdir -p /srv/all/inner; echo theirs >/srv/all/inner/f
ok "the inner one is somebody's volume" runs inner -v /srv/all/inner:/data
ok "another one is shown all of it" create outer --label io.mcsd.volume=/all:ignore -v /srv/all:/all
docker start outer
mark
refused "it is denied" 'Permission denied' docker exec outer cat /all/inner/f
ok "it is another's volume" is outer others-volume
says "whose, and since when" 'inner holds it.*since 20' tells outer
says "what to do" 'io.mcsd.volume=DESTINATION:shared' tells outer
docker rm -f outer inner >/dev/null
ok "made again as it is told: one" runs inner --label io.mcsd.volume=/data:shared -v /srv/all/inner:/data
ok "and the other" create outer --label io.mcsd.volume=/all:ignore -v /srv/all:/all
docker start outer
wait_for 30 settled inner
says "it reads" theirs docker exec outer cat /all/inner/f
docker rm -f outer inner >/dev/null

comment "another's private volume, asked for"
ok "another asks for one's" create thief -v /srv/one:/data
if docker start thief 2>/dev/null; then
  mark
  refused "it is denied" 'Permission denied' docker exec thief cat /data/f
  ok "it is refused" is thief refused
  says "who has it" 'one holds /srv/one as private' tells thief
  says "what to do" 'to share it, add /data:shared' tells thief
else
  says "on this policy it does not start, and the reason is shown" 'one holds /srv/one as private' mcsctl show thief
fi
docker rm -f thief >/dev/null

comment "not yet labelled"
open_to_all /srv/late; chcon -l s0:c3,c4 /srv/late/f # a file: refpolicy writes nothing down of such directories
systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
create late -v /srv/late:/data
docker start late
mark
refused "it is denied while mcsd is not there" 'Permission denied' docker exec late cat /data/f
systemctl start mcsd.socket mcsd-gate.socket mcsd.service
wait_for 60 answers
ok "mcsd labels it" mcsctl wait late --timeout 60
ok "the denial will not come again" is late mended
ok "what is told is typed" remedy late
says "it reads" 'in late' docker exec late cat /data/f
docker rm -f late >/dev/null

comment "Docker itself is denied a volume that is not labelled"
mkdir -p /srv/mount; echo mounted >/srv/mount/f
systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
create mount -v /srv/mount:/data
mark
if docker start mount 2>/dev/null; then
  comment "this policy lets Docker mount it"
  systemctl start mcsd.socket mcsd-gate.socket mcsd.service
  wait_for 60 answers
else
  systemctl start mcsd.socket mcsd-gate.socket mcsd.service
  wait_for 60 answers; wait_for 60 mcsctl wait mount --timeout 60 >/dev/null
  ok "it was Docker's own domain, or it would be allowed now" bash -c "$(declare -f why is); MARK='$MARK'; is mount engine || is mount mended"
  ok "what is told is typed" remedy mount
  says "it reads" mounted docker exec mount cat /data/f
fi
docker rm -f mount >/dev/null

comment "what a rule leaves out"
echo kept >/srv/outside
ln /srv/outside /srv/one/linked
mark
refused "it is denied" 'Permission denied' docker exec one cat /data/linked
ok "it has another name" is one left-out
says "what to do" 'put a copy in its place' tells one
says "where the other name is" '^/srv/outside$' remedy one
ok "done" bash -c 'cd /srv/one && cp -p linked new && mv new linked'
ok "and labelled" mcsctl verify --repair one
says "it reads" kept docker exec one cat /data/linked

comment "type enforcement, in a mount that mcsd is not to label"
open_to_all /srv/types; echo typed >/srv/types/f; chcon -t var_t /srv/types/f
ok "one is shown it" create types --label io.mcsd.volume=/t:ignore -v /srv/types:/t
docker start types
mark
refused "it is denied" 'Permission denied' docker exec types cat /t/f
ok "mcsd leaves it alone, and no rule allows the type" is types 'left-alone type'
says "the types are named, the policy's own and a volume's" 'of type var_t; the policy.s own label .* is var_t, a volume.s is container_file_t' tells types
cd /root
ok "what is told is typed" remedy types
says "it reads" typed docker exec types cat /t/f
ok "and undone as it is told" semodule -r "$(semodule -l | grep -o '^local_[0-9]*' | head -n 1)"
docker rm -f types >/dev/null

comment "types and categories both: the rule alone would mend nothing"
chcon -t var_t -l "$(level two)" /srv/one/copy
mark
refused "it is denied" 'Permission denied' docker exec one cat /data/copy
says "both are told" '"categories": true' mcsctl --json why one --since "$MARK"
ok "as stray and type" is one 'stray type'
not "no rule is proposed" grep -q semodule <(tells one)
ok "what is told is typed" remedy one
says "it reads" 'in two' docker exec one cat /data/copy

comment "a boolean"
mkdir -p /srv/caps/closed; chmod 0555 /srv/caps/closed; chown 1 /srv/caps/closed
ok "one runs" runs caps -v /srv/caps:/data
wait_for 30 settled caps
mark
if docker exec caps touch /data/closed/x 2>/dev/null; then
  comment "this policy lets it override modes"
else
  ok "a boolean would allow it" is caps boolean
  says "which, and how to have mcsd lease it" 'under \[booleans\] in mcsd.toml' tells caps
  ok "what is told is typed" remedy caps
  ok "it works" docker exec caps touch /data/closed/x
fi
docker rm -f caps >/dev/null

comment "file modes: SELinux was not it"
mkdir -p /srv/modes; echo closed >/srv/modes/f; chmod 0700 /srv/modes
ok "one runs as a user" runs modes --user 1000:1000 -v /srv/modes:/data
wait_for 30 settled modes
mark
refused "it is denied" 'Permission denied' docker exec modes cat /data/f
ok "it is the mode" is modes file-mode
ok "what is told is typed" remedy modes
says "and it reads" closed docker exec modes cat /data/f
docker rm -f modes >/dev/null

comment "capabilities: SELinux was not it, where an audit rule has failed calls written down"
auditctl -a always,exit -F arch=b64 -S chown -S fchown -S fchownat -S lchown -F exit=-EPERM >/dev/null
ok "one has no CHOWN" create capless --cap-drop CHOWN
docker start capless
mark
refused "it may not" 'not permitted' docker exec capless chown 1 /etc/passwd
ok "it is the capability" is capless capability
says "which, and what to do" 'cap-add=CHOWN' tells capless
auditctl -D >/dev/null
docker rm -f capless >/dev/null
ok "made again as it is told" create capless --cap-drop CHOWN --cap-add CHOWN
docker start capless
ok "it works" docker exec capless chown 1 /etc/passwd
docker rm -f capless >/dev/null

comment "seccomp: SELinux was not it"
printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_KILL_PROCESS"}]}' >/root/profile.json
ok "one has a profile that kills" create filtered --security-opt seccomp=/root/profile.json
docker start filtered
mark
not "it ends" docker exec filtered mkdir /tmp/x
sleep 1
ok "it is the profile" is filtered seccomp
says "what to do" 'seccomp=FILE' tells filtered
says "what is told is typed" 'seccomp' remedy filtered
docker rm -f filtered >/dev/null
ok "made again with another profile" create filtered
docker start filtered
ok "it works" docker exec filtered mkdir /tmp/x
docker rm -f filtered >/dev/null

comment "a storm is one line, and mcsd hears of it once"
ok "whoever follows is started" systemctl start mcsd-denials.service
mkdir -p /srv/storm; echo x >/srv/storm/f
ok "one runs" runs storm -v /srv/storm:/data
wait_for 30 settled storm
chcon -l s0:c1,c2 /srv/storm/f
mark
docker exec storm sh -c 'i=0; while [ $i -lt 300 ]; do cat /data/f; i=$((i+1)); done' >/dev/null 2>&1
says "with a count" '[0-9]+ times' tells storm
one_line() { why storm | jq -e '(.denials | length) == 1 and .denials[0].count > 100'; }
ok "one for all" one_line
told() { mcsctl --json events --kind denied | grep -c '"container storm was denied'; }
heard_once() { [ "$(told)" = 1 ]; }
ok "it is an event, once" wait_for 60 heard_once
says "the status says so" 'Denials +warn +storm: .*stale' mcsctl status
says "and what to type" 'next: mcsctl why storm' mcsctl status
says "it is listed" 'storm' curl -s --unix-socket /run/mcsd/mcsd.sock http://mcsd/v1/denials
docker rm -f storm >/dev/null
ok "whoever follows still runs" systemctl is-active mcsd-denials.service

comment "without auditd the journal has it"
systemctl start systemd-journald-audit.socket
mark
echo mine >/srv/one/mine; chcon -l s0:c1,c2 /srv/one/mine
docker exec one cat /data/mine >/dev/null 2>&1
in_journal() { mcsctl --json why one --since "$MARK" --log /nowhere/audit.log | jq -e '.source == "the journal" and (.denials | length) > 0' >/dev/null; }
if journalctl -q _TRANSPORT=audit -n 1 | grep -q .; then
  ok "it is found there" wait_for 20 in_journal
else
  says "this journal keeps no records, and it is said where was looked" 'the journal' mcsctl why one --since "$MARK" --log /nowhere/audit.log
fi

not "mcsd itself was denied nothing" denials_of_mcsd
ausearch --raw -m avc -ts recent 2>/dev/null | grep -E ':(container_t|dockerd_t|svirt)' | tail -n 40 | cut -c1-300 | sed 's/^/# /'
journalctl -u mcsd -u mcsd-denials --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
