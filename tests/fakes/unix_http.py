"""A small, fast HTTP server on a Unix socket for stand-ins: a thread, an event loop, and whole GET requests.

A subclass says what is answered. All state lives on the loop; `on_loop` brings work there from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self, TypeVar

_T = TypeVar("_T")

_REQUEST = re.compile(rb"GET (?:/v[0-9.]+)?(/[^ ?]*)(?:\?([^ ]*))? HTTP/1\.1\r\n")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found"}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: UnixHttpServer) -> None:
        self._server = server
        self._unread = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Hand over each request that is complete."""
        *heads, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for head in heads:
            self._server.received(self, head + b"\r\n")


class UnixHttpServer(ABC):
    """A server on the socket `path`; a context manager, or to be started and stopped, again and again."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.url = f"unix://{self.path}"
        self.connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._waiting: list[tuple[Connection, bytes]] | None = None
        self._hang_at: str | None = None

    @abstractmethod
    def requested(self, connection: Connection, path: str, query: str) -> None:
        """Answer a request for a path, without its API version."""

    @property
    def hangs(self) -> bool:
        """Whether nothing is said at the moment."""
        return self._waiting is not None

    def start(self) -> None:
        """Listen; returns when connections are accepted."""
        assert self._thread is None, "it runs already"
        listening: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="stand-in")
        self._thread.start()
        listening.result()

    def stop(self) -> None:
        """Break every connection and stop listening, as a daemon does when it is killed; idempotent."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = self._loop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def waiting(self) -> int:
        """How many requests wait while it hangs."""
        return len(self._waiting or ())

    def hang(self) -> None:
        """Take requests and answer none, and say nothing in streams, until `resume`."""
        self.on_loop(lambda: setattr(self, "_waiting", []))

    def resume(self) -> None:
        """Answer everything that waits."""

        def work() -> None:
            waiting, self._waiting = self._waiting or [], None
            for connection, head in waiting:
                if connection in self.connections:
                    self.received(connection, head)

        self.on_loop(work)

    def resume_until(self, path: str) -> None:
        """Answer everything that waits and comes, but hang again as soon as `path` is asked for."""
        self.on_loop(lambda: setattr(self, "_hang_at", path))
        self.resume()

    def on_loop(self, work: Callable[[], _T]) -> _T:
        """Do something where the server's state lives, and wait for it."""
        if self._loop is None:
            return work()
        done: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def do() -> None:
            try:
                done.set_result(work())
            except BaseException as exc:  # noqa: BLE001  # raised in the caller
                done.set_exception(exc)

        self._loop.call_soon_threadsafe(do)
        return done.result()

    def received(self, connection: Connection, head: bytes) -> None:
        """Take a request's head, on the loop."""
        if self._waiting is not None:
            self._waiting.append((connection, head))
            return
        target = _REQUEST.match(head)
        assert target is not None, head
        path = target[1].decode()
        if path == self._hang_at:
            self._hang_at, self._waiting = None, [(connection, head)]
            return
        self.requested(connection, path, (target[2] or b"").decode())

    def _run(self, listening: concurrent.futures.Future[None]) -> None:
        loop = asyncio.new_event_loop()
        try:
            listen = loop.create_unix_server(lambda: Connection(self), self.path, backlog=4096)
            server = loop.run_until_complete(listen)
        except OSError as exc:
            listening.set_exception(exc)
            loop.close()
            return
        self._loop = loop
        listening.set_result(None)
        loop.run_forever()
        server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        loop.run_until_complete(server.wait_closed())
        loop.run_until_complete(asyncio.sleep(0))  # connections learn that they are lost
        loop.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


def http_answer(value: object, status: int = 200) -> bytes:
    """Make a whole answer: bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def http_chunk(data: bytes) -> bytes:
    """Make one chunk of a stream."""
    return b"%x\r\n%s\r\n" % (len(data), data)
