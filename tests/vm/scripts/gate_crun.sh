#!/bin/bash
# The gate with crun as the real runtime. The gate is told of crun by an argument, and Docker calls a runtime that has
# arguments through a script in Docker's own directory. On Fedora's policy, where the engine's domain is unconfined, all
# works as with runc. On refpolicy the script runs as spc_t, which may not start containers, with the gate or without;
# there the story shows only that.
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

engine() { ps -C dockerd -o label=; }
arguments() { jq -c .runtimes.mcsd /etc/docker/daemon.json; }
default_runtime() { docker_says info | jq -r .DefaultRuntime; }

mkdir -p /srv/a /etc/mcsd/conf.d
echo "what is a's" >/srv/a/secret
configure '[volumes]' 'linger = "1s"' '[gate]' 'level = "fresh"'
ok "Docker's runtime is crun" docker_settings '. + {"runtimes": {"crun": {"path": "/usr/bin/crun"}}, "default-runtime": "crun"}'
says "it says so" '^crun$' default_runtime
says "the gate is switched on, in front of it" 'mcsd' mcsctl gate enable --reload
says "which it is told by an argument" '/usr/bin/crun' arguments

if engine | grep -q container_runtime_t; then
  says "a container reads its volume in its first instruction" "what is a's" run --rm -v /srv/a:/data bb cat /data/secret
  ok "another goes on running" run -d --name held -v /srv/a:/data bb sleep 100000
  first=$(process_level held)
  ok "at a level of mcsd's" differ "$first" "$(level_chosen_by_docker held)"
  ok "which its volume carries" same ":$first" ":$(label_on /srv/a/secret | cut -d: -f4-)"
  says "who enters it has that level" ":$first\$" entered held
  ok "mcsd says that it is isolated" wait_for 60 is_isolated held
  ok "it is started again" docker restart -t 0 held
  ok "at another level" differ "$first" "$(process_level held)"
  ok "the first is free" wait_for 60 is_free "$first"
  ok "and nothing carries it" nobody_carries "$first"
  says "its volume is there" "what is a's" docker exec held cat /data/secret
  ok "it is removed" docker rm -f held
  ok "and nobody holds anything" wait_for 60 nobody_holds
else
  not "no container starts, as none would without the gate" run --rm bb true
fi
ok "the gate is switched off" mcsctl gate disable --reload
says "Docker's runtime is crun again" '^crun$' default_runtime
ok "which starts containers" run --rm bb true
not "mcsd was denied nothing" denials 'scontext=[^ ]*:mcsd_t:'
plan
