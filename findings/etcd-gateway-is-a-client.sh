#!/bin/bash
# etcd 3.4.23: with --client-cert-auth its JSON gateway needs a server certificate that is for clients as well. The
# gateway dials the member's own gRPC port, and presents the server's certificate there; one whose extended key usage is
# serverAuth alone, as certificate authorities give servers, is refused there. gRPC clients, with the same certificates
# and at the same port, are served all the same, so the member looks healthy: only JSON requests fail, and not with a TLS
# error, as the caller's own TLS session is good.
# Needs curl, openssl and python3, and two free ports on loopback; etcd-server and etcd-client are fetched.
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
client=https://127.0.0.1:$client peer=http://127.0.0.1:$peer
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 2>/dev/null
sign() { # NAME USAGE: a certificate of the same authority
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
  printf '%s\n' "extendedKeyUsage=$2" 'subjectAltName=IP:127.0.0.1' >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}
sign caller clientAuth
sign server serverAuth
sign both serverAuth,clientAuth
export ETCDCTL_ENDPOINTS=$client ETCDCTL_CACERT=ca.pem ETCDCTL_CERT=caller.pem ETCDCTL_KEY=caller.key
asked() { # CERTIFICATE: what the two ways to ask answer
  etcd --name one --data-dir "data-$1" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "one=$peer" \
    --cert-file "$1.pem" --key-file "$1.key" --trusted-ca-file ca.pem --client-cert-auth 2>"log-$1" &
  server=$!
  local grpc=fails status
  for _ in $(seq 100); do
    etcdctl put key value >/dev/null 2>&1 && grpc=answers && break
    sleep 0.1
  done
  # The gateway may need a moment longer; what is refused stays so.
  for _ in $(seq 20); do
    status=$(curl -s -o answer -w '%{http_code}' --max-time 5 --cacert ca.pem --cert caller.pem --key caller.key \
      -X POST "$client/v3/kv/range" -d '{"key": "a2V5"}' || :)
    [ "$status" != 200 ] || break
    sleep 0.2
  done
  kill "$server"; wait "$server" || :; server=
  echo "a certificate for $1: gRPC $grpc, JSON $([ "$status" = 200 ] && echo answers || echo "fails with HTTP $status")"
}
{
  asked server
  asked both
} | tee seen
grep -qx 'a certificate for server: gRPC answers, JSON fails with HTTP 503' seen
grep -qx 'a certificate for both: gRPC answers, JSON answers' seen
