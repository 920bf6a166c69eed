"""A Unix socket on which a test says, byte by byte, what "Docker" answers: the wrong way, mostly.

    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        peer.hang()

    with ScriptedSocket(path, {"/events": script}) as server: …

A script answers one request, on a thread of its connection, and is chosen by the request's path without
its version; `/version`, `/info` and `/_ping` have sound answers unless they are scripted. When a script
returns, the connection waits for the next request. A script that raises fails the test at the end.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.docker_documents import recorded

_TARGET = re.compile(rb"GET (?:/v[0-9.]+)?(/[^ ?]*)(\?[^ ]*)? HTTP/1.1\r\n")


class PeerGoneError(Exception):
    """The client hung up; ends a script."""


class Peer:
    """One connection, as a script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.path = ""
        """What is asked for, without version and query."""
        self.request = b""
        """The request's head, whole."""

    def receive(self) -> None:
        """Wait for a request."""
        self.request = b""
        while not self.request.endswith(b"\r\n\r\n"):
            try:
                data = self._connection.recv(65536)
            except ConnectionError as exc:
                raise PeerGoneError from exc
            if not data:
                raise PeerGoneError
            self.request += data
        target = _TARGET.match(self.request)
        assert target is not None, self.request
        self.path = target[1].decode()

    def send(self, data: bytes) -> None:
        """Send exactly these bytes."""
        try:
            self._connection.sendall(data)
        except OSError as exc:
            raise PeerGoneError from exc

    def answer(self, value: object, status: str = "200 OK") -> None:
        """Send a sound HTTP answer: bytes as they are, anything else as JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)

    def begin_stream(self) -> None:
        """Send the head of a stream in chunks."""
        self.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, value: object) -> None:
        """Send one chunk: bytes as they are, anything else as a line of JSON."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def wait(self, seconds: float) -> bool:
        """Let time pass, and tell whether the client sent or closed in the meantime."""
        readable, _, _ = select.select([self._connection], [], [], seconds)
        return bool(readable)

    def hang(self) -> None:
        """Say nothing more until the client hangs up or the server stops."""
        while self._read():
            pass
        raise PeerGoneError

    def hang_up(self) -> None:
        """Close the connection."""
        raise PeerGoneError

    def _read(self) -> bytes:
        try:
            return self._connection.recv(65536)
        except ConnectionError:
            return b""


Script = Callable[[Peer], None]


def answering(value: object, status: str = "200 OK") -> Script:
    """Make a script that always gives the same answer."""
    return lambda peer: peer.answer(value, status)


def sending(data: bytes) -> Script:
    """Make a script that sends these bytes and closes the connection."""

    def script(peer: Peer) -> None:
        peer.send(data)
        peer.hang_up()

    return script


def hanging(data: bytes = b"") -> Script:
    """Make a script that sends these bytes and then nothing more."""

    def script(peer: Peer) -> None:
        peer.send(data)
        peer.hang()

    return script


class ScriptedSocket:
    """A server at `path` whose answers are scripts by request path; the key "" stands for all others."""

    def __init__(self, path: Path, scripts: Mapping[str, Script]) -> None:
        self.path = path
        self.url = f"unix://{path}"
        self.requests: list[str] = []
        """Paths that were asked for, without version and query."""
        self.targets: list[str] = []
        """The same as they were sent."""
        self.connections = 0
        self.scripts: dict[str, Script] = {
            "/version": answering(recorded("docker-20.10-version")),
            "/info": answering(recorded("docker-20.10-info")),
            "/_ping": answering(b"OK"),
            "": answering({"message": "page not found"}, "404 Not Found"),
            **scripts,
        }
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen(128)
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()  # no connection comes in after that
        self.hang_up_all()
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()
        self.path.unlink(missing_ok=True)
        if self._failures and error is None:
            raise self._failures[0]

    def hang_up_all(self) -> None:
        """Break every connection there is."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def _spawn(self, target: Callable[..., Any], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=f"scripted {self.path.name}")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the server stops
                return
            with self._lock:
                self._open.add(connection)
                self.connections += 1
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        peer = Peer(connection)
        try:
            while True:
                peer.receive()
                self.requests.append(peer.path)
                self.targets.append(peer.request.split(b" ", 2)[1].decode())
                self.scripts.get(peer.path, self.scripts[""])(peer)
        except PeerGoneError:
            pass
        except BaseException as exc:  # noqa: BLE001  # raised again by __exit__
            self._failures.append(exc)
        finally:
            with self._lock:
                self._open.discard(connection)
                connection.close()
