#!/bin/bash
# Docker and Podman on one host, which choose pairs without knowing of each other's, and a process in a virtual
# machine's domain: mcsd sees all of them. Promises 1, 2 and 8, as the kernel enforces them.
set -u
. "$TAP"
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p "$XDG_RUNTIME_DIR"

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
create() { docker create --name "$1" --network none "${@:2}" bb sleep 100000; }
pod() { podman run -d --name "$1" --network none "${@:2}" localhost/bb sleep 100000; }
pid_of() { podman inspect -f '{{.State.Pid}}' "$1"; }
context_of() { tr -d '\0' <"/proc/$1/attr/current"; }
level_of() { context_of "$1" | cut -d: -f4-; }
told() { # MESSAGE_ID FIELD=VALUE…
  journalctl -q -o cat -u mcsd.service "MESSAGE_ID=$1" "${@:2}" | grep .
}
configure() { printf '%s\n' "$@" >/etc/mcsd/conf.d/podman.toml; systemctl restart mcsd.service; }
foreign() { mcsctl pairs --state foreign; }
none_foreign() { [ "$(mcsctl --json pairs --state foreign | jq '.items | length')" = 0 ]; }
nobody_holds() { [ "$(mcsctl --json pairs | jq '.items | length')" = 0 ]; }
in_conflict() { mcsctl containers --conflicts | grep -q "^$1 "; }
conflicts_in_status() { mcsctl --json status | jq -e '.containers.in_conflict == 1'; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
conflict=f12adb90adbc472c9a5a033ea0a9a683

mkdir -p /etc/mcsd/conf.d
places=(/srv/docker /srv/podman /srv/clash)
for place in "${places[@]}"; do mkdir -p "$place"; echo "it is ${place#/srv/}'s" >"$place/file"; done
labels_below /srv/docker /srv/clash >/root/before

comment "two engines"
ok "mcsd starts" configure '[volumes]' 'linger = "2s"'
# No registry: Podman gets the file system that Docker has.
ok "Podman has the image" bash -c 'docker export "$(docker create --network none bb true)" | podman import - bb && docker container prune -f'
ok "a Podman container runs" pod stranger -v /srv/podman:/data:Z
stranger=$(pid_of stranger)
level=$(level_of "$stranger")
says "confined, at a level of Podman's own choice: $level" ':container_t:s0:c[0-9]+,c[0-9]+$' context_of "$stranger"
create own -v /srv/docker:/data >/dev/null
ok "a Docker container runs beside it, its volume ready" bash -c 'mcsctl wait --timeout 60 own && docker start own'
says "mcsctl pairs says who holds Podman's level" "$level +foreign +process $stranger" foreign
says "and that nobody else is one" '^1$' bash -c 'mcsctl --json pairs --state foreign | jq ".items | length"'
says "Docker's container reads its volume" "it is docker's" docker exec own cat /data/file
# What `podman exec` prints is lost on this policy; what the container writes is not.
podman exec stranger sh -c 'cat /data/file >/data/copy'
says "Podman's reads and writes the other" "it is podman's" cat /srv/podman/copy
labels_below /srv/podman >/root/podman
create thief -v /srv/podman:/data >/dev/null
refused "a Docker container that mounts Podman's volume does not get it" "carries the level of process $stranger" \
  mcsctl wait --timeout 60 thief
ok "it carries what Podman wrote" diff /root/podman <(labels_below /srv/podman)
refused "and the kernel denies it" '[Pp]ermission denied' bash -c 'docker start thief && docker exec thief cat /data/file'
podman exec stranger sh -c 'cat /data/file >>/data/copy'
says "while Podman's goes on reading it" '^2$' grep -c "it is podman's" /srv/podman/copy
docker rm -f thief >/dev/null

comment "Docker gives a container the level that Podman's runs at"
create clash --security-opt "label=level:$level" -v /srv/clash:/data >/dev/null
refused "its volume is not labelled, and Podman's process is named" "process $stranger" mcsctl wait --timeout 60 clash
says "it carries what it did" ':var_t:s0' ls -dZ /srv/clash /srv/clash/file
ok "mcsctl containers lists it as in conflict" in_conflict clash
says "mcsctl pairs has both sides at the level: the container" "$level +active.*clash" mcsctl pairs
says "and the process" "$level +foreign +process $stranger" mcsctl pairs
ok "the status counts it" conflicts_in_status
says "the journal names both" "clash at $level is not separate from process $stranger" \
  told $conflict MCSD_CONTAINER_NAME=clash
refused "the kernel denies it the directory" '[Pp]ermission denied' \
  bash -c 'docker start clash && docker exec clash cat /data/file'
docker rm -f clash >/dev/null
create bare --security-opt "label=level:$level" >/dev/null
docker start bare >/dev/null
ok "one without a volume runs there" wait_for 30 in_conflict bare
says "and is not called isolated" '^false$' bash -c 'mcsctl --json show bare | jq .isolated'
docker rm -f bare >/dev/null

comment "Podman comes second, at the level of a container of Docker's"
mine=$(docker inspect -f '{{.ProcessLabel}}' own | cut -d: -f4-)
ok "Podman starts one there" pod late --security-opt "label=level:$mine"
ok "the container that was there before is in conflict" wait_for 60 in_conflict own
says "the journal names both" "own at $mine is not separate from process $(pid_of late)" \
  told $conflict MCSD_CONTAINER_NAME=own
podman rm -f -t 0 late >/dev/null
not "and is not when that one is removed" wait_for 5 false
ok "its conflict is over" wait_for 60 bash -c '! mcsctl containers --conflicts | grep -q "^own "'
docker rm -f own >/dev/null
podman rm -f -t 0 stranger >/dev/null
ok "nobody holds anything" wait_for 60 nobody_holds

comment "a range of six pairs, one of which Podman has"
ok "a Podman container runs at one of them" pod six --security-opt label=level:s0:c1,c2
ok "mcsd starts with that range" configure '[volumes]' 'linger = "2s"' '[categories]' 'range = "c0.c3"' 'reserved = []'
for n in 1 2 3 4 5; do ok "reservation $n of five" mcsctl reserve "r$n"; done
refused "there is no sixth, and the error says why" \
  'of 6 pairs 0 are granted, 5 reserved, 0 of groups, 0 in quarantine, 1 carried by other processes, 0 set aside' \
  mcsctl reserve r6
says "what to do is said with it" 'mcsctl release|widen' bash -c 'mcsctl reserve r6 2>&1 || true'
not "none of the five is Podman's" bash -c 'mcsctl pairs --state reserved | grep -F "s0:c1,c2"'
podman rm -f -t 0 six >/dev/null
says "after podman rm the pair is free again, and the next who asks has it" 's0:c1,c2' mcsctl reserve r6
for n in 1 2 3 4 5 6; do mcsctl release r$n; done
ok "all six are given back" wait_for 30 nobody_holds

comment "a virtual machine's domain"
cat >/tmp/mcsd_test_machine.cil <<'CIL'
(roletype unconfined_r svirt_t)
(allow unconfined_t svirt_t (process (transition siginh rlimitinh noatsecure sigkill signal getattr)))
(allow svirt_t file_type (file (entrypoint execute read getattr map open)))
(allow svirt_t file_type (dir (search getattr)))
(allow svirt_t unconfined_t (fd (use)))
(allow svirt_t unconfined_t (fifo_file (read write getattr append)))
(allow svirt_t self (process (fork sigchld)))
CIL
ok "the policy knows libvirt's domain" seinfo -t svirt_t
ok "a process of root's may stand in for a machine" semodule -X 300 -i /tmp/mcsd_test_machine.cil
machine() { runcon -t svirt_t -l s0:c2,c3 /bin/busybox sleep 100000 >/dev/null 2>&1 </dev/null & echo $! >/run/machine.pid; sleep 2; }
machine
machine=$(cat /run/machine.pid)
says "it runs at a level with two categories" ':svirt_t:s0:c2,c3$' context_of "$machine"
ok "mcsd finds it" wait_for 60 bash -c "mcsctl pairs --state foreign | grep -E 's0:c2,c3 +foreign +process $machine'"
for n in 1 2 3 4 5; do mcsctl reserve "m$n"; done
refused "five of six are given out, and its own is not" '5 reserved.*1 carried by other processes' mcsctl reserve m6
not "none of them is the machine's" bash -c 'mcsctl pairs --state reserved | grep -F "s0:c2,c3"'
for n in 1 2 3 4 5; do mcsctl release m$n; done
create guest --security-opt label=level:s0:c1,c2,c3 -v /srv/clash:/data >/dev/null
refused "a container whose level dominates the machine's gets no volume" "process $machine at s0:c2,c3" \
  mcsctl wait --timeout 60 guest
docker rm -f guest >/dev/null
kill "$machine"
ok "when it has ended nobody holds anything" wait_for 60 nobody_holds

comment "the end"
semodule -X 300 -r mcsd_test_machine
ok "every label is what it was" diff /root/before <(labels_below /srv/docker /srv/clash)
not "mcsd itself was denied nothing" denials_of_mcsd
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
