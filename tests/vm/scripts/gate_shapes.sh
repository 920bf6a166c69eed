#!/bin/bash
# All kinds of containers through the gate: images, mounts, namespaces, and what Docker does with a running container.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

layered_image() { # NAME LAYERS: an image of as many layers as Docker allows, without building each
  local directory=/root/layered layer id config= ids= layers=
  mkdir -p $directory; rm -rf ${directory:?}/*
  docker save bb | tar -C $directory -xf -
  config=$(jq -r '.[0].Config' $directory/manifest.json)
  layers=$(jq -c '.[0].Layers' $directory/manifest.json)
  ids=$(jq -c '.rootfs.diff_ids' "$directory/$config")
  for i in $(seq 2 "$2"); do
    mkdir -p $directory/files; echo "layer $i" >"$directory/files/layer-$i"
    tar -C $directory/files -cf "$directory/layer-$i.tar" "layer-$i"; rm "$directory/files/layer-$i"
    id=sha256:$(sha256sum "$directory/layer-$i.tar" | cut -d' ' -f1)
    layers=$(jq -c ". + [\"layer-$i.tar\"]" <<<"$layers"); ids=$(jq -c ". + [\"$id\"]" <<<"$ids")
  done
  jq -c ".rootfs.diff_ids = $ids | .history = []" "$directory/$config" >$directory/config.json
  jq -nc "[{Config: \"config.json\", RepoTags: [\"$1:latest\"], Layers: $layers}]" >$directory/manifest.json
  rm -rf $directory/index.json $directory/oci-layout $directory/repositories
  tar -C $directory -c . | docker load
}
is_healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
restarts_of() { docker inspect --format '{{.RestartCount}}' "$1"; }
has_restarted() { [ "$(restarts_of "$1")" -gt 0 ] && is_running "$1"; }

mkdir -p /srv/a /srv/b
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
mkdir -p /etc/mcsd/conf.d

comment "what everybody mounts of the host's own starts with the gate as it does without"
everyday_starts() { # each of the eleven by itself; then in one container all those that the policy lets Docker mount
  local mount name all=()
  for mount in "${everyday[@]}"; do
    name=${mount%%:*}
    if run --rm -v "$mount" bb true >/dev/null 2>/root/why; then
      echo "$name starts"; all+=(-v "$mount")
    else
      echo "$name does not start"; sed "s|^|$name: |" /root/why >&2
    fi
  done
  run --rm "${all[@]}" bb true >/dev/null 2>/root/why && echo "$((${#all[@]} / 2)) together start" || sed 's/^/together: /' /root/why >&2
}
everyday=(/etc/localtime:/etc/localtime:ro /etc/hosts:/host/hosts:ro /usr/share/zoneinfo:/usr/share/zoneinfo:ro
  /lib/modules:/lib/modules:ro /proc:/host/proc:ro /sys:/host/sys:ro /:/rootfs:ro /var/log:/var/log:ro
  /run/dbus:/run/dbus:ro /var/run/docker.sock:/var/run/docker.sock /dev:/dev)
mkdir -p /usr/share/zoneinfo
[ -e /usr/share/zoneinfo/UTC ] || echo TZif2 >/usr/share/zoneinfo/UTC
[ -e /etc/localtime ] || ln -s /usr/share/zoneinfo/UTC /etc/localtime
restorecon -RF /usr/share/zoneinfo /etc/localtime
everyday_starts >/root/without 2>/root/without.why
sed 's/^/# without: /' /root/without /root/without.why
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
mcsctl gate enable --reload >/dev/null 2>&1
everyday_starts >/root/with 2>/root/with.why
sed 's/^/# with: /' /root/with /root/with.why
ok "each by itself as without" diff /root/without /root/with
says "and all that do, together" '^[1-9][0-9]* together start$' cat /root/with

comment "what Docker has for a container, and shows of it"
ok "a container starts" run -d --name one -v /srv/a:/data bb sleep 100000
ok "Docker's own files and /dev/shm are usable" docker exec one sh -c 'cat /etc/hosts /etc/hostname /etc/resolv.conf >/dev/shm/x && echo "# mine" >>/etc/hosts'
not "docker diff shows nothing" grep -q . <(docker diff one)
ok "docker commit makes an image" docker commit one committed
not "in which there is nothing of mcsd's" grep mcsd <(docker inspect committed; docker save committed | tar -tf -)
ok "it starts like any other" run --rm committed true
echo "from the host" >/root/copied
ok "docker cp into it" docker cp /root/copied one:/tmp-copied
says "it reads that" "from the host" docker exec one cat /tmp-copied
ok "docker cp out of it" docker cp one:/tmp-copied /root/back
ok "the same" cmp /root/copied /root/back
ok "docker cp into its volume" docker cp /root/copied one:/data/copied
says "it reads that too" "from the host" docker exec one cat /data/copied
refused "a checkpoint is declined, with the reason" 'mcsd: a checkpoint holds labels' /usr/libexec/mcsd/mcsd-gate checkpoint one
docker rm -f one >/dev/null

comment "images"
says "an image of 125 layers is made, the most that Docker takes: 127 in the overlay" 'Loaded image: layered' layered_image layered 125
says "a container of it reads its first and its last layer, and its volume" 'what is a.s' \
  run --name layered -v /srv/a:/data layered sh -c 'cat /layer-2 /layer-125 /data/secret && echo x >/written'
docker rm layered >/dev/null
ok "and is started" run -d --name layered layered sleep 100000
says "its root file system is mounted with its level" ":$(process_level layered)" grep "$(docker inspect --format '{{.GraphDriver.Data.MergedDir}}' layered)" /proc/mounts
first=$(process_level layered)
ok "and started again" docker restart -t 0 layered
ok "at another level" differ "$first" "$(process_level layered)"
ok "where it works" docker exec layered cat /layer-125
docker rm -f layered >/dev/null

comment "mounts"
says "read-only, with a tmpfs" 'what is b.s' run --rm --read-only --tmpfs /tmp -v /srv/b:/data bb \
  sh -c 'echo x >/tmp/x && echo y >/dev/shm/y && ! touch /etc/x 2>/dev/null && cat /data/secret'
says "a volume that is mounted read-only" 'what is b.s' run --rm -v /srv/b:/data:ro bb sh -c '! touch /data/x 2>/dev/null && cat /data/secret'
echo "alone" >/srv/single && chcon -t container_file_t /srv/single  # refpolicy's Docker does not see others
says "a single file" alone run --rm -v /srv/single:/single bb cat /single
says "a larger /dev/shm" '^ *131072' run --rm --shm-size 128m bb sh -c 'df -k /dev/shm | sed -n 2p | tr -s " " | cut -d" " -f2'
run --name store -v /srv/b:/data bb true >/dev/null
says "another's volumes" 'what is b.s' run --rm --volumes-from store bb cat /data/secret
docker rm store >/dev/null
ok "a named volume" run -d --name named -v data:/data bb sh -c 'echo kept >/data/file; sleep 100000'
says "is private" ":$(process_level named)" ls -dZ /var/lib/docker/volumes/data/_data
ok "it is started again" docker restart -t 0 named
says "and is private still" ":$(process_level named)" ls -dZ /var/lib/docker/volumes/data/_data
says "with what was in it" kept docker exec named cat /data/file
docker rm -f named >/dev/null

comment "namespaces"
ok "a container whose IPC others may join" run -d --name host --ipc shareable bb sh -c 'echo shared >/dev/shm/it; sleep 100000'
ok "one that joins it" run -d --name guest --ipc container:host bb sleep 100000
ok "runs at its level" same "$(process_level host)" "$(process_level guest)"
says "and reads what is there" shared docker exec guest cat /dev/shm/it
ok "one that joins its network" docker run -d --name net --network container:host bb sleep 100000
ok "runs at a level of its own" differ "$(process_level host)" "$(process_level net)"
docker rm -f guest net host >/dev/null
ok "one that Docker confines in nothing" run --rm --privileged bb true
ok "one at a level that the user gives" run -d --name given --security-opt label=level:s0:c7,c8 -v /srv/a:/data bb sleep 100000
ok "runs at that" same s0:c7,c8 "$(process_level given)"
says "and reads its volume" "what is a's" docker exec given cat /data/secret
docker rm -f given >/dev/null

comment "what Docker does by itself"
ok "a container with a health check" run -d --name well --health-cmd 'cat /data/secret' --health-interval 1s -v /srv/a:/data bb sleep 100000
ok "is healthy" wait_for 60 is_healthy well
docker rm -f well >/dev/null
ok "a container with a restart policy" run -d --name again --restart always -v /srv/a:/data bb sh -c 'cat /data/secret; sleep 2'
ok "is started again when it ends" wait_for 60 has_restarted again
not "and has read its volume each time" grep -v "what is a's" <(docker logs again)
docker rm -f again >/dev/null
ending
