#!/bin/bash
# containerd without Docker, beside Docker and Podman: ctr names the gate as the runtime of each container. A container
# that has a label gets a level of mcsd's and its volumes before its first instruction; one that has none is not called
# isolated; what is in Kubernetes' namespace is left alone, and its level is taken. ctr stands for nerdctl.
# How many starts: -- 3
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
starts=${1:-3}
runtime=/usr/libexec/mcsd/mcsd-gate-runc
tasks=/var/lib/containerd/tasks # where the policy lets engines have roots of containers
label() { echo "system_u:$1:s0:c901,c902"; }

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
# spec NAME SOURCE [ANNOTATION]: an OCI configuration with a label, as ctr does not write one. Its root is an overlay over
# the files of bb, mounted with that label.
spec() {
  local root=$tasks/$1
  mkdir -p "$root/upper" "$root/work" "$root/root"
  mountpoint -q "$root/root" || mount -t overlay overlay -o \
    "lowerdir=$tasks/bb,upperdir=$root/upper,workdir=$root/work,context=\"$(label object_r:container_file_t)\"" "$root/root"
  ctr oci spec | jq --arg name "$1" --arg source "$2" --arg wish "${3:-}" --arg root "$root/root" --arg group "${4:-/default/$1}" \
    --arg process "$(label system_r:$domain)" --arg files "$(label object_r:container_file_t)" '
    .process.args = ["/bin/sh", "-c", "cat /data/file >/data/first; exec sleep 100000"] | .process.terminal = false |
    .process.selinuxLabel = $process | .linux.mountLabel = $files | .root.path = $root | .linux.cgroupsPath = $group |
    .mounts += [{"destination": "/data", "type": "bind", "source": $source, "options": ["rbind", "rw"]}] |
    if $wish == "" then . else .annotations["io.mcsd.volume"] = $wish end' >"$tasks/$1.json"
}
task() { ctr "${@:2}" run -d --runc-binary $runtime --config "$tasks/$1.json" "$1"; }
pid_of() { cat "/run/containerd/io.containerd.runtime.v2.task/${2:-default}/$1/init.pid"; }
context_of() { tr -d '\0' <"/proc/$(pid_of "$@")/attr/current"; }
level_of() { context_of "$@" | cut -d: -f4-; }
entered() { ctr task exec --exec-id "e$RANDOM" "$@"; }
gone() { ctr task kill -s 9 "$1" 2>/dev/null; wait_for 20 ctr task rm "$1" >/dev/null 2>&1; ctr containers rm "$1"; umount "$tasks/$1/root" 2>/dev/null; }
known() { mcsctl --json show "$1" | jq -r "$2"; }
isolated() { [ "$(known "$1" .isolated)" = true ]; }
seen() { mcsctl show "$1" >/dev/null 2>&1; }
nobody_holds() { [ "$(mcsctl --json pairs | jq '[.items[] | select(.state != "foreign")] | length')" = 0 ]; }
foreign() { mcsctl pairs --state foreign; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
all_engines() { [ "$(mcsctl --json status | jq '[.engines[] | select(.reachable)] | length')" = 3 ]; }

on_failure() { journalctl -q -u mcsd -o cat --no-pager | tail -n 5; ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'mcsd|mount|runc|containerd|dockerd' | tail -n 12; }
places=(/srv/one /srv/two /srv/docker /srv/podman /srv/late /srv/cri)
for place in "${places[@]}"; do mkdir -p "$place"; echo "it is ${place#/srv/}'s" >"$place/file"; done
labels_below "${places[@]}" >/root/before
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p /run/user/0 /etc/containers/containers.conf.d
printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/10-events.conf
mkdir -p /etc/mcsd/conf.d $tasks/bb && restorecon -RF $tasks
printf '%s\n' '[[engine]]' 'kind = "containerd"' '[[engine]]' 'kind = "podman"' '[volumes]' 'linger = "1s"' >/etc/mcsd/conf.d/containerd.toml
docker export "$(docker create --network none bb true)" | tar -C $tasks/bb -x && docker container prune -f >/dev/null
domain=$(seinfo -t container_t >/dev/null 2>&1 && echo container_t || echo svirt_lxc_net_t)

comment "containerd is an engine"
systemctl start podman.socket
ok "mcsd starts with all three" systemctl restart mcsd.service
ok "it reaches all three" wait_for 60 all_engines
says "the status says what containerd does with labels" 'Containerd.*whose configuration says so' mcsctl status
refused "there is nothing to switch on" 'the runtime that its client names' mcsctl gate enable --engine containerd
ok "Docker's gate is switched on" mcsctl gate enable --reload
ok "and Podman's" mcsctl gate enable --engine podman --reload
ok "Podman has the image" bash -c 'docker save bb | podman load && podman tag docker.io/library/bb:latest localhost/bb'

comment "a container with a label, through the gate"
spec one /srv/one
ok "it starts" task one
ls -dZ /run/containerd /run/containerd/io.containerd.runtime.v2.task/default/one/* | sed 's/^/# /'
ok "mcsd calls it isolated" wait_for 30 isolated containerd/one
says "the level is mcsd's choice" assigned known containerd/one .origin
not "and not the configuration's" bash -c "[ '$(level_of one)' = s0:c901,c902 ]"
says "it is the one that the process has" "^$(level_of one)\$" known containerd/one .level
says "it has read its volume in its first instruction" "it is one's" cat /srv/one/first
ok "who enters it runs at its level" entered one /bin/sh -c 'cat /proc/self/attr/current >/data/exec'
says "which is the container's" "$(level_of one)" cat /srv/one/exec
mcsctl containers | sed 's/^/# /'

comment "nobody reaches another's"
spec two /srv/two
ok "a second one starts" task two
ok "mcsd calls it isolated" wait_for 30 isolated containerd/two
not "at another level, although their configurations have the same" bash -c "[ '$(level_of one)' = '$(level_of two)' ]"
ok "a Docker container starts" docker run -d --name own --network none -v /srv/docker:/data -v /srv/one:/other \
  --label io.mcsd.volume=/other:ignore bb sleep 100000
says "it reads its own" "it is docker's" docker exec own cat /data/file
refused "and is denied containerd's" 'ermission denied' docker exec own cat /other/file
ok "a Podman container starts, by runc" podman --runtime runc run -d --name pod --network none -v /srv/podman:/data -v /srv/one:/other \
  --annotation io.mcsd.volume=/other:ignore localhost/bb sleep 100000
ok "mcsd calls it isolated" wait_for 30 isolated podman/pod
ok "it reads and writes its own" podman exec pod sh -c 'cat /data/file >/data/copy'
not "and is denied containerd's" podman exec pod cat /other/file
spec robber /srv/podman /data:ignore
task robber >/dev/null
not "as containerd's are denied Podman's" entered robber /bin/cat /data/file
gone robber
podman rm -f -t 0 pod >/dev/null
spec thief /srv/docker
refused "a second private claim on one directory is refused, with the start and the reason" 'own holds /srv/docker' task thief
ctr containers rm thief; umount $tasks/thief/root
spec beside /srv/one /data:ignore
task beside >/dev/null
not "the kernel denies one at its side what is the first one's" entered beside /bin/cat /data/file
gone beside
refused "Docker is refused the first one's, and told how to share" 'containerd/one holds /srv/one.*annotation io.mcsd.volume of one' \
  docker run --rm --network none -v /srv/one:/data bb true

comment "what has no label is not confined, and said to be so"
ok "ctr's own is started" bash -c "docker save bb | ctr image import - && ctr run -d --runc-binary $runtime docker.io/library/bb:latest plain sleep 100000"
ok "mcsd sees it" wait_for 30 seen containerd/plain
says "and does not call it isolated" '^false$' known containerd/plain .isolated
says "it says why" 'was told no label' known containerd/plain '.reasons[].text'
refused "the audit finds it" 'isolation/containerd/plain/label-disabled' mcsctl audit -q
gone plain

comment "Kubernetes' are the kubelet's"
spec cri /srv/cri "" "/kubepods/cri-containerd-$(printf 'c%.0s' {1..64}).scope"
ok "one starts in its namespace, through the same runtime" task cri -n k8s.io
says "at the level that was chosen for it" 's0:c901,c902$' context_of cri k8s.io
ok "mcsd knows whose that is" wait_for 60 bash -c "mcsctl pairs --state foreign | grep -E 's0:c901,c902 .*containerd container cccccccccccc'"
not "and calls it no container of its own" seen containerd/cri
says "its volume is left alone" ':s0$' bash -c 'stat -c %C /srv/cri/file'
ctr -n k8s.io task kill -s 9 cri; wait_for 20 ctr -n k8s.io task rm cri >/dev/null 2>&1; ctr -n k8s.io containers rm cri; umount $tasks/cri/root

comment "without containerd and without mcsd"
first=$(level_of one)
systemctl stop mcsd.service
ok "mcsd is back" systemctl start mcsd.service
ok "the container has its level" wait_for 60 isolated containerd/one
says "the same" "^$first\$" known containerd/one .level
systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
spec late /srv/late
not "a start is refused while mcsd is away" task late
ctr containers rm late >/dev/null 2>&1
ok "mcsd is back" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
ok "and reaches all three" wait_for 60 all_engines

comment "starts one after the other"
missed=0
for ((n = 0; n < starts; n++)); do
  rm -f /srv/late/first; spec late /srv/late
  task late >/dev/null 2>&1; wait_for 10 test -s /srv/late/first || missed=$((missed + 1))
  gone late >/dev/null 2>&1
done
says "in $starts of $starts starts the volume was ready" '^0$' echo "$missed"

comment "the end"
gone one; gone two
docker rm -f own >/dev/null
ok "nobody holds anything" wait_for 90 nobody_holds
rm -f /srv/*/first /srv/one/exec /srv/podman/copy
ok "every label is what it was" diff /root/before <(labels_below "${places[@]}")
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:|comm=mcsd-gate'; }
not "mcsd and the gate were denied nothing" denials
journalctl -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
