#!/bin/bash
# mcsd.service: what each of its capabilities is for, that systemd ends a hanging daemon and starts it again, and that
# Docker starts and stops without waiting for mcsd.
# policies: debian fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

with_setting() { # LINE…: the unit with these in addition, until the next call
  mkdir -p /run/systemd/system/mcsd.service.d
  printf '[Service]\n' >/run/systemd/system/mcsd.service.d/test.conf
  printf '%s\n' "$@" >>/run/systemd/system/mcsd.service.d/test.conf
  systemctl daemon-reload
  # So many starts in so little time are the test's, not a failure's.
  systemctl reset-failed mcsd.service
  systemctl restart mcsd.service
}
answer_of() { # COMMAND…: its exit status, and what it says, if it says it while there is still somebody to hear it
  local said status
  said=$(timeout 25 "$@" 2>&1) && status=0 || status=$?
  echo "$status: $said"
}
bounded() { grep -E '^CapBnd:' "/proc/$(pid)/status"; }
pid() { systemctl show -P MainPID mcsd.service; }
is_another() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && systemctl is-active mcsd.service; }
hangs() { grep -E '^State:.*T \(stopped\)' "/proc/$1/status"; }
why() { mcsctl show "$1"; }
denied='[Pp]ermission denied|not[- ]permitted'
gives_reason() { why "$1" | grep -Eq "$2"; }

volume() { # NAME: of another user, who keeps it to himself
  mkdir -p "/srv/$1/deep"
  echo text >"/srv/$1/deep/file"
  chown -hR nobody "/srv/$1"
  chmod 0700 "/srv/$1" "/srv/$1/deep"
}
carries_its_level() { # NAME
  ls -ZR "/srv/$1"
  [[ $(label_of "/srv/$1/deep/file") == *":container_file_t:$(level_of "$1")" ]]
}

walked_in() { journalctl -u mcsd -o cat --no-pager -n 40 MCSD_KIND=started | tail -n 1; }

comment "how it walks"
ok "as it is installed" with_setting
says "volumes are walked in C" 'walked in C$' walked_in
ok "with a filter that takes openat2(2) away" with_setting RestrictSUIDSGID=yes
says "they are walked in Python, and that is said" 'walked in Python, several times slower: .*openat2' walked_in

comment "what each capability is for"
volume both; volume search; volume own
ok "with both" with_setting
docker create --name both --network none -v /srv/both:/data bb true >/dev/null
ok "another user's private directory is labelled" mcsctl wait --timeout 60 both
ok "whole" carries_its_level both
ok "without CAP_DAC_READ_SEARCH" with_setting CapabilityBoundingSet= CapabilityBoundingSet=CAP_FOWNER
says "which is gone" 'CapBnd:.0+8$' bounded
docker create --name search --network none -v /srv/search:/data bb true >/dev/null
wait_for 60 gives_reason search "$denied" || true
says "openat(2) fails: EACCES" "$denied" why search
says "and nothing in it is labelled" ':var_t:s0$' label_of /srv/search/deep/file
ok "without CAP_FOWNER" with_setting CapabilityBoundingSet= CapabilityBoundingSet=CAP_DAC_READ_SEARCH
says "which is gone" 'CapBnd:.0+4$' bounded
docker create --name own --network none -v /srv/own:/data bb true >/dev/null
wait_for 60 gives_reason own "$denied" || true
says "setxattr(2) fails: EPERM" "$denied" why own
says "and nothing is labelled" ':var_t:s0$' label_of /srv/own/deep/file
ok "with both again" with_setting
for name in search own; do
  ok "what had failed is made up for" mcsctl wait --timeout 60 $name
  ok "whole" carries_its_level $name
done
docker rm both search own >/dev/null

comment "a daemon that hangs"
ok "the watchdog is patient for ten seconds, not sixty" with_setting WatchdogSec=10s
ok "mcsd answers" answers
hanging=$(pid)
kill -STOP "$hanging"
ok "systemd ends it, and starts another" wait_for 180 is_another "$hanging"
says "because it gave no sign of life" 'Watchdog timeout' journalctl -u mcsd.service -o cat --no-pager
ok "mcsd answers again" answers
says "once" '^1$' systemctl show -P NRestarts mcsd.service

comment "Docker, while mcsd hangs"
says "nothing orders the one after the other" '^0$' sh -c 'systemctl show -P After -P Before docker.service | grep -cE "mcsd(-gate|-booleans)?[.](service|socket)" || true'
ok "nobody is to end it this time" with_setting WatchdogSec=0
ok "mcsd answers" answers
hanging=$(pid)
kill -STOP "$hanging"
ok "Docker restarts" timeout 300 systemctl restart docker.service
ok "and stops" timeout 300 systemctl stop docker.socket docker.service
ok "and starts" timeout 300 systemctl start docker.socket docker.service
ok "all that while mcsd hung" hangs "$hanging"
not "nothing waits for it" sh -c 'systemctl list-jobs --no-legend | grep .'
ok "Docker starts a container" docker run --rm --network none bb true
kill -CONT "$hanging"
ok "mcsd answers again" answers
docker create --name after --network none bb true >/dev/null
ok "and follows Docker again" wait_for 120 mcsctl show after
docker rm after >/dev/null

comment "what systemd shows of it"
shows "systemctl status says that nothing is missing" 'Status: "SELinux: enforcing.*Docker: .*labels containers'
printf '[docker]\nurn = 1\n' >/etc/mcsd/conf.d/wrong.toml
not "a configuration that is wrong" systemctl restart mcsd.service
says "is shown in one line" 'Status: ".*urn' status_line
says "and is not tried again" '^78$' systemctl show -P ExecMainStatus mcsd.service
says "who asks is told so, at once and in systemd's words" '^3: .*systemd says' answer_of mcsctl status
rm /etc/mcsd/conf.d/wrong.toml
systemctl reset-failed mcsd.service mcsd.socket mcsd-gate.socket
ok "it starts when that is mended" systemctl restart mcsd.socket mcsd-gate.socket mcsd.service
# A mount that cannot be made ends each start before the program begins; the sockets listen on.
not "a unit that cannot be started" with_setting ReadOnlyPaths=/nowhere/at/all
says "is no riddle either" '^3: .*systemd says auto-restart .*226/NAMESPACE' answer_of mcsctl status
ok "it starts when that is mended as well" with_setting WatchdogSec=60
not "mcsd was denied nothing" denials
plan
