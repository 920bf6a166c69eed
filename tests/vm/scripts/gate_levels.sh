#!/bin/bash
# Which level a container gets from the gate, by `[gate] level`: a new one at each start, its last one, or Docker's.
# When it exits its level is free, and what carries that level later is denied to it.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

root_of() { docker inspect --format '{{.GraphDriver.Data.MergedDir}}' "$1"; }
denied_at() { # LEVEL PATH: a process at that level is denied the file, by the kernel
  denials 'avc:.*denied' | grep -E "scontext=[^ ]*:container_t:$1 .*tcontext=[^ ]*:$2 " | tail -n 1 | grep .
}

mkdir -p /srv/a /srv/b
echo "what is a's" >/srv/a/secret
echo "what is b's" >/srv/b/secret
mkdir -p /etc/mcsd/conf.d
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
mcsctl gate enable --reload >/dev/null 2>&1

comment "fresh: a new level at each start"
ok "a container starts" run -d --name one -v /srv/a:/data bb sleep 100000
first=$(process_level one)
ok "docker restart" docker restart -t 0 one
second=$(process_level one)
ok "it has another level" differ "$first" "$second"
says "and reads its volume at that" "what is a's" docker exec one cat /data/secret
says "docker exec enters at that" ":$second" entered one
says "its root file system is mounted with that" ":$second" grep "$(root_of one)" /proc/mounts
ok "the former level is free" wait_for 30 is_free "$first"
ok "no process, mount or file carries it" nobody_carries "$first"

comment "a container cannot reach what its former level could"
ok "another one has the volume, at the level that the first had" \
  run -d --name heir --security-opt "label=level:$first" -v /srv/b:/data bb sleep 100000
says "the volume carries that level" ":$first" ls -Z /srv/b/secret
docker rm -f one >/dev/null
ok "the first container, with the file itself mounted into it," \
  docker create --name one --network none --mount type=bind,src=/srv/b/secret,dst=/loot --label io.mcsd.volume=/loot:ignore bb sleep 100000
docker start one >/dev/null
ok "starts at a level of its own" differ "$first" "$(process_level one)"
refused "and is denied it" 'Permission denied' docker exec one cat /loot
says "the kernel says so" 'denied' denied_at "$(process_level one)" "$first"
says "the other one goes on reading it" "what is b's" docker exec heir cat /data/secret
docker rm -f heir one >/dev/null

comment "exit means reclaimed"
ok "a container starts" run -d --name one -v /srv/a:/data bb sleep 100000
third=$(process_level one)
ok "its process ends" kill -9 "$(pid_of one)"
ok "its level is free" wait_for 30 is_free "$third"
ok "no process, mount or file carries it" nobody_carries "$third"
says "the volume has its label back" ':var_t:s0' ls -Z /srv/a/secret
ok "docker start" docker start one
fourth=$(process_level one)
ok "at another level" differ "$third" "$fourth"
ok "docker rm -f" docker rm -f one
ok "its level is free" wait_for 30 is_free "$fourth"
ok "no process, mount or file carries it" nobody_carries "$fourth"

comment "sticky: the same level, and nothing to walk"
configure '[volumes]' 'linger = "10min"' '[gate]' 'level = "sticky"'
ok "a container starts" run -d --name two -v /srv/a:/data bb sleep 100000
third=$(process_level two) walks=$(walks_of /srv/a)
ok "docker restart" docker restart -t 0 two
ok "the level is the same" same "$third" "$(process_level two)"
ok "the volume was not walked" test "$walks" = "$(walks_of /srv/a)"
ok "docker stop" docker stop -t 0 two
ok "docker start" docker start two
ok "the level is the same" same "$third" "$(process_level two)"
ok "the volume was not walked" test "$walks" = "$(walks_of /srv/a)"
docker rm -f two >/dev/null

comment "docker: the level that Docker chose, prepared in time all the same"
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "docker"'
says "it reads its volume in its first instruction" "what is a's" run --name three -v /srv/a:/data bb cat /data/secret
docker rm three >/dev/null
ok "a container starts" run -d --name three -v /srv/a:/data bb sleep 100000
ok "at Docker's level" same "$(process_level three)" "$(level_chosen_by_docker three)"
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
ok "docker restart" docker restart -t 0 three
ok "and after a change of the configuration at another" differ "$(process_level three)" "$(level_chosen_by_docker three)"
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "docker"'
ok "docker restart" docker restart -t 0 three
ok "and at Docker's again" same "$(process_level three)" "$(level_chosen_by_docker three)"
says "where it reads its volume" "what is a's" docker exec three cat /data/secret
docker rm -f three >/dev/null
ending
