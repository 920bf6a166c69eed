#!/bin/bash
# docker 7.2.0 (the SDK for Python): an event stream whose connection breaks in the middle ends like one that was
# finished. `for event in client.events()` stops without an error, and a half event is dropped. Whoever relies on
# events must take each end of the stream for a loss.
# Needs: python3-venv.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
/usr/bin/python3 -m venv "$work/env"
"$work/env/bin/pip" install -q -q --disable-pip-version-check docker==7.2.0 requests==2.34.2 urllib3==2.8.0
cat >"$work/stream.py" <<'END'
import socket, sys, threading
import docker

path = sys.argv[1] + "/engine.sock"
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()

def engine() -> None:
    connection, _ = server.accept()
    connection.recv(65536)
    whole, half = b'{"Type":"container","Action":"start"}\n', b'{"Type":"container","Act'
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"%x\r\n%s\r\n" % (len(whole), whole))
    connection.sendall(b"%x\r\n%s\r\n" % (len(half), half))
    connection.close()  # neither the event nor the chunked body is complete

threading.Thread(target=engine, daemon=True).start()
client = docker.APIClient(base_url=f"unix://{path}", version="1.44")
seen = []
try:
    for event in client.events(decode=True):
        seen.append(event["Action"])
    print(f"docker {docker.__version__}: {seen}, then the stream ended without an error")
except Exception as error:
    print(f"docker {docker.__version__}: {seen}, then {type(error).__name__}")
END
"$work/env/bin/python" "$work/stream.py" "$work" | tee "$work/seen"
grep -q "7.2.0: \['start'\], then the stream ended without an error" "$work/seen"
