#!/bin/bash
# What happens on hosts where others change the disk, too: two parts of one volume, a pair that another container left
# on a directory, files that a walk leaves out, a read-only file system, a refused container whose volume becomes free,
# a clock that is set back, and a journal without warnings when all is well.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

label() { label_of "$1" | cut -d: -f3-; }
is_at() { [[ $(label "$1") == *"_t:$2" ]]; } # PATH LEVEL
held() { mcsctl --json pairs | jq -r '.items[].level' | grep -qx "$1"; }
gone() { ! held "$1"; }
is_ready() { mcsctl wait --timeout 5 "$1"; }
warnings() { journalctl -u mcsd -o cat --no-pager -p warning --after-cursor "$1"; }
now() { journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'; }

mkdir -p /etc/mcsd/conf.d /srv/{stale,linked,outside,over,ro,clash,clock,odd}
printf '[volumes]\nlinger = "2s"\n' >/etc/mcsd/conf.d/volumes.toml
for place in /srv/{stale,linked,over,ro,clash,clock}; do echo "in $place" >"$place/f"; done
ok "systemd starts mcsd" systemctl start mcsd.service

comment "two parts of one volume are two volumes"
docker volume create parts >/dev/null
data=$(docker volume inspect -f '{{.Mountpoint}}' parts)
mkdir "$data"/{one,two}; echo first >"$data/one/f"; echo second >"$data/two/f"
ok "one has a part" runs p1 --mount type=volume,src=parts,dst=/d,volume-subpath=one
ok "another has another" runs p2 --mount type=volume,src=parts,dst=/d,volume-subpath=two
ok "each part carries its own level" wait_for 10 is_at "$data/one/f" "$(level p1)"
ok "and the other" wait_for 10 is_at "$data/two/f" "$(level p2)"
says "one reads its own" first docker exec p1 cat /d/f
ok "one is isolated" wait_for 20 is_isolated p1
ok "and so is the other" wait_for 20 is_isolated p2
docker rm -f p1 p2 >/dev/null
ok "their levels are given back" wait_for 30 nobody_holds
docker volume rm parts >/dev/null

comment "a directory that carries a stranger's pair does not get it back"
was=$(label /srv/stale | cut -d: -f1)
chcon -R -t container_file_t -l s0:c65,c901 /srv/stale
ok "a container runs on it" runs stale -v /srv/stale:/d
at=$(level stale)
ok "it carries the container's level" wait_for 10 is_at /srv/stale/f "$at"
docker rm -f stale >/dev/null
ok "which is given back" wait_for 30 gone "$at"
says "and it has the policy's label, without a pair" "^$was:s0\$" label /srv/stale/f

comment "what a walk leaves out is said, with what to do"
ln /srv/linked/f /srv/outside/other
mkdir /srv/linked/disk && mount -t tmpfs none /srv/linked/disk && echo there >/srv/linked/disk/f
create linked -v /srv/linked:/d >/dev/null
says "wait ends well and says it" 'is ready: .* only partly' mcsctl wait --timeout 60 linked
says "with the paths" '/srv/linked/f: it has another name' sh -c 'mcsctl wait linked 2>&1'
says "and the mount" '/srv/linked/disk: something else is mounted there' sh -c 'mcsctl wait linked 2>&1'
says "show says it too" 'left out +/srv/linked/f' mcsctl show linked
says "and the journal" 'only partly: .*/srv/linked' told volume-partly .
says "show says when the disk was looked at" 'disk +all of it right [0-9]+ (s|min) ago, and watched since' mcsctl show linked
docker rm -f linked >/dev/null
umount /srv/linked/disk

comment "a mount inside that the container has by itself is not called left out"
mkdir -p /srv/over/disk && mount -t tmpfs none /srv/over/disk && echo there >/srv/over/disk/f
ok "a container has both" runs over -v /srv/over:/d -v /srv/over/disk:/d/disk
says "it reads both" 'there' docker exec over cat /d/disk/f
says "nothing is left out" '^0$' sh -c "mcsctl --json show over | jq '[.claims[].left_out[]] | length'"
docker rm -f over >/dev/null
ok "it is given back" wait_for 30 nobody_holds
umount /srv/over/disk

comment "where nothing can be written nothing is held"
dd if=/dev/zero of=/root/disk bs=1M count=16 status=none && mkfs.ext4 -q /root/disk && mkdir -p /srv/disk
mount -o loop /root/disk /srv/disk && echo read >/srv/disk/f && mount -o remount,ro /srv/disk
create readonly -v /srv/disk:/d >/dev/null
says "a read-only disk is left alone" '^/d ignore unmanaged' wait_for 10 claims readonly
at=$(level readonly)
docker rm -f readonly >/dev/null
ok "its container's level is not held" wait_for 20 gone "$at"
mkdir -p /srv/tmp && mount -t tmpfs none /srv/tmp && echo in memory >/srv/tmp/f
ok "one runs on a tmpfs" runs memory -v /srv/tmp:/d
at=$(level memory)
docker stop -t 0 memory >/dev/null; umount -l /srv/tmp; docker rm -f memory >/dev/null
ok "which is gone, and so is the level" wait_for 60 gone "$at"
umount /srv/disk

comment "who was refused is woken when the holder goes"
ok "one holds a volume" runs first -v /srv/clash:/d
create second -v /srv/clash:/d >/dev/null
refused "another is refused it" 'first holds /srv/clash' mcsctl wait --timeout 60 second
docker rm -f first >/dev/null
ok "and has it when the first is gone" wait_for 10 is_ready second
docker rm -f second >/dev/null

comment "a clock that is set back keeps nothing lingering"
ok "one runs" runs clock -v /srv/clock:/d
at=$(level clock)
docker rm -f clock >/dev/null
date -s '-2 days' >/dev/null
ok "its level comes back all the same" wait_for 30 gone "$at"
date -s '+2 days' >/dev/null

comment "normal days make no warnings"
sleep 3
since=$(now)
mkdir -p /srv/day && echo x >/srv/day/f
for number in $(seq 25); do
  docker run -d --name "day$number" --network none -v /srv/day:/d bb sleep 100000 >/dev/null || comment "$number did not start"
  docker stop -t 0 "day$number" >/dev/null; docker start "day$number" >/dev/null
  docker rm -f "day$number" >/dev/null
done
ok "all come to their end" wait_for 60 nobody_holds
says "fifty starts and stops, and not one warning" '^$' sh -c 'journalctl -u mcsd -o cat --no-pager -p warning --after-cursor "$0"; echo' "$since"
not "not a word of anybody who is not isolated" told not-isolated 'day[0-9]'
says "mcsd was denied nothing" '^0$' sh -c 'ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -cE "scontext=[^ ]*:mcsd_t:" || true'
plan
