#!/bin/bash
# Volumes in use are watched. Labels that restorecon, chcon, mv or dockerd (for a container that is then refused) have
# changed are corrected at once, files that were moved out are found, and in the end all have their original labels.
# policies: debian fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

label() { label_of "$1" | cut -d: -f3-; }
is_at() { [[ $(label "$1") == *"_t:$2" ]]; }          # PATH LEVEL
is_what_it_was() { [ "$(label "$1")" = "$2" ]; }      # PATH TYPE:LEVEL
all_at() { ! find "$1" -exec sh -c 'for one; do [ "$(getfattr -h --absolute-names --only-values -n security.selinux "$one" | tr -d "\0" | cut -d: -f4-)" = "'"$2"'" ] || echo "$one"; done' - {} + | grep .; }
capabilities() { grep -E '^Cap(Eff|Bnd):' "/proc/$(systemctl show -P MainPID mcsd.service)/status"; }
marks() { grep -c '^fanotify ino:' /proc/"$(systemctl show -P MainPID mcsd.service)"/fdinfo/* | grep -v ':0$'; }

mkdir -p /etc/mcsd/conf.d /srv/h/deep /srv/bk /srv/s
printf '[volumes]\nlinger = "2s"\n' >/etc/mcsd/conf.d/volumes.toml
for one in a b deep/c deep/d; do echo "in $one" >"/srv/h/$one"; done
restorecon -RF /srv/h # as it is done below: what somebody else labels on purpose is an original
labels_below /srv/h >/root/before
was=$(label /srv/h/a)
ok "systemd starts mcsd" systemctl start mcsd.service
says "it has two capabilities, as before" 'CapEff:.0+c$' capabilities

ok "a container runs" runs holder -v /srv/h:/d
at=$(level holder)
ok "its directories are marked" wait_for 20 marks
ok "which mcsd says" wait_for 20 is_watched holder
ok "it is isolated" wait_for 20 is_isolated holder

comment "a label is changed"
chcon -t tmp_t -l s0 /srv/h/deep/c
ok "it is put right" wait_for 5 is_at /srv/h/deep/c "$at"
ok "and told" wait_for 5 told volume-touched 'somebody changed labels in it, for instance /srv/h/deep/c to .*tmp_t'
ok "the container is isolated" wait_for 10 is_isolated holder

comment "restorecon"
restorecon -RF /srv/h
ok "everything is put right" wait_for 10 all_at /srv/h "$at"
says "the container reads" 'in deep/d' docker exec holder cat /d/deep/d

comment "something is moved in, and in a directory"
echo new >/srv/new; mkdir /srv/newdir; echo below >/srv/newdir/f
mv /srv/new /srv/newdir /srv/h/
ok "it carries the level" wait_for 5 all_at /srv/h "$at"
says "the container reads it" new docker exec holder cat /d/new
says "with what is below" below docker exec holder cat /d/newdir/f
ok "which is no warning" wait_for 5 told volume-joined 'was moved in'

comment "what the container makes is watched as well"
docker exec holder sh -c 'mkdir -p /d/own/deeper && echo x >/d/own/deeper/f'
sleep 1
chcon -l s0 /srv/h/own/deeper/f
ok "it is put right" wait_for 5 is_at /srv/h/own/deeper/f "$at"

comment "something is moved out"
mv /srv/h/a /srv/bk/; mv /srv/h/own /srv/bk/
ok "it has back what it had" wait_for 5 is_what_it_was /srv/bk/a "$was"
ok "what was born inside keeps no level" wait_for 5 all_at /srv/bk/own s0
ok "which is told" wait_for 5 told file-followed '/srv/bk/a was moved out'
mv /srv/bk/a /srv/h/
ok "and comes back" wait_for 5 is_at /srv/h/a "$at"
rm -r /srv/bk/own /srv/h/new /srv/h/newdir

for letter in Z z; do
  comment "Docker relabels for a container that is refused: :$letter"
  ok "it is made" create "thief$letter" -v "/srv/h:/d:$letter"
  refused "mcsd refuses it" 'holder holds /srv/h' mcsctl wait --timeout 60 "thief$letter"
  docker start "thief$letter" >/dev/null 2>&1 || comment "Docker may not relabel it on this policy"
  sleep 1
  ok "everything carries its holder's level" wait_for 20 all_at /srv/h "$at"
  says "the holder reads" 'in b' docker exec holder cat /d/b
  not "the other does not" docker exec "thief$letter" cat /d/b
  ok "the holder is isolated" wait_for 20 is_isolated holder
  docker rm -f "thief$letter" >/dev/null
done

comment "something is mounted inside"
mkdir /srv/h/disk; sleep 1; mount -t tmpfs none /srv/h/disk
ok "it is told" wait_for 5 told volume-covered 'mounted on /srv/h/disk'
umount /srv/h/disk; rmdir /srv/h/disk

comment "a share: what one makes the other reads, whatever level the policy gives it"
ok "one runs" runs s1 -v /srv/s:/d:z
ok "and another" runs s2 -v /srv/s:/d:z
sleep 1
docker exec s1 sh -c 'echo shared >/d/file; mkdir /d/dir; echo deep >/d/dir/f'
ok "new files carry the share's level" wait_for 5 all_at /srv/s s0
says "the other reads them" 'deep' docker exec s2 cat /d/dir/f

comment "the end"
docker rm -f holder s1 s2 >/dev/null
ok "all is given back" wait_for 60 nobody_holds
ok "exactly" sh -c 'find /srv/h -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort | diff /root/before -'
says "mcsd was denied nothing" '^0$' sh -c 'ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -cE "scontext=[^ ]*:mcsd_t:" || true'
denials || true
plan
