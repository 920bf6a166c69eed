#!/bin/bash
# Other ways in which Docker starts containers through the gate: compose, Swarm with secrets and configs, user
# namespaces, and the containerd image store. crun has a story of its own: gate_crun.sh says why.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

task_of() { docker ps -q --filter "name=^$1\." | head -n 1; }
service_runs() { [ -n "$(task_of "$1")" ] && is_running "$(task_of "$1")"; }
uid_map_of() { cat "/proc/$(pid_of "$1")/uid_map"; }

mkdir -p /srv/a /srv/b /etc/mcsd/conf.d
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
chmod -R o+rX /srv
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
mcsctl gate enable --reload >/dev/null 2>&1

comment "compose"
mkdir -p /root/project
cat >/root/project/compose.yaml <<'END'
services:
  web:
    image: bb
    command: sh -c 'cat /data/secret; sleep 100000'
    network_mode: none
    volumes: ["/srv/a:/data"]
    init: false
  store:
    image: bb
    command: sh -c 'cat /data/secret; sleep 100000'
    network_mode: none
    volumes: ["/srv/b:/data"]
END
ok "docker compose up" docker compose --project-directory /root/project up -d
ok "two services run at two levels" differ "$(process_level project-web-1)" "$(process_level project-store-1)"
says "each has read its volume in its first instruction" "what is a's" docker logs project-web-1
says "the other too" "what is b's" docker logs project-store-1
ok "mcsd says that they are isolated" wait_for 60 is_isolated project-store-1
ok "docker compose restart" docker compose --project-directory /root/project restart -t 0
says "the volume is there" "what is a's" docker exec project-web-1 cat /data/secret
ok "docker compose down" docker compose --project-directory /root/project down -t 0
ok "their levels are free" wait_for 60 nobody_holds

comment "Swarm"
ip link add swarm0 type dummy && ip addr add 192.0.2.1/24 dev swarm0 && ip link set swarm0 up
ok "docker swarm init" docker swarm init --advertise-addr 192.0.2.1 --listen-addr 192.0.2.1:2377
printf 's3cr3t' | docker secret create key - >/dev/null
printf 'configured' | docker config create settings - >/dev/null
docker service create --detach --name service --network host --secret source=key,target=key,uid=7,mode=0440 --config settings \
  --mount type=bind,src=/srv/a,dst=/data bb sleep 100000 2>&1 | sed 's/^/# /'
ok "a service runs" wait_for 120 service_runs service
docker service ps --no-trunc service | sed 's/^/# /'
task=$(task_of service)
ok "at a level of mcsd's" differ "$(process_level "$task")" "$(level_chosen_by_docker "$task")"
says "it reads its volume" "what is a's" docker exec "$task" cat /data/secret
says "its secret" s3cr3t docker exec "$task" cat /run/secrets/key
says "which has the owner and the mode that were asked for" '^-r--r-----.* 7 ' docker exec "$task" ls -ln /run/secrets/key
says "and its configuration" configured docker exec "$task" cat /settings
says "they carry its level, where nothing can be written" "ro,.*:$(process_level "$task")" grep "$(docker inspect --format '{{.Id}}' "$task")/mounts/secrets" /proc/mounts
first=$(process_level "$task")
docker kill "$task" >/dev/null
another_runs() { service_runs service && [ "$(task_of service)" != "$task" ]; }
ok "it is killed, and Swarm starts another" wait_for 120 another_runs
ok "at another level" differ "$first" "$(process_level "$(task_of service)")"
says "which reads the secret too" s3cr3t docker exec "$(task_of service)" cat /run/secrets/key
docker service rm service >/dev/null
ok "their levels are free" wait_for 90 nobody_holds
docker swarm leave --force >/dev/null; ip link del swarm0

comment "user namespaces"
echo 'dockremap:x:990:990::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
echo 'dockremap:x:990:' >>/etc/group
echo 'dockremap:100000:65536' | tee /etc/subuid >/etc/subgid
docker_settings '."userns-remap" = "dockremap"'
import_bb >/dev/null
ok "a container of another user namespace starts" run -d --name remapped -v /srv/a:/data bb sleep 100000
says "its root is nobody here" ' 100000 ' uid_map_of remapped
ok "it has a level of mcsd's" differ "$(process_level remapped)" "$(level_chosen_by_docker remapped)"
says "it reads its volume" "what is a's" docker exec remapped cat /data/secret
ok "Docker's own files and /dev/shm are usable" docker exec remapped sh -c 'cat /etc/hosts /etc/hostname >/dev/shm/x'
first=$(process_level remapped)
ok "it is started again" docker restart -t 0 remapped
ok "at another level" differ "$first" "$(process_level remapped)"
docker rm -f remapped >/dev/null
docker_settings 'del(."userns-remap")'

comment "the containerd image store"
docker_settings '.features."containerd-snapshotter" = true'
import_bb >/dev/null
says "Docker uses it" 'io.containerd.snapshotter' docker info
ok "a container starts" run -d --name stored -v /srv/a:/data bb sleep 100000
grep -E "rootfs|$(docker inspect --format '{{.Id}}' stored)" /proc/mounts | sed 's/^/# /'
ok "it has a level of mcsd's" differ "$(process_level stored)" "$(level_chosen_by_docker stored)"
says "it reads its volume" "what is a's" docker exec stored cat /data/secret
ok "mcsd says that it is isolated" wait_for 60 is_isolated stored
first=$(process_level stored)
ok "it is started again" docker restart -t 0 stored
ok "at another level" differ "$first" "$(process_level stored)"
says "it reads its volume" "what is a's" docker exec stored cat /data/secret
docker rm -f stored >/dev/null
ok "their levels are free" wait_for 60 nobody_holds
docker_settings 'del(.features."containerd-snapshotter")'
ending
