"""A store that answers late, wrongly, or with errors: between a host and etcd, as HTTP sees it."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("", "", "", "late", "twice", "lost", "cut", "error", "garbage", "other")
"""What happens to a request, by chance: "" is nothing."""


class FaultyProxy:
    """Passes requests on to one address of etcd. `is_faulty` says whether things go wrong."""

    def __init__(self, address: str, port: int, target: str, seed: int) -> None:
        self.is_faulty = False
        self._random = random.Random(seed)
        self._last = b"{}"
        self._target = target.removeprefix("http://")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = proxy.answer(self.path, body)
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # the host was killed, or its cable pulled

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return the status, 0 for a connection that is closed, and the answer."""
        fault = self._random.choice(FAULTS) if self.is_faulty else ""
        if fault == "error":
            return self._random.choice([400, 404, 500, 503]), b'{"error":"etcdserver: request timed out"}'
        if fault == "garbage":
            return 200, self._random.choice([b"", b"[]", b"{", b'{"header":{}}', b"\xff\xfe", b"{}" * 9])
        if fault == "late":
            time.sleep(self._random.uniform(0.1, 2))
        status, found = self._asked(path, body)
        if fault == "twice":
            status, found = self._asked(path, body)
        if fault == "other" and path.endswith("txn"):
            found = self._last  # the answer to another question
        if path.endswith("txn"):
            self._last = found
        if fault == "lost":
            return 0, b""
        return status, found[: len(found) // 2] if fault == "cut" else found

    def _asked(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=5)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
