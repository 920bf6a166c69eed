#!/bin/bash
# A host of a fleet: etcd with TLS, users and roles; mcsd-fleet in its own domain, as its own user, started through its
# socket; mcsd with `[fleet] store`, and Docker through the gate. Other hosts of the fleet are simulated: they hold blocks.
# Then without etcd, without etcd after a start of mcsd, and with it again. Promises 1, 2, 6 and 9, across hosts.
# policies: debian
# long policies: fedora-like
set -u
. "$TAP"
. "$MCSD_TREE/tests/vm/gate_story.sh"

keys=/etc/mcsd/fleet
fleet() { mcsctl --json fleet status | jq -r "$1"; }
grants() { [ "$(fleet .store.grants)" = true ] && [ "$(fleet '.checks | length')" = 0 ]; }
troubled() { mcsctl fleet status | grep -q "$1"; }
# other DO…: what the fleet's other hosts do, by their own users, with mcsd's own code.
other() { python3 "$MCSD_TREE/tests/vm/fleet_others.py" "$@"; }
sign() { # NAME USAGE [ADDRESS]: a certificate, and its key
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj /O=mcsd
  printf '%s\n' "extendedKeyUsage=$2" ${3:+"subjectAltName=$3"} >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem"
}
etcd_at() { ETCDCTL_CACERT=$keys/ca.pem ETCDCTL_CERT=$keys/host.pem ETCDCTL_KEY=$keys/host.key ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 "$@"; }
typed() { etcd_at etcdctl --user root:root "$@"; }
access() { # USER [ADDRESS]: a fleet.toml of that user's
  echo "$1's" >"$keys/$1.password"
  printf '%s\n' "endpoints = [\"https://${2:-127.0.0.1}:2379\"]" "ca = \"$keys/ca.pem\"" "certificate = \"$keys/host.pem\"" \
    "key = \"$keys/host.key\"" "user = \"$1\"" "password_file = \"$keys/$1.password\""
}
add_host() {
  typed role add "mcsd-$1" && typed role grant-permission "mcsd-$1" --prefix=true read /mcsd/ &&
    typed role grant-permission "mcsd-$1" readwrite "/mcsd/hosts/$1" && typed role grant-permission "mcsd-$1" readwrite "/mcsd/state/$1" &&
    typed user add "$1:$1's" && typed user grant-role "$1" "mcsd-$1"
}
service() { systemctl show -P MainPID mcsd-fleet.service; }
configured() { # RESERVE
  printf '%s\n' '[volumes]' 'linger = "1s"' '[gate]' 'level = "sticky"' '[fleet]' 'store = "unix:///run/mcsd/fleet.sock"' \
    'name = "alpha"' "reserve = $1" 'beat = "1s"' >/etc/mcsd/conf.d/gate.toml
}
starts() { run -d --name "$1" -v "/srv/$1:/data" "${@:2}" bb sleep 100000; }
# ours NAME: whether a container's pair is of a block that this host has; etcd is asked, which has it before mcsd grants.
ours() { held=$(other held alpha) && among "$1"; }
among() { other among "$(process_level "$1")" $held; }
fleet_denials() { ausearch -i -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'scontext=[^ ]*:(mcsd_t|mcsd_fleet_t):|comm=mcsd-gate' | grep -v comm=fleet-probe; }
labels_below() { find "$@" -exec getfattr --absolute-names -h -n security.selinux -e hex {} + 2>/dev/null | sort; }
on_failure() {
  journalctl -q -u mcsd -u mcsd-fleet -u etcd -o cat --no-pager | tail -n 12
  ausearch -m avc,user_avc,selinux_err -ts boot 2>/dev/null | grep -E 'mcsd|etcd|docker|runc' | tail -n 12
}

places=(/srv/one /srv/two /srv/cut /srv/late /srv/web /srv/db /srv/export/ours /srv/export/theirs)
for place in "${places[@]}"; do mkdir -p "$place"; echo "it is ${place##*/}'s" >"$place/file"; done
labels_below "${places[@]}" >/root/before

comment "etcd, with TLS, client certificates, and a user for each host"
mkdir -p $keys /etc/etcd && cd $keys
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=fleet -days 2 2>/dev/null
sign etcd serverAuth,clientAuth IP:127.0.0.1,IP:::1 2>/dev/null; sign host clientAuth 2>/dev/null
install -o etcd -m 0400 -t /etc/etcd etcd.key && install -m 0444 -t /etc/etcd etcd.pem ca.pem
printf '%s\n' ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2379,https://[::1]:2379 ETCD_ADVERTISE_CLIENT_URLS=https://127.0.0.1:2379 \
  ETCD_CERT_FILE=/etc/etcd/etcd.pem ETCD_KEY_FILE=/etc/etcd/etcd.key ETCD_TRUSTED_CA_FILE=/etc/etcd/ca.pem \
  ETCD_CLIENT_CERT_AUTH=true ETCD_LOG_LEVEL=error >/etc/default/etcd
systemctl unmask etcd.service
ok "it starts" systemctl start etcd.service
ps -o label,user,args -C etcd | sed 's/^/# /'
ok "its users are told apart" bash -c "$(declare -f etcd_at); keys=$keys
  etcd_at etcdctl user add root:root && etcd_at etcdctl user grant-role root root && etcd_at etcdctl auth enable"
ok "an administrator of the fleet writes all" bash -c "$(declare -f etcd_at typed); keys=$keys
  typed role add mcsd-admin && typed role grant-permission mcsd-admin --prefix=true readwrite /mcsd/ &&
  typed user add \"admin:admin's\" && typed user grant-role admin mcsd-admin"
hosts=(alpha h1 h2 h3 h4 h5 h6 h7 h8 h9 client)
for host in "${hosts[@]}"; do add_host "$host"; done >/dev/null

comment "the service: its own user and domain, through its socket"
access admin >/root/admin.toml
for host in "${hosts[@]:1}"; do access "$host" >"/root/$host.toml"; done
# It may bind nothing, which must not keep it from an etcd that has IPv6 alone.
access alpha "[::1]" >/etc/mcsd/fleet.toml
chown -R root:mcsd-fleet $keys /etc/mcsd/fleet.toml; chmod 0640 /etc/mcsd/fleet.toml $keys/*; chmod 0750 $keys; chmod 0600 $keys/ca.key
restorecon -RF /etc/mcsd
refused "a host's user founds no fleet" "'alpha' may not do this" mcsctl fleet init alpha --config /etc/mcsd/fleet.toml
ok "the administrator's does" mcsctl fleet init "${hosts[@]}" --config /root/admin.toml
ok "its socket is there" systemctl enable --now mcsd-fleet.socket
not "and it does not run before it is asked" systemctl is-active mcsd-fleet.service
configured 1000
ok "mcsd starts with it" systemctl restart mcsd.service
ok "and grants from blocks of its own" wait_for 60 grants
ok "the service was started by that" systemctl is-active mcsd-fleet.service
says "in its own domain" ':mcsd_fleet_t:s0$' bash -c "tr -d '\0' </proc/$(service)/attr/current; echo"
says "as its own user" '^mcsd-fleet$' stat -c %U "/proc/$(service)"
says "without any capability, and with a filter of system calls" '^CapBnd:0+ NoNewPrivs:1 Seccomp:2 $' \
  bash -c "grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$(service)/status | tr -d '\t' | tr '\n' ' '"
mcsctl fleet status | sed 's/^/# /'

comment "with a configuration that is not valid"
cp -a /etc/mcsd/fleet.toml /root/fleet.toml
echo '[' >>/etc/mcsd/fleet.toml
systemctl stop mcsd-fleet.service
ok "mcsctl fleet status has the reason" wait_for 60 troubled 'not valid TOML'
says "and so has the service's state, to which that sends" 'fleet.toml: not valid TOML' \
  bash -c 'systemctl status mcsd-fleet.service --full --no-pager; true'
systemctl stop mcsd.service
failed() { journalctl --sync; journalctl -q -u mcsd-fleet -o cat | grep -c "Failed with result"; }
sleep 3; before=$(failed); sleep 3 # the last start may not have ended
ok "nothing starts it over and over" same "$before" "$(failed)"
cp -a /root/fleet.toml /etc/mcsd/fleet.toml

comment "the other hosts of the fleet hold nine tenths of all blocks"
ok "they take them, each by its own user" other take "${hosts[@]:1:9}"
ok "mcsd needs more than it holds" configured 6000
ok "and is started with that" systemctl restart mcsd.service
ok "it has them" wait_for 90 grants
says "none of these is another's" '^apart, [1-9][0-9]+ of alpha' other apart
mcsctl fleet status | sed 's/^/# /'

comment "containers, through the gate"
ok "the gate is switched on" mcsctl gate enable --reload
ok "one starts" starts one
ok "and a second one" starts two
for name in one two; do
  says "$name has a pair out of a block that this host holds" '^c[0-9]+,c[0-9]+ is of block' ours $name
  ok "mcsd calls $name isolated" wait_for 30 is_isolated $name
  says "it reads its volume" "it is $name's" docker exec $name cat /data/file
done
ok "their levels differ" differ "$(process_level one)" "$(process_level two)"

comment "a group has one pair on all hosts"
pair=$(other group h1 db)
ok "another host has a member of a group" test -n "$pair"
ok "here one starts, too" starts db --label io.mcsd.group=db
says "at the pair that the group has there" ",$pair\$" process_level db
ok "a group of this host's own" starts web --label io.mcsd.group=web
ok "has another pair" bash -c "! [[ '$(process_level web)' == *,$pair ]]"
says "the other hosts see it" '^web c9[6-9][0-9]|^web c10' other groups alpha
says "and the member's own pair is this host's" 'is of block' ours web

comment "storage that other hosts mount: NFS that keeps labels, from a server on this machine"
printf '%s\n' '/srv/export 127.0.0.1(rw,sync,no_subtree_check,no_root_squash,security_label,fsid=0)' >/etc/exports
systemctl unmask nfs-server.service rpcbind.service rpcbind.socket
ok "the server starts" systemctl start nfs-server.service
exportfs -ra; mkdir -p /mnt/nfs
ok "this host mounts it" wait_for 30 mount -t nfs4 -o vers=4.2,sec=sys 127.0.0.1:/ /mnt/nfs
says "with labels" '[ ,]seclabel,' grep ' /mnt/nfs ' /proc/self/mountinfo
ok "another host claims a directory there" other claim client /theirs "$(stat -c %i /srv/export/theirs)"
refused "what is around it is refused here" "theirs on host client has '/theirs'" run -d --name above -v /mnt/nfs:/data bb sleep 100000
docker rm -f above >/dev/null
ok "a container here has another one" run -d --name ours -v /mnt/nfs/ours:/data bb sleep 100000
says "and reads it" "it is ours's" docker exec ours cat /data/file
says "the server has the label, too" ":$(process_level ours)\$" stat -c %C /srv/export/ours/file
says "all hosts know whose it is" "^nfs4 /ours $(process_level ours) ours\$" other trees alpha
ok "mcsd calls the container isolated" wait_for 30 is_isolated ours
refused "what the other host has is refused, and both are named" "theirs on host client has '/theirs' of this storage at s0:c1,c2" \
  run -d --name theirs -v /mnt/nfs/theirs:/data bb sleep 100000
docker rm -f theirs >/dev/null
says "nothing of it was labelled" ":s0\$" stat -c %C /srv/export/theirs/file
ok "the other host gives it up" other yield client
ok "then a container here has it" run -d --name theirs -v /mnt/nfs/theirs:/data bb sleep 100000
says "and reads it" "it is theirs's" docker exec theirs cat /data/file
mcsctl fleet status | sed 's/^/# /'

comment "what the service may not do, tried by a program in its place"
cat >/usr/libexec/mcsd/fleet-probe <<'PY'
#!/usr/bin/python3 -Is
import ctypes, os, socket
def tried(what, attempt):
    try:
        attempt()
    except OSError as exc:
        print(f"{what}: {os.strerror(exc.errno)}", flush=True)
    else:
        print(f"{what}: DONE", flush=True)
def connected(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
def called(name, *arguments):
    if ctypes.CDLL(None, use_errno=True)[name](*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def listened():
    with socket.create_server(("127.0.0.1", 2399)):
        pass
print("runs as", os.geteuid(), open("/proc/self/attr/current").read().strip("\0"), flush=True)
tried("the ledger", lambda: open("/var/lib/mcsd/ledger.db", "rb").close())
tried("docker.sock", lambda: connected("/run/docker.sock"))
tried("mcsd.sock", lambda: connected("/run/mcsd/mcsd.sock"))
tried("a volume", lambda: open("/srv/one/file").close())
tried("its configuration", lambda: open("/etc/mcsd/fleet.toml", "a").close())
tried("a program", lambda: os.posix_spawn("/usr/bin/true", ["true"], {}))
tried("listening", listened)
tried("a mount", lambda: called("mount", None, b"/", None, 0x1000, None))
PY
chmod 0755 /usr/libexec/mcsd/fleet-probe; chcon -t mcsd_fleet_exec_t /usr/libexec/mcsd/fleet-probe
probe() { # NAME SED: the probe in the unit's place
  sed -e 's#^ExecStart=.*#ExecStart=/usr/libexec/mcsd/fleet-probe#; s/^Restart=.*/Type=oneshot/; /^Requires=\|^After=\|^Wants=/d' -e "$2" \
    /usr/lib/systemd/system/mcsd-fleet.service >"/run/systemd/system/$1.service"
  systemctl daemon-reload; systemctl start "$1.service"; journalctl --sync; journalctl -q -u "$1.service" -o cat
}
probe probe-user '' >/root/probe-user; sed 's/^/# /' /root/probe-user
probe probe-root '/^User=/d' >/root/probe-root; sed 's/^/# /' /root/probe-root
says "its user runs it, in its domain" '^runs as [1-9][0-9]* system_u:system_r:mcsd_fleet_t:s0$' cat /root/probe-user
says "even root would be in that domain" '^runs as 0 system_u:system_r:mcsd_fleet_t:s0$' cat /root/probe-root
for what in "the ledger" docker.sock "a volume" "its configuration" listening; do
  says "$what: not by its user" "^$what: (Permission denied|Operation not permitted|Read-only file system)\$" cat /root/probe-user
  says "$what: nor by root there" "^$what: (Permission denied|Operation not permitted|Read-only file system)\$" cat /root/probe-root
done
for name in user root; do
  says "a mount: not for $name, who is killed by seccomp" 'code=killed, status=31/SYS' cat /root/probe-$name
done
says "a program: neither" '^a program: Permission denied$' cat /root/probe-root
not "nothing of it was done" grep DONE /root/probe-user /root/probe-root
says "the kernel's policy says so of the ledger" 'avc: *denied.*comm=fleet-probe.*tcontext=[^ ]*:(mcsd_)?var_lib_t' ausearch -i -m avc -ts boot -c fleet-probe
says "and of Docker's socket" 'avc: *denied.*comm=fleet-probe.*tcontext=[^ ]*:(container|docker)[a-z_]*_t' ausearch -i -m avc -ts boot -c fleet-probe

comment "without etcd"
held=$(other held alpha)
systemctl stop etcd.service
ok "mcsctl fleet status says so" wait_for 60 troubled 'the store cannot be asked'
says "with the reason, what it means, and what to do" 'connection refused.*levels are granted from the blocks that it holds.*next: systemctl status mcsd-fleet' \
  bash -c 'mcsctl fleet status | tr -s "\n " " "'
ok "a container starts" starts cut
says "at a pair out of what was held" 'is of block' among cut
says "and reads its volume" "it is cut's" docker exec cut cat /data/file
ok "so does one that ran before" docker restart -t 0 two

comment "without etcd, after a start of mcsd"
one=$(process_level one)
ok "mcsd is started again" systemctl restart mcsd.service
refused "a container is refused, with the reason and what to do" 'fleet|block' starts late
docker rm -f late >/dev/null
says "what runs, runs on" "it is one's" docker exec one cat /data/file
ok "at its level" same "$one" "$(process_level one)"
ok "and is called isolated" wait_for 30 is_isolated one
ok "mcsctl fleet status says that nothing is granted" wait_for 30 troubled 'grants nothing from'
docker stop -t 0 two >/dev/null
refused "what ran before is not started at its former level, which is not certain to be this host's" "not (certain to be )?this host's" docker start two

comment "etcd is back"
systemctl start etcd.service
ok "levels are granted" wait_for 90 grants
ok "a container starts" starts late
says "at a pair out of what is held" 'is of block' ours late
ok "and the one that was refused" docker start two
says "still none of the blocks is another's" '^apart' other apart

comment "the end"
docker rm -f "${places[@]##*/}" >/dev/null
ok "nobody holds anything" wait_for 90 nobody_holds
configured 500
ok "mcsd needs less" systemctl restart mcsd.service
few() { [ "$(other held alpha | wc -w)" -le 3 ] && grants; }
ok "the blocks are given back" wait_for 90 few
says "and its groups are left" '^$' other groups alpha
says "and its directories are given up" '^$' other trees alpha
mcsctl fleet status | sed 's/^/# /'
ok "every label is what it was" diff /root/before <(labels_below "${places[@]}")
not "mcsd, mcsd-fleet and the gate were denied nothing" fleet_denials
journalctl -u mcsd -u mcsd-fleet --no-pager -o cat | tail -n 60 | sed 's/^/# /'
plan
