#!/bin/bash
# etcd 3.4.23: a store that was restored from a backup cannot be told from the one before by its ids. The manual says
# that restoring overwrites the member's and the cluster's id, so that the member loses its former identity; both are
# computed from name, peer URL and --initial-cluster-token, so a restore with the same ones (the token has a default)
# gives the same ids again. Only the revision goes back. With another token the ids differ.
# Who remembers what the store had granted has to compare keys, or to restore with a token of its own.
# Needs curl and python3, and two free ports on loopback; etcd-server and etcd-client are fetched.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
chmod 0755 "$work"
cd "$work"
apt-get download -qq etcd-server=3.4.23-4+b4 etcd-client=3.4.23-4+b4 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
export PATH=$work/root/usr/bin:$PATH ETCDCTL_API=3
read -r client peer < <(python3 -c 'import socket
two = [socket.socket() for _ in range(2)]
for one in two:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in two))')
client=http://127.0.0.1:$client peer=http://127.0.0.1:$peer
export ETCDCTL_ENDPOINTS=$client
start() { # DIRECTORY
  etcd --name one --data-dir "$1" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "one=$peer" 2>log &
  server=$!
  for _ in $(seq 100); do
    curl -sf "$client/health" >/dev/null && return
    sleep 0.1
  done
  cat log >&2
  return 1
}
stop() {
  kill "$server"
  wait "$server" || :
  server=
}
restore() { # DIRECTORY [OPTION...]
  etcdctl snapshot restore backup --data-dir "$1" --name one --initial-cluster "one=$peer" \
    --initial-advertise-peer-urls "$peer" "${@:2}" >/dev/null 2>&1
}
header() {
  curl -sf -X POST "$client/v3/kv/range" -d '{"key": "a2V5"}' | python3 -c 'import json, sys
header = json.load(sys.stdin)["header"]
print(header["cluster_id"], header["member_id"], header["revision"])'
}
start first
for value in 1 2 3; do etcdctl put key $value >/dev/null; done
etcdctl snapshot save backup >/dev/null 2>&1
for value in 4 5 6; do etcdctl put key $value >/dev/null; done
read -r cluster member revision < <(header)
stop
restore second
start second
read -r cluster2 member2 revision2 < <(header)
stop
restore third --initial-cluster-token another
start third
read -r cluster3 member3 _ < <(header)
stop
same() { [ "$1" = "$2" ] && echo "the same" || echo "another"; }
{
  echo "restored as it was: cluster $(same "$cluster" "$cluster2"), member $(same "$member" "$member2")," \
    "revision $revision before and $revision2 after"
  echo "restored with another token: cluster $(same "$cluster" "$cluster3"), member $(same "$member" "$member3")"
} | tee seen
grep -qx 'restored as it was: cluster the same, member the same, revision 7 before and 4 after' seen
grep -qx 'restored with another token: cluster another, member another' seen
