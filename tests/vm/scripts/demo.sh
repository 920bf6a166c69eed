#!/bin/bash
# mcsd's main job as a story: two containers, their volumes, and a kernel that denies each the other's files.
set -u
. "$TAP"

field() { mcsctl --json show "$1" | python3 -c "import json,sys; print(json.load(sys.stdin)['$2'])"; }
label_of() { getfattr --absolute-names -h --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0'; }
labels_below() { find "$1" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
context_of_mcsd() { tr '\0' '\n' <"/proc/$(systemctl show -P MainPID mcsd.service)/attr/current"; }
carries() { # PATH CONTAINER: every inode below PATH carries the container's level
  local level labels
  level=$(field "$2" level)
  labels=$(find "$1" -exec getfattr --absolute-names -h -n security.selinux {} + | sed -n 's/^security.selinux="\([^"\\]*\).*/\1/p')
  ls -dZ "$1" "$1"/* | head -5
  sort <<<"$labels" | uniq -c
  [ -n "$level" ] && [ "$(wc -l <<<"$labels")" = "$(find "$1" | wc -l)" ] &&
    ! grep -qv ":container_file_t:$level\$" <<<"$labels"
}
wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
level_of() { tr -d '\0\n' <"/proc/$(docker inspect --format '{{.State.Pid}}' "$1")/attr/current" | grep -oE 's0:c[0-9.,c]+$'; }
walks_of() { journalctl -u mcsd --no-pager -o cat | grep -c "volume $1 of container"; }
is_free() { mcsctl pairs; ! mcsctl pairs -q | grep -qxF "$1"; }
nobody_carries() { # LEVEL: no process, no mount, no file
  ! { ps -eo label=; cat /proc/mounts; find /srv /var/lib/docker/containers /var/lib/docker/volumes \
    -exec getfattr --absolute-names -h -n security.selinux {} + 2>/dev/null; } | grep -F ":$1" | grep .
}
nobody_holds() { mcsctl pairs; [ "$(mcsctl --json pairs | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["items"]))')" = 0 ]; }
is_unlabelled_again() { diff <(cat "$1") <(labels_below "$2") >/dev/null && echo "every label below $2 is what it was, byte for byte"; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }
denied_to_containers() {
  { ausearch -m avc -ts recent; journalctl -q -o cat --since -10min _TRANSPORT=audit; } 2>/dev/null |
    grep -E 'avc: +denied.*:container_t:.*:container_file_t:' | tail -n 2
}
is_isolated() { mcsctl containers; [ "$(field "$1" isolated)" = True ]; }

mkdir -p /etc/mcsd/conf.d
configure() { printf '[volumes]\nlinger = "%s"\n[gate]\nlevel = "%s"\n' "$1" "$2" >/etc/mcsd/conf.d/demo.toml; }
configure 2s fresh
mkdir -p /srv/one/deep /srv/two
echo "the secret of one" >/srv/one/secret
echo "the secret of two" >/srv/two/secret
echo deep >/srv/one/deep/file
labels_below /srv/one >/root/one.before
labels_below /srv/two >/root/two.before

comment "the host"
says "SELinux enforces" Enforcing getenforce
says "Docker labels its containers" selinux docker info --format '{{.SecurityOptions}}'
says "before mcsd, the volumes carry the host's own label" ':var_t:s0' ls -dZ /srv/one /srv/two

comment "mcsd, from its unit"
ok "systemd starts mcsd" systemctl start mcsd.service
says "it runs confined, in its own domain" ':mcsd_t:' context_of_mcsd
not "that domain is not permissive" grep -qw mcsd_t <(semanage permissive -l -n 2>/dev/null)

comment "two containers, each with a directory of the host; Docker gets no SELinux option"
for name in one two; do
  ok "container $name starts" docker create --name $name --network none -v /srv/$name:/data bb sleep 100000
  ok "mcsd has its volume ready" mcsctl wait --timeout 60 $name
  ok "it runs" docker start $name
done
one=$(field one level) two=$(field two level)
ok "they hold different pairs: $one and $two" test -n "$one" -a "$one" != "$two"
ok "every file in the volume of one carries one's level" carries /srv/one one
ok "every file in the volume of two carries two's level" carries /srv/two two
says "container one reads its volume" "the secret of one" docker exec one cat /data/secret
ok "and writes it" docker exec one sh -c 'echo more >/data/new'
says "container two reads its volume" "the secret of two" docker exec two cat /data/secret
ok "a new file inside carries the level" carries /srv/one one
wait_for 30 is_isolated one >/dev/null
ok "mcsd reports container one as isolated" is_isolated one

comment "what keeps them apart is the kernel: a process at one's level cannot read the file of two, even where it is mounted"
# A file, because refpolicy has dontaudit rules for directories that are mount points.
ok "a container is put at one's level, with two's secret mounted into it" \
  docker create --name thief --network none --security-opt "label=level:$one" -v /srv/two/secret:/loot bb sleep 100000
docker start thief >/dev/null 2>&1
refused "the kernel denies a process at one's level the file of two" 'Permission denied|not running' docker exec thief cat /loot
refused "nor may a process at two's level read the file of one" 'Permission denied' docker run --rm --network none \
  --security-opt "label=level:$two" -v /srv/one/secret:/loot bb cat /loot
wait_for 10 denied_to_containers >/dev/null
says "the denial is in the audit log" 'avc:.*denied' denied_to_containers
says "mcsd names the conflict that was made for this" 'conflict|not separate' mcsctl show thief
docker rm -f thief >/dev/null
ok "the volume of two was not relabelled for it" carries /srv/two two

comment "a restart"
ok "docker restart" docker restart -t 1 one
says "container one still reads its volume" "the secret of one" docker exec one cat /data/secret

comment "killed in the middle of a walk"
mkdir -p /srv/three
for d in $(seq 1 20); do mkdir /srv/three/$d; (cd /srv/three/$d && touch $(seq 1 100)); done
labels_below /srv/three >/root/three.before
docker create --name three --network none -v /srv/three:/data bb sleep 100000 >/dev/null
wait_for 20 grep -q . <(mcsctl volumes | grep three) >/dev/null 2>&1
ok "mcsd is killed with SIGKILL while it walks 2,000 files" systemctl kill -s KILL --kill-whom=main mcsd.service
ok "systemd restarts it, and it finishes the walk" wait_for 60 mcsctl wait --timeout 60 three
ok "every inode carries the level" carries /srv/three three
ok "the levels of one and two are unchanged" test "$one $two" = "$(field one level) $(field two level)"

comment "with the gate mcsd itself chooses the level, and all is ready before the first instruction"
mkdir -p /srv/four
echo "the secret of four" >/srv/four/secret
ok "the gate is switched on" mcsctl gate enable --reload
says "a container reads its volume in its first instruction (50 of 50 times: tests/vm/scripts/gate.sh -- 50)" "the secret of four" \
  docker run --rm --network none -v /srv/four:/data bb cat /data/secret
# A directory that mcsd is told to leave alone: in a volume that it looks after, it would put the label right.
mkdir -p /srv/next && echo "the next holder's" >/srv/next/file && chcon -R -t container_file_t -l s0 /srv/next
docker run -d --name four --network none -v /srv/four:/data -v /srv/next:/next \
  --label io.mcsd.volume=/next:ignore bb sleep 100000 >/dev/null
first=$(level_of four)
ok "started again" docker restart -t 0 four
second=$(level_of four)
ok "it has another level: first $first, now $second" test -n "$first" -a -n "$second" -a "$first" != "$second"
ok "the first is free, and nothing carries it" wait_for 30 is_free "$first"
ok "no process, mount or file" nobody_carries "$first"
chcon -l "$first" /srv/next/file
refused "a file at its former level is denied to it now" 'Permission denied' docker exec four cat /next/file
rm /srv/next/file
ok "it ends" docker stop -t 0 four
ok "its level is taken back at once" wait_for 30 is_free "$second"
ok "no process, mount or file carries it" nobody_carries "$second"
configure 10min sticky; systemctl restart mcsd.service
docker start four >/dev/null
third=$(level_of four) walks=$(walks_of /srv/four)
ok "as configured it keeps its level ($third) at the next start" sh -c "docker restart -t 0 four >/dev/null"
ok "the same level, and nothing was walked" test "$third" = "$(level_of four)" -a "$walks" = "$(walks_of /srv/four)"
docker rm -f four >/dev/null
configure 2s fresh; systemctl restart mcsd.service
ok "the gate is switched off" mcsctl gate disable --reload

comment "the end: everything is put back"
for name in one two three; do
  ok "container $name is removed" docker rm -f $name
done
ok "the pairs are free again" wait_for 60 nobody_holds
for name in one two three; do
  rm -f /srv/$name/new
  ok "the volume of $name has its original labels" is_unlabelled_again /root/$name.before /srv/$name
done
not "the policy denied mcsd nothing" denials_of_mcsd
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
