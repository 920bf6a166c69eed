#!/bin/bash
# mcsctl audit on a real host: its findings from Docker, the kernel and the disk; its remedies, followed to the letter;
# and that a finding which is known is not new in the next run.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"

# Docker may mount a volume on either policy once it is labelled.
runs() { docker create --name "$1" --network none "${@:2}" bb sleep 100000 && mcsctl wait --timeout 60 "$1" && docker start "$1"; }
found() { mcsctl audit -q "$@"; }
has() { found | grep -Fx -- "$1"; } # KEY
lacks() { ! found | grep -Fx -- "$1"; }
of() { found | grep -E "^[a-z-]+/$1(/|$)" | sed -E "s,/$1,," | sort | paste -sd' '; } # NAME: rules and objects
remedy() { mcsctl --json audit | jq -r --arg key "$1" '.findings[] | select(.key == $key) | .remedy'; }
denials_of_mcsd() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

mkdir -p /srv/plain /srv/suid
ok "systemd starts mcsd" systemctl start mcsd.service
runs plain --user 1000:1000 --memory 256m --memory-swap 256m --pids-limit 200 --cap-drop ALL \
  --security-opt no-new-privileges -v /srv/plain:/data >/dev/null
runs ordinary >/dev/null
runs privileged --privileged >/dev/null
docker run -d --name shared --network host --pid host --uts host --ipc host bb sleep 100000 >/dev/null
runs capable --cap-add SYS_ADMIN --cap-add NET_ADMIN >/dev/null
runs unfiltered --security-opt seccomp=unconfined >/dev/null
runs devices --device /dev/null:/dev/thing >/dev/null
runs socket -v /var/run/docker.sock:/var/run/docker.sock >/dev/null
cp /usr/bin/busybox /srv/suid/su; chmod 4755 /srv/suid/su; install -m 0666 /dev/null /srv/suid/open
runs suid -v /srv/suid:/data >/dev/null
isolated() { mcsctl --json show "$1" | jq -e '.settled and .isolated' >/dev/null; }
for _ in 1 2 3 4 5 6 7 8 9 10; do isolated plain && break; sleep 1; done

comment "one that is as the guide has it"
ok "nothing is open in it but its image's name" bash -c "$(declare -f found of); [ \"\$(of plain)\" = naked-pull/bb ] || { of plain; false; }"

comment "what is not"
for key in root-inside/ordinary no-memory-limit/ordinary new-privileges/ordinary capabilities-droppable/ordinary \
  privileged/privileged host-network/shared host-pid/shared host-ipc/shared host-uts/shared capabilities-added/capable \
  seccomp-off/unfiltered devices/devices//dev/null engine-socket/socket//var/run/docker.sock suid-content/suid//srv/suid \
  world-writable/suid//srv/suid live-restore/host user-namespaces/host; do
  ok "$key" has "$key"
done
refused "isolation is not read from an option: it is proven, or it is not" 'isolation/privileged' found
ok "one that is isolated has no such finding" bash -c "$(declare -f found); ! found | grep '^isolation/plain'"
ok "what Docker says and the kernel has is the same" bash -c "$(declare -f found); ! found | grep '^disagreement/'"
refused "the table" '^critical +privileged +privileged' mcsctl audit
refused "what is open is an exit status" 'critical' mcsctl audit --severity critical

comment "what is told is typed"
for key in no-memory-limit/ordinary suid-content/suid//srv/suid world-writable/suid//srv/suid; do
  command=$(remedy "$key" | sed 's/ (.*//')
  [ -n "$command" ] && ok "$command" bash -c "$command"
  ok "mends it" lacks "$key"
done
ok "live-restore is switched on as it is told" bash -c \
  'jq ". + {\"live-restore\": true}" /etc/docker/daemon.json >/run/new && cat /run/new >/etc/docker/daemon.json && systemctl reload docker'
sleep 1
ok "and is" lacks live-restore/host

comment "Docker on TCP"
ok "nothing is served there" bash -c "$(declare -f found); ! found | grep '^docker-tcp/'"
docker rm -f $(docker ps -aq --filter name=shared --filter name=privileged) >/dev/null
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// -H tcp://127.0.0.1:2375\n' >/etc/systemd/system/docker.service.d/tcp.conf
systemctl daemon-reload
if systemctl restart docker.service; then
  refused "it is found, by dockerd's own sockets" '^docker-tcp/host/127.0.0.1:2375$' found
else
  says "this policy lets Docker listen there not at all" 'denied' ausearch -m avc -c dockerd -ts recent
fi
rm /etc/systemd/system/docker.service.d/tcp.conf
systemctl daemon-reload; systemctl reset-failed docker.service; systemctl restart docker.service
ok "without it nothing is" lacks docker-tcp/host/127.0.0.1:2375

comment "baselines, and what is new"
mkdir -p /etc/mcsd/conf.d
printf '[audit]\nignore = ["capabilities-added/capable=it makes file systems"]\n' >/etc/mcsd/conf.d/audit.toml
ok "what is accepted is not open" lacks capabilities-added/capable
refused "and is listed with its reason" 'it makes file systems' mcsctl audit
not "the timer's service fails on what is new" systemctl start mcsd-audit.service
says "which it told" 'root-inside' journalctl -u mcsd-audit --no-pager -o cat
ok "once" systemctl start mcsd-audit.service
runs fresh >/dev/null
not "a new container is new" systemctl start mcsd-audit.service
says "and told" 'fresh' journalctl -u mcsd-audit --no-pager -o cat

comment "for programs"
says "JSON" '^1$' bash -c 'mcsctl --json audit | jq .version'
says "SARIF" '^2.1.0$' bash -c 'mcsctl audit --sarif | jq -r .version'
not "mcsd itself was denied nothing" denials_of_mcsd
mcsctl audit | sed 's/^/# /'
plan
