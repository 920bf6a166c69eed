"""The server on the socket, for programs and `mcsctl`.

It is protected against its clients: admission uses the kernel's credentials (`peers`), the number of
connections and their time are limited (`limits`), and one connection carries one request (`connection`). The
routes are a table (`routes`).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp.web import Response, Server, StreamResponse

from mcsd import __version__
from mcsd.api.connection import Connection
from mcsd.api.dispatch import ApiRequest, Dispatcher, Route
from mcsd.api.limits import ConnectionLimiter, Limits
from mcsd.api.metrics import CONTENT_TYPE, Metrics
from mcsd.api.openapi import openapi
from mcsd.api.peers import group_of
from mcsd.api.routes import ROUTES
from mcsd.api.service import Service
from mcsd.errors import ConfigurationError

_KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
"""The socket's file is systemd's and outlives the daemon."""


def open_socket(path: Path, *, mode: int = 0o660, gid: int = -1) -> socket.socket:
    """Create a socket at `path` for `ApiServer`, if systemd has not passed one; replace a dead one.

    Owner and mode are set before it listens, so nobody can connect in between. Raises `ConfigurationError` if
    something else is at the path.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        sock.bind(str(path))
        os.chown(path, -1, gid)
        path.chmod(mode)
    except OSError as exc:
        sock.close()
        raise ConfigurationError(
            f"the socket {path} cannot be made: {exc.strerror}",
            hint="see whether its directory exists and nothing else is there; mcsd.socket makes both",
        ) from exc
    return sock


class ApiServer:
    """Answers on Unix sockets. Owned by the event loop's thread; `start` and `stop` once each."""

    def __init__(
        self, service: Service, *, metrics: Metrics | None = None, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.metrics = metrics or Metrics(service)
        self.admission = ConnectionLimiter(self.limits)
        self.routes = (
            *ROUTES,
            Route("GET", "/v1/openapi.json", "this API's description", self._openapi, None),
            Route(
                "GET", "/metrics", "measurements for Prometheus", self._metrics, None, media_type="text/plain"
            ),
        )
        self._dispatcher = Dispatcher(
            service, self.routes, self.limits, self.admission, answered=self.metrics.answered
        )
        self._document = b""
        """The description, once somebody has asked for it: making it takes a quarter of a second."""
        self._service = service
        self._connections: set[Connection] = set()
        self._http: dict[Connection, Server] = {}
        self._all_ended = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._counting: asyncio.Task[None] | None = None

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound: systemd's, or one of `open_socket`'s."""
        loop = asyncio.get_running_loop()
        self._counting = loop.create_task(self._count_events())
        for sock in sockets:
            sock.setblocking(False)
            serve = partial(self._connection, group_of(sock))
            server = await loop.create_unix_server(
                serve, sock=sock, backlog=self.limits.backlog, **_KEEP_FILE
            )
            self._servers.append(server)
            self._sockets.append(sock)
            sock.listen(self.limits.queue)

    async def stop(self) -> None:
        """Accept no more requests, end the streams, give running requests a little time, close everything."""
        await self._stop_listening()
        for connection in self._connections:
            connection.interrupt()
        answers = [one.shutdown(self.limits.stop_time) for one in self._http.values()]
        await asyncio.gather(self._dispatcher.wait(self.limits.stop_time), *answers)
        for connection in tuple(self._connections):
            connection.evict()
        while self._connections:
            self._all_ended.clear()
            await self._all_ended.wait()
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait([self._counting])

    async def _stop_listening(self) -> None:
        """Stop listening, after connections that are being accepted, which would otherwise stay open."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
        for _ in ("the transport is made", "it calls connection_made()"):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()

    async def _count_events(self) -> None:
        async for event in self._service.events(after=0):
            self.metrics.happened(event)

    def _connection(self, group: int | None) -> Connection:
        return Connection(
            limits=self.limits,
            admission=self.admission,
            group=group,
            make_inner=self._handler,
            begun=self._connections.add,
            ended=self._ended,
        )

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._http.pop(connection, None)
        self._all_ended.set()

    def _handler(self, connection: Connection) -> asyncio.Protocol:
        """Return HTTP's protocol for one connection: a server of its own, which knows whom it answers."""
        self._http[connection] = server = Server(
            partial(self._dispatcher.answer, connection),
            tcp_keepalive=False,
            access_log=None,
            max_line_size=self.limits.head_size,
            max_field_size=self.limits.head_size,
            lingering_time=self.limits.linger_time,
            auto_decompress=False,
        )
        return server()

    async def _openapi(self, _: ApiRequest) -> StreamResponse:
        if not self._document:
            document = await asyncio.to_thread(openapi, self.routes, version=__version__)
            self._document = json.dumps(document).encode()
        return Response(body=self._document, headers={"Content-Type": "application/json"})

    async def _metrics(self, call: ApiRequest) -> StreamResponse:
        body = self.metrics.text(call.admission, await call.service.figures())
        return Response(body=body, status=HTTPStatus.OK, headers={"Content-Type": CONTENT_TYPE})
