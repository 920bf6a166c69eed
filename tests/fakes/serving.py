"""The real socket over a stand-in daemon, in a thread of its own, and a plain way to talk to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mcsd.api.limits import Limits
from mcsd.api.server import ApiServer, open_socket
from tests.fakes.service import FakeService

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def object(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


def open_connection(path: str) -> socket.socket:
    """Connect, waiting for a place in the queue as long as it takes; later waits are bounded."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    sock.settimeout(10)
    return sock


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("mcsd", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = open_connection(self._path)


@dataclass(frozen=True, slots=True)
class Served:
    """A socket that answers."""

    path: str
    service: FakeService
    server: ApiServer
    loop: asyncio.AbstractEventLoop

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; `body` bytes are sent as they are, anything else as JSON."""
        connection = _Connection(self.path)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = headers if headers is not None else {"Content-Type": "application/json"} if raw else {}
        try:
            connection.request(method, target, raw, dict(given))
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a connection and send nothing."""
        return open_connection(self.path)

    def send(self, data: bytes) -> bytes:
        """Send bytes, and give all that comes back until the other end closes."""
        with self.connect() as sock:
            sock.sendall(data)
            return receive_all(sock)

    def wait(self, question: Callable[[], bool]) -> None:
        """Wait until something is so where the server lives."""
        give_up = time.monotonic() + 10
        while not self.on_loop(question):
            assert time.monotonic() < give_up, "it is never so"
            time.sleep(0.005)

    def on_loop(self, work: Callable[[], T]) -> T:
        """Do something where the server lives."""

        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self.loop).result(10)


def receive_all(sock: socket.socket) -> bytes:
    """Read until the other end closes; what it did not read of ours does not matter."""
    got = b""
    while True:
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part


@contextmanager
def serving(
    service: FakeService, path: Path, *, limits: Limits | None = None, mode: int = 0o660, gid: int = -1
) -> Iterator[Served]:
    """Serve while the block runs; afterwards nothing is left."""
    loop = asyncio.new_event_loop()
    started: list[ApiServer] = []
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))

    async def start() -> None:
        server = ApiServer(service, limits=limits)
        await server.start([open_socket(path, mode=mode, gid=gid)])
        started.append(server)

    thread = threading.Thread(target=loop.run_forever, name="socket")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield Served(str(path), service, started[0], loop)
    finally:
        for server in started:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        path.unlink(missing_ok=True)
    assert not failures, failures
    assert not left, left
    assert not service.readers, "somebody still follows the events"
