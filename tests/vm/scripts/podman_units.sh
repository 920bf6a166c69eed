#!/bin/bash
# Podman's other ways to start a container, through the gate: `podman kube play`, `:O`, `label=` options, a quadlet, and
# that one again after the host was booted; a checkpoint is declined. Then the hook, where a runtime must stay as it is.
# Promises 1, 2, 6 and 7.
# policies: debian
# long policies: fedora-like
# guest: --reboot
set -u
. "$TAP"
export XDG_RUNTIME_DIR=/run/user/0
mkdir -p "$XDG_RUNTIME_DIR" /etc/mcsd/conf.d /etc/containers/containers.conf.d /etc/containers/systemd

wait_for() { # SECONDS COMMAND…
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.5; done
}
pod() { podman run -d --name "$1" --network none "${@:2}" localhost/bb sleep 100000; }
pid_of() { podman inspect -f '{{.State.Pid}}' "$1"; }
context_of() { tr -d '\0' <"/proc/$(pid_of "$1")/attr/current"; }
level_of() { context_of "$1" | cut -d: -f4-; }
podmans() { podman inspect -f '{{.ProcessLabel}}' "$1" | cut -d: -f4-; }
same() { echo "$1 and $2"; [ -n "$1" ] && [ "$1" = "$2" ]; }
differ() { echo "$1 and $2"; [ -n "$1" ] && [ -n "$2" ] && [ "$1" != "$2" ]; }
# What a container prints is lost on Debian's policy, where Podman's pipes are a terminal's domain's.
podman_said() { podman exec "$1" sh -c "$2 >/data/said 2>&1"; cat "$3/said"; }
known() { mcsctl --json show "$1" | jq -r "$2"; }
said_of_bare() { mcsctl show podman/bare 2>/dev/null | grep "label=disable" || journalctl -q -u mcsd -o cat | grep "could not be handled.*permission denied"; }
isolated() { [ "$(known "$1" .isolated)" = true ]; }
nobody_holds() { [ "$(mcsctl --json pairs | jq '.items | length')" = 0 ]; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
two_engines() { [ "$(mcsctl --json status | jq '[.engines[] | select(.reachable)] | length')" = 2 ]; }
denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:|comm=mcsd-gate'; }
on_failure() { journalctl -q -b -u unit.service --no-pager -o cat | tail -n 10; ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'podman|crun|conmon|mcsd|runc|container' | tail -n 12; }
places=(/srv/kube /srv/unit /srv/over /srv/hook /srv/nested)

if [ "${1:-}" != again ]; then
  for place in "${places[@]}"; do mkdir -p "$place"; echo "it is ${place#/srv/}'s" >"$place/file"; done
  labels_below "${places[@]}" >/var/lib/before
  # The policy does not let Podman's service read the journal everywhere.
  printf '[engine]\nevents_logger = "file"\n' >/etc/containers/containers.conf.d/10-events.conf
  printf '%s\n' '[[engine]]' 'kind = "podman"' '[volumes]' 'linger = "2s"' >/etc/mcsd/conf.d/podman.toml
  comment "Podman, through the gate"
  ok "Podman's socket is there" systemctl enable --now podman.socket
  ok "mcsd starts at each boot" systemctl enable mcsd.socket mcsd-gate.socket mcsd.service
  ok "and now" systemctl restart mcsd.service
  ok "it reaches both engines" wait_for 60 two_engines
  ok "Podman has the image" bash -c 'docker export "$(docker create --network none bb true)" | podman import - bb && docker container prune -f'
  ok "the gate is switched on" mcsctl gate enable --engine podman --reload

  comment "podman kube play"
  cat >/root/pod.yaml <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  name: kube
  annotations:
    io.mcsd.volume: /data:shared
spec:
  hostNetwork: true
  containers:
    - name: left
      image: localhost/bb
      command: [sleep, "100000"]
      volumeMounts: [{name: data, mountPath: /data}]
    - name: right
      image: localhost/bb
      command: [sleep, "100000"]
      volumeMounts: [{name: data, mountPath: /data}]
  volumes:
    - name: data
      hostPath: {path: /srv/kube}
YAML
  podman export "$(podman create --network none localhost/bb true)" | podman import --change 'CMD ["sleep", "100000"]' - localhost/infra >/dev/null
  podman container prune -f >/dev/null
  printf '[engine]\ninfra_image = "localhost/infra"\n' >/etc/containers/containers.conf.d/20-infra.conf
  ok "it starts a pod" podman kube play /root/pod.yaml
  podman ps -a --format '{{.Names}} {{.Status}}' | sed 's/^/# /'
  ok "both containers are isolated" wait_for 30 isolated podman/kube-right
  ok "at one level" same "$(level_of kube-left)" "$(level_of kube-right)"
  says "and read what they share" "it is kube's" podman_said kube-left 'cat /data/file' /srv/kube
  ok "it is taken down" podman kube down /root/pod.yaml

  comment ":O, and what --security-opt says"
  ok "one with an overlay over a volume starts" pod over -v /srv/over:/data:O
  ok "it reads the volume, and writes above it" podman exec over sh -c "grep -q over /data/file && echo x >/data/file && grep -q x /data/file"
  says "which stays as it was" "it is over's" cat /srv/over/file
  ok "one without a label starts" pod bare --security-opt label=disable -v /srv/over:/data
  # Debian's policy does not let Podman's service look at its process: then mcsd says that it cannot be handled.
  ok "mcsd says what it is" wait_for 30 said_of_bare
  not "it is not called isolated" isolated podman/bare
  ok "nested labels are Podman's to allow" pod nested --security-opt label=nested -v /srv/nested:/data
  says "it reads its volume" "it is nested's" podman_said nested 'cat /data/file' /srv/nested
  podman rm -f -t 0 over bare nested >/dev/null

  comment "a checkpoint"
  ok "a container runs" pod held -v /srv/over:/data
  mkdir -p /var/lib/shot
  not "it is not frozen" podman container checkpoint held
  podman container checkpoint held 2>&1 | sed 's/^/# /'
  says "the gate declines it with the reason" 'a checkpoint holds labels' bash -c \
    "/usr/libexec/mcsd/mcsd-gate-crun checkpoint --image-path /var/lib/shot $(podman inspect -f '{{.Id}}' held) 2>&1; true"
  ok "it runs on" isolated podman/held
  podman rm -f -t 0 held >/dev/null

  comment "a quadlet"
  cat >/etc/containers/systemd/unit.container <<'UNIT'
[Unit]
After=mcsd.service
[Container]
Image=localhost/bb
ContainerName=unit
Exec=sleep 100000
Network=none
Volume=/srv/unit:/data
Annotation=io.mcsd.volume=/data:private
Pull=never
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  ok "it is started" systemctl start unit.service
  ok "and isolated" wait_for 30 isolated podman/unit
  says "it reads its volume" "it is unit's" podman_said unit 'cat /data/file' /srv/unit
  level_of unit >/var/lib/level
  mcsctl containers | sed 's/^/# /'
  not "mcsd and the gate were denied nothing" denials
  after_reboot
fi

comment "after the host was booted"
uptime | sed 's/^/# /'
ok "it runs" wait_for 60 systemctl is-active unit.service
ok "mcsd reaches both engines" wait_for 60 two_engines
ok "and calls it isolated" wait_for 60 isolated podman/unit
says "the level is mcsd's choice" assigned known podman/unit .origin
ok "its volume carries it" bash -c "stat -c %C /srv/unit/file | grep -F ':$(level_of unit)'"
says "it reads its volume" "it is unit's" podman_said unit 'cat /data/file' /srv/unit
comment "its level was $(cat /var/lib/level), and is $(level_of unit)"
says "whatever it was, nobody else holds it" '^1$' bash -c 'mcsctl --json pairs | jq "[.items[] | select(.state == \"active\")] | length"'
systemctl stop unit.service
rm /etc/containers/systemd/unit.container; systemctl daemon-reload
ok "when it is stopped, nobody holds anything" wait_for 90 nobody_holds

comment "the hook, where the runtime stays as it is"
ok "it takes the gate's place" mcsctl gate enable --engine podman --hook --reload
says "the status says so" 'as a hook' mcsctl gate status --engine podman
ok "a container starts" pod hook -v /srv/hook:/data
ok "at Podman's own level" same "$(podmans hook)" "$(level_of hook)"
ok "mcsd calls it isolated" wait_for 30 isolated podman/hook
says "the level is adopted" adopted known podman/hook .origin
says "it has its name" '^hook$' known podman/hook .name
says "it reads its volume" "it is hook's" podman_said hook 'cat /data/file' /srv/hook
missed=0
for n in 1 2 3; do
  podman run --rm --network none -v /srv/unit:/data localhost/bb sh -c 'cat /data/file >/data/copy && rm /data/copy' >/dev/null 2>&1 || missed=$((missed + 1))
  wait_for 60 bash -c '! mcsctl --json volumes | jq -e ".items[] | select(.path == \"/srv/unit\")" >/dev/null'
done
says "in 3 of 3 starts the volume was ready before the first instruction" '^0$' echo "$missed"
not "a claim that cannot be had refuses the start" pod thief -v /srv/hook:/data
says "the journal has the reason, which Podman does not pass on" 'thief is not started.*podman/hook holds /srv/hook' journalctl -q -u mcsd -o cat
podman rm -f -t 0 thief >/dev/null 2>&1
before=$(level_of hook)
ok "it is restarted" podman restart -t 0 hook
ok "at the same level, which is still Podman's" same "$before" "$(level_of hook)"
says "and reads its volume" "it is hook's" podman_said hook 'cat /data/file' /srv/hook
systemctl stop mcsd.socket mcsd-gate.socket mcsd.service
podman stop -t 0 hook >/dev/null
not "a start is refused while mcsd is away" podman start hook
ok "mcsd is back" systemctl start mcsd.socket mcsd-gate.socket mcsd.service
ok "and reaches both engines" wait_for 60 two_engines
ok "then it starts" podman start hook
ok "the hook is switched off" mcsctl gate disable --engine podman --reload
not "nothing is left of it" find /etc/containers -name '90-mcsd*' -exec false {} +
ok "a container starts without" podman restart -t 0 hook
podman rm -f -t 0 hook >/dev/null

comment "the end"
ok "nobody holds anything" wait_for 90 nobody_holds
rm -f /srv/*/said
ok "every label is what it was" diff /var/lib/before <(labels_below "${places[@]}")
not "mcsd and the gate were denied nothing" denials
journalctl -b -u mcsd --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
