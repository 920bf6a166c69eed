#!/bin/bash
# The life of a package: built here, installed with rpm, at work, upgraded and refused a downgrade while a container
# runs, and removed without a trace but its ledger.
set -u
. "$TAP"
tree=/usr/src/mcsd
packages=/var/tmp/mcsd-packages
# Debian has no database of RPMs to look dependencies up in; and a policy where scriptlets have no domain to run
# in makes rpm's SELinux plug-in refuse them all.
options=(--nodeps)
runcon -t rpm_script_t true 2>/dev/null || options+=(--noplugins)

label_of() { getfattr --absolute-names --only-values -n security.selinux "$1" | tr -d '\0'; }
level_of() { docker inspect -f '{{.MountLabel}}' "$1" | cut -d: -f4-; }
modules() { semodule -lfull | grep -E '^200 +mcsd'; }
answers() { mcsctl status || mcsctl status || mcsctl status; }
release() { rpm -q --qf '%{name} %{version}-%{release}\n' mcsd mcsd-selinux; }
units() { systemctl list-unit-files --no-pager 'mcsd*' | grep -E '^mcsd(-gate|-booleans)?\.'; }

clear_away() { # what the test harness has installed without a package
  systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
  make -s -C "$tree/selinux-policy" uninstall
  rm -rf /usr/sbin/mcsd /usr/bin/mcsctl /usr/libexec/mcsd /usr/lib/python3/dist-packages/mcsd /etc/mcsd \
    /usr/lib/systemd/system/mcsd* /usr/lib/sysusers.d/mcsd* /usr/lib/tmpfiles.d/mcsd* /var/lib/mcsd /run/mcsd
  systemctl daemon-reload
}

same_payload() { # the same tree, packed twice
  local first second
  set -o pipefail
  first=$(rpm2cpio "$packages/mcsd-0.1.0-1.x86_64.rpm" | sha256sum) || return
  second=$(rpm2cpio "$packages/mcsd-0.1.0-2.x86_64.rpm" | sha256sum) || return
  printf '%s\n' "$first" "$second"
  [ "$first" = "$second" ]
}

install_release() { rpm -i "${options[@]}" "$packages/mcsd-selinux-0.1.0-$1.noarch.rpm" "$packages/mcsd-0.1.0-$1.x86_64.rpm"; }
upgrade_to() { rpm -U "${@:2}" "${options[@]}" "$packages/mcsd-selinux-0.1.0-$1.noarch.rpm" "$packages/mcsd-0.1.0-$1.x86_64.rpm"; }

carries_its_level() {
  ls -dZ /srv/package /srv/package/file
  [[ $(label_of /srv/package/file) == *":container_file_t:$(level_of package)" ]]
}

relabelled_since() { journalctl -u mcsd --since "$1" -o cat --no-pager | grep -E 'volume /srv/package .* [1-9][0-9]* changed'; }

ledger_becomes() { # VERSION
  systemctl stop mcsd.service mcsd.socket mcsd-gate.socket
  python3 -c "import sqlite3, sys; d = sqlite3.connect('/var/lib/mcsd/ledger.db'); d.execute('PRAGMA wal_checkpoint(TRUNCATE)'); d.execute('PRAGMA user_version = $1'); d.close()"
}

left_over() { ls -d /usr/sbin/mcsd /usr/bin/mcsctl /usr/libexec/mcsd /usr/lib/systemd/system/mcsd* /usr/lib/python3/dist-packages/mcsd 2>/dev/null; }

denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

clear_away >/dev/null 2>&1
not "nothing of mcsd is here" left_over

comment "building"
build=$(cd "$tree" && packaging/rpm --output "$packages" --again 2 --without check 2>&1) || sed 's/^/# /' <<<"$build"
says "the packages are built" 'mcsd-selinux-0.1.0-2.noarch.rpm' ls "$packages"
[ -e "$packages/mcsd-selinux-0.1.0-2.noarch.rpm" ] || plan
ok "the same tree gives the same payload" same_payload

comment "installing"
ok "rpm installs them" install_release 1
says "the policy is loaded" '^200 +mcsd ' modules
says "the program has its type" ':mcsd_exec_t:' ls -Z /usr/sbin/mcsd
says "the group is there" mcsd getent group mcsd
ok "rpm finds everything as it was packed" rpm -V --nodeps mcsd mcsd-selinux
ok "the service is enabled and started" systemctl enable --now mcsd.socket mcsd-gate.socket mcsd.service
ok "mcsd answers" answers

comment "at work"
mkdir -p /srv/package
echo text >/srv/package/file
ok "a container is made" docker create --name package --network none -v /srv/package:/data bb sh -c 'while :; do sleep 1; done'
ok "mcsd has its volume ready" mcsctl wait --timeout 60 package
ok "it starts" docker start package
ok "the volume carries the container's level" carries_its_level

comment "upgrading, while the container runs"
printf '\n# ours\n' >>/etc/mcsd/mcsd.toml
before=$(date '+%Y-%m-%d %H:%M:%S')
ok "rpm upgrades" upgrade_to 2
says "both packages are the new ones" '0.1.0-2' release
ok "mcsd answers again" answers
ok "it knows the container" mcsctl wait --timeout 60 package
not "nothing was labelled a second time" relabelled_since "$before"
ok "the volume carries the container's level still" carries_its_level
says "the container reads it" text docker exec package cat /data/file
says "the configuration is the administrator's" '# ours' tail -n 1 /etc/mcsd/mcsd.toml
ledger_becomes 99
refused "an mcsd that could not read the ledger is refused" 'has version 99' upgrade_to 1 --oldpackage
not "and nothing was changed" sh -c "rpm -q mcsd mcsd-selinux | grep -F 0.1.0-1"
ledger_becomes "$(sed -n 's/^%global ledger_version *//p' "$tree/packaging/mcsd.spec")"
ok "mcsd starts with its ledger" systemctl start mcsd.socket mcsd-gate.socket mcsd.service

comment "removing"
mkdir -p /srv/gone
docker create --name gone --network none -v /srv/gone:/data bb true >/dev/null
ok "a second volume is labelled" mcsctl wait --timeout 60 gone
docker rm gone >/dev/null
ok "Docker starts containers through the gate" mcsctl gate enable --reload
docker run -d --name gated --network none bb sleep 100000 >/dev/null
says "rpm removes them, and says where the ledger is" '/var/lib/mcsd' rpm -e "${options[@]}" mcsd mcsd-selinux
says "Docker starts containers all the same" runc docker info --format '{{.DefaultRuntime}}'
ok "one that was started through the gate is entered still" docker exec gated true
ok "and stopped, and started again without it" docker restart -t 0 gated
docker rm -f gated >/dev/null
rm -r /usr/libexec/mcsd # what was left behind for that one
not "no program is left" left_over
not "no unit is left" units
not "no module is left" modules
says "the configuration is kept" mcsd.toml ls /etc/mcsd
says "the ledger is kept" ledger.db ls /var/lib/mcsd
says "a volume that nobody has any more has its label back" ':var_t:s0' label_of /srv/gone
says "the container runs on" text docker exec package cat /data/file
docker rm -f package >/dev/null
not "none of this was denied to mcsd" denials
plan
