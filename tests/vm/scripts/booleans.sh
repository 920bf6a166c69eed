#!/bin/bash
# Booleans and the state of SELinux, on a kernel that enforces: a lease begins and ends with its container, and while it
# lasts the kernel allows all containers what the boolean stands for; changes by others are set back; setenforce and a
# newly loaded policy are noticed. mcsd does all of this as mcsd_t, and is denied nothing.
# policies: debian fedora-like
set -u
. "$TAP"
tree=/usr/src/mcsd
image=bb
module=mcsd_test_booleans
leased=docker_connect_any
# Which booleans there are is up to the policy: the reference policy's come first, then Fedora's.
has_boolean() { [ -e "/sys/fs/selinux/booleans/$1" ]; }
either() { if has_boolean "$1"; then echo "$1"; else echo "$2"; fi; }
held=$(either container_use_nfs container_use_devices)
others=$(either container_use_samba container_use_cephfs)
off=container_manage_cgroup

wait_for() { # COMMAND…: tells how long it took, in milliseconds
  local begun=$(($(date +%s%N) / 1000000))
  for _ in $(seq 600); do
    if "$@" >/dev/null 2>&1; then
      echo "after $(($(date +%s%N) / 1000000 - begun)) ms"
      return 0
    fi
    sleep 0.05
  done
  "$@"
}

stays() { # COMMAND…: holds for a while
  for _ in $(seq 20); do
    "$@" || return 1
    sleep 0.1
  done
}

is() { getsebool "$1" | grep -qx "$1 --> $2"; }

load_module() { semodule -i "$work/$module.pp"; }

build_module() {
  checkmodule -M -m -o "$work/$module.mod" "$tree/tests/vm/booleans/$module.te" &&
    semodule_package -o "$work/$module.pp" -m "$work/$module.mod"
}

run() { # NAME OPTIONS…: a container that sees the guarded file, and does nothing
  local name=$1
  shift
  docker run -d --name "$name" --network none -v /srv/guarded:/guarded --label io.mcsd.volume=/guarded:ignore \
    "$@" "$image" sh -c 'trap exit TERM; while :; do sleep 1; done'
}

reads() { docker exec "$1" cat /guarded/file; }

journal() { journalctl -u mcsd --no-pager -o cat; }

has_entry() { journal | grep -Eq -- "$1"; }

isolated() { mcsctl --json show "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["isolated"])'; }

is_isolated() { [[ $(isolated "$1") == "$2" ]]; }

restarted() { [[ $(systemctl show -P MainPID mcsd.service) != "$1" ]] && mcsctl status; }

denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:mcsd_t:'; }

guarded_denials() { ausearch -i -m avc -ts boot 2>/dev/null | grep -E 'denied.*tcontext=[^ ]*:mcsd_test_guarded_t:'; }

stored() { semanage boolean -l | grep -E "^$1 "; }

shows_stored() { curl -sf --unix-socket /run/mcsd/mcsd.sock http://mcsd/v1/booleans | grep -o '"stored": *true'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

comment "a policy module with the boolean, and a file that it guards"
ok "the module is built" build_module
ok "and loaded" load_module
says "the policy has the boolean, off" "off" getsebool $leased
mkdir -p /srv/guarded /etc/mcsd/conf.d
echo guarded >/srv/guarded/file
chcon -t container_file_t -l s0 /srv/guarded
chcon -t mcsd_test_guarded_t -l s0 /srv/guarded/file
cat >/etc/mcsd/conf.d/booleans.toml <<END
[booleans]
$leased = "lease"
$held = "on"
$off = "off"
docker_conect_any = "off"
END

comment "the start"
setsebool $leased=on $held=off $off=on
ok "systemd starts mcsd" systemctl start mcsd.service
says "a lease that nobody holds is taken back" after wait_for is $leased off
says "what is to be on is on" after wait_for is $held on
says "what is to be off is off" after wait_for is $off off
says "a name that the policy does not have is told, with the nearest" after wait_for has_entry "docker_conect_any.*docker_connect_any"
ok "they are shown" mcsctl booleans

comment "a lease follows its container's life"
ok "a container that asks for nothing runs" run reader
not "it cannot read what the boolean guards" reads reader
says "the kernel wrote that down" 'denied' guarded_denials
ok "a container that asks for the boolean runs" run holder --label io.mcsd.boolean=$leased
says "the boolean is on" after wait_for is $leased on
says "the kernel lets every container read now" guarded reads reader
says "the holder is shown" holder mcsctl booleans
ok "the holder is killed" docker kill holder
says "the boolean is off" after wait_for is $leased off
not "the kernel denies it again" reads reader
ok "the holder starts again" docker start holder
says "the boolean is on again" after wait_for is $leased on
says "a container that asks for what is not offered is told so" . run greedy --label io.mcsd.boolean=$off
says "in the journal" after wait_for has_entry "greedy.*asks for boolean.*$off"
ok "and gets nothing" is $off off

comment "others change it while mcsd holds it"
setsebool $leased off
says "a lease that is held is put right" after wait_for is $leased on
setsebool $held off
says "so is what is to be on" after wait_for is $held on
setsebool $off=on
says "and what is to be off" after wait_for is $off off
says "the journal says so" after wait_for has_entry "boolean $off was turned on by something else"
setsebool "$others" on
ok "what the configuration does not name is left alone" stays is "$others" on
setsebool "$others" off
echo 1 >"/sys/fs/selinux/booleans/$others"
setsebool_by_mcsd() { docker restart -t 1 holder && wait_for is $leased on; }
ok "a change that somebody left pending is not put in force by mcsd's own" setsebool_by_mcsd
ok "but stays what it was" is "$others" off

comment "mcsd and Docker go and come back"
pid=$(systemctl show -P MainPID mcsd.service)
systemctl kill -s KILL mcsd.service
docker rm -f holder >/dev/null
says "mcsd is killed, its last holder goes, and systemd starts it again" after wait_for restarted "$pid"
says "the lease is taken back" after wait_for is $leased off
ok "a holder starts" run holder --label io.mcsd.boolean=$leased
says "and holds" after wait_for is $leased on
ok "Docker restarts" systemctl restart docker.service
says "nobody runs, nobody holds" after wait_for is $leased off
ok "the others start again" docker start reader
docker rm -f holder greedy >/dev/null

comment "the ground moves"
says "the container is isolated" after wait_for is_isolated reader True
setenforce 0
says "SELinux is switched to permissive: it is not" after wait_for is_isolated reader False
says "the status says so, and what to do" 'setenforce 1' mcsctl status
setenforce 1
says "SELinux enforces: it is again" after wait_for is_isolated reader True
ok "the boolean's module is removed, and the policy built and loaded anew" semodule -r $module
# Its other name, by which Fedora's policy knows it, is governed then.
if has_boolean container_connect_any; then
  says "the name is the old one of another now, which is governed" 'container_connect_any' mcsctl booleans
else
  says "the name is unknown now" after wait_for has_entry "boolean $leased in the configuration has no effect"
fi
ok "and mcsd is well" mcsctl status
ok "what is to be on is on" is $held on
ok "the module comes back" load_module
ok "a holder starts" run holder --label io.mcsd.boolean=$leased
says "and holds as before" after wait_for is $leased on

comment "an administrator asks"
ok "for what is to be off" curl -sf --unix-socket /run/mcsd/mcsd.sock -X POST -H 'Content-Type: application/json' \
  -d '{"state": "on"}' "http://mcsd/v1/booleans/$off"
says "it is on" after wait_for is $off on
says "the journal says who wanted it" after wait_for has_entry "$off is on now: an administrator"

comment "what stays after a reboot"
echo 'persist = true' >>/etc/mcsd/conf.d/booleans.toml
ok "the policy store takes the values" systemctl start mcsd-booleans.service
journalctl -u mcsd-booleans --no-pager -o cat | tail -n 5 | sed 's/^/# /'
says "what is to be on is stored so" "$held +\(on *, *on\)" semanage boolean -l -C
says "what is leased is not" "$leased +\(on *, *off\)" stored $leased
says "mcsd shows what is stored" after wait_for shows_stored
ok "mcsd goes on" mcsctl booleans

docker rm -f reader holder >/dev/null
ok "mcsd stops" systemctl stop mcsd.service
not "none of this was denied to mcsd" denials
journal | tail -n 60 | sed 's/^/# /'
plan
