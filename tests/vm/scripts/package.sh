#!/bin/bash
# guest: --no-install --packages
# The life of the packages: installed with rpm, in use, upgraded while containers run, refused a downgrade, removed, and
# installed again. After the removal only the state, the configuration and what a running container needs are left.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/packages.sh"

modules() { semodule -lfull | grep -E '^200 +mcsd'; }
release() { rpm -q --qf '%{name} %{version}-%{release}\n' mcsd mcsd-selinux; }
units() { systemctl list-unit-files --no-pager 'mcsd*' | grep -E '^mcsd(-gate|-booleans)?\.'; }
enabled() { find /etc/systemd/system -name 'mcsd*' ! -name 'mcsd-test*' | grep .; }
left_over() { ls -d /usr/sbin/mcsd /usr/bin/mcsctl /usr/libexec/mcsd /usr/lib/systemd/system/mcsd* /usr/lib/python3/dist-packages/mcsd 2>/dev/null; }
ledger_version() { sqlite3 -readonly /var/lib/mcsd/ledger.db "PRAGMA user_version"; }

same_payload() { # the same tree, packed twice
  local first second
  set -o pipefail
  first=$(rpm2cpio "$packages/mcsd-$mcsd_version-1.x86_64.rpm" | sha256sum) || return
  second=$(rpm2cpio "$packages/mcsd-$mcsd_version-2.x86_64.rpm" | sha256sum) || return
  printf '%s\n' "$first" "$second"
  [ "$first" = "$second" ]
}

carries_its_level() { # CONTAINER: the volume below /srv that has its name does
  ls -dZ "/srv/$1" "/srv/$1/file"
  [[ $(label_of "/srv/$1/file") == *":container_file_t:$(level_of "$1")" ]]
}

all_carry_it() {
  local name
  for name in "$@"; do mcsctl wait --timeout 60 "$name" && carries_its_level "$name" || return; done
}

relabelled_since() { journalctl -u mcsd --since "$1" -o cat --no-pager | grep -E 'volume /srv/package .* [1-9][0-9]* changed'; }
with_volume() { # NAME: a container that sleeps, with a volume of its name
  mkdir -p "/srv/$1" && echo text >"/srv/$1/file"
  docker create --name "$1" --network none -v "/srv/$1:/data" bb sh -c 'while :; do sleep 1; done'
}
meanwhile() { # containers that come and start while packages change
  local number
  for number in 1 2 3 4; do
    with_volume "during$number"
    docker run -d --name "bare$number" --network none bb sleep 100000
  done
}
upgrade_meanwhile() { # RELEASE
  meanwhile >/dev/null 2>&1 &
  upgrade_to "$1" && wait
}

comment "installing"
ok "the same tree gives the same payload" same_payload
ok "rpm installs them" install_release 1
says "the policy is loaded" '^200 +mcsd ' modules
says "the program has its type" ':mcsd_exec_t:' ls -Z /usr/sbin/mcsd
says "the group is there" mcsd getent group mcsd
ok "rpm finds everything as it was packed" verify_packages
not "nothing is started that nobody has started" systemctl is-active mcsd.service mcsd.socket mcsd-gate.socket
ok "the service is enabled and started" enable_units --now
ok "mcsd answers" answers
says "it runs confined" ':mcsd_t:s0-s0:c0.c1023' context_of_mcsd
says "its state is its own" '^drwx------.*root root .*:mcsd_var_lib_t:' ls -ldZ /var/lib/mcsd

comment "at work"
ok "a container is made" with_volume package
ok "mcsd has its volume ready" mcsctl wait --timeout 60 package
ok "it starts" docker start package
ok "the volume carries the container's level" carries_its_level package
says "the ledger's schema is this mcsd's" "^$(sed -n 's/^%global ledger_version *//p' "$MCSD_TREE/packaging/mcsd.spec")$" ledger_version

comment "upgrading to a later mcsd, whose ledger has a step more, while containers run and start"
printf '\n# ours\n' >>/etc/mcsd/mcsd.toml
version=$(ledger_version)
before=$(date '+%Y-%m-%d %H:%M:%S')
level=$(level_of package)
ok "rpm upgrades" upgrade_meanwhile 3
says "both packages are the new ones" "$mcsd_version-3" release
ok "mcsd answers again" answers
says "the ledger is migrated" "^$((version + 1))$" ledger_version
says "by the new mcsd's own step" migrated sqlite3 -readonly /var/lib/mcsd/ledger.db 'SELECT what FROM later'
says "mcsd runs confined still" ':mcsd_t:s0-s0:c0.c1023' context_of_mcsd
ok "it knows the container" mcsctl wait --timeout 60 package
ok "which has the level that it had" test "$level" = "$(mcsctl --json show package | jq -r .level)"
not "nothing was labelled a second time" relabelled_since "$before"
ok "the volume carries the container's level still" carries_its_level package
says "the container reads it" text docker exec package cat /data/file
ok "no container that came meanwhile was missed: their volumes are ready" all_carry_it during1 during2 during3 during4
for number in 1 2 3 4; do
  ok "nor one that started meanwhile" wait_for 30 is_isolated "bare$number"
done
docker rm -f during{1..4} bare{1..4} >/dev/null
says "the configuration is the administrator's" '# ours' tail -n 1 /etc/mcsd/mcsd.toml
refused "and is all that rpm finds changed" '^.{9}  c /etc/mcsd/mcsd.toml$' verify_packages
ok "nothing else is" test "$(verify_packages | wc -l)" = 1

comment "a downgrade"
refused "an mcsd that could not read the ledger is refused" "has version $((version + 1))" upgrade_to 1 --oldpackage
says "and nothing was changed" "^mcsd $mcsd_version-3\$" release
ok "nor interrupted" mcsctl wait --timeout 60 package

comment "removing"
ok "a second volume is labelled" with_volume gone
mcsctl wait --timeout 60 gone >/dev/null
docker rm gone >/dev/null
ok "Docker starts containers through the gate" mcsctl gate enable --reload
docker run -d --name gated --network none bb sleep 100000 >/dev/null
says "rpm removes them, and says where the ledger is" '/var/lib/mcsd' remove_packages
says "Docker starts containers all the same" runc docker info --format '{{.DefaultRuntime}}'
ok "one that was started through the gate is entered still" docker exec gated true
ok "and stopped, and started again without it" docker restart -t 0 gated
docker rm -f gated >/dev/null
rm -r /usr/libexec/mcsd # what was left behind for that one
not "no program is left" left_over
not "no unit is left" units
not "none is enabled" enabled
refused "none runs" '^(inactive|failed|unknown)$' systemctl is-active mcsd.service
not "no module is left" modules
says "what was changed in the configuration is kept, as rpm keeps it" '^mcsd.toml.rpmsave$' ls /etc/mcsd
says "the ledger is kept" ledger.db ls /var/lib/mcsd
says "a volume that nobody has any more has its label back" ':var_t:s0' label_of /srv/gone/file
says "the container runs on" text docker exec package cat /data/file

comment "installed again, and removed with its labels kept"
ok "rpm installs them" install_release 3
ok "the service is enabled and started" enable_units --now
ok "it takes up its ledger" mcsctl wait --timeout 60 package
ok "the volume carries the container's level" carries_its_level package
ok "a third volume is labelled" with_volume kept
mcsctl wait --timeout 60 kept >/dev/null
level=$(level_of kept)
docker rm kept >/dev/null
ok "whoever removes it wants the labels kept" touch /etc/mcsd/keep-labels
ok "rpm removes them" remove_packages
says "the volume's label is kept" ":container_file_t:$level" label_of /srv/kept/file
says "the container runs on" text docker exec package cat /data/file
docker rm -f package >/dev/null
not "none of this was denied to mcsd" denials
plan
