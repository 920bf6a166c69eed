"""Docker as a `ContainerEngine`: the asynchronous interface to requests that block in threads.

Each request has its own connection and thread until it is answered; a few connections are kept for later
ones. Docker delays an answer about a container while it works on that container, but this does not block
other requests. Cancelling a caller leaves its thread busy until the answer or the deadline, whichever is
first; closing the engine ends all requests at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import ClassVar, TypeVar

from mcsd.adapters.docker.client import DockerClient, ImageLabels
from mcsd.adapters.docker.events import StreamLimits, Subscription
from mcsd.adapters.docker.programs import DOCKER, PODMAN, Program
from mcsd.adapters.docker.socket import URL_HINT
from mcsd.blocking.threads import Threads
from mcsd.core.containers import Container, ContainerId, EngineEvent, EngineInfo
from mcsd.errors import ConfigurationError, EngineUnavailableError

_T = TypeVar("_T")

LEND = 0.5
"""Seconds after which an unanswered request gives its place back: Docker makes it wait."""
MOST = 128
"""Requests that may wait for answers: as many threads and connections."""

BODY_LIMIT = 64 * 2**20
"""The most bytes of an answer: a list of 40,000 containers."""


class DockerEngine:
    """Docker behind a Unix socket; meets `mcsd.ports.ContainerEngine`.

    `timeout` bounds each answer as a whole, in seconds; `places` how many requests Docker works on at the
    same time, without those that it makes wait for long. If an event stream is silent for `ping_interval`
    seconds, Docker has `ping_timeout` seconds to show that it is alive; at most `event_backlog` events wait
    for a slow reader before they are replaced by one `LOST`.
    """

    program: ClassVar[Program] = DOCKER

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        places: int = 4,
        ping_interval: float = 15.0,
        ping_timeout: float = 10.0,
        event_backlog: int = 1024,
        event_limit: int = StreamLimits().line_limit,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self._path = socket_path(url)
        self._timeout = timeout
        self._body_limit = body_limit
        self._limits = StreamLimits(timeout, ping_interval, ping_timeout, event_limit, event_backlog)
        self._images = ImageLabels()
        self._places = asyncio.Semaphore(places)
        self._waiting = asyncio.Semaphore(MOST)
        self._kept = places
        self._threads = Threads("mcsd-docker")
        self._lock = threading.Lock()
        self._clients: set[DockerClient] = set()
        self._idle: list[DockerClient] = []
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    async def info(self) -> EngineInfo:
        """Return what the engine is."""
        return await self._ask(DockerClient.info)

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        return await self._ask(DockerClient.containers)

    async def inspect(self, container: str) -> Container:
        """Inspect one container by id or name; raise `ContainerGoneError` if there is none."""
        return await self._ask(lambda client: client.inspect(container))

    async def list_one(self, container: ContainerId) -> Container:
        """Return one container without waiting for what Docker is doing with it."""
        return await self._ask(lambda client: client.list_one(container))

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream events about containers from now on, `SUBSCRIBED` first."""
        self._refuse_closed()
        subscription = Subscription(self._new_client, self._limits)
        self._subscriptions.add(subscription)
        try:
            while True:
                yield await subscription.next()
        finally:
            self._subscriptions.discard(subscription)
            await subscription.end()

    async def close(self) -> None:
        """End every stream and request, and release every connection and thread; idempotent."""
        with self._lock:
            self._closed = True
            clients = list(self._clients)
        subscriptions = list(self._subscriptions)
        for client in clients:
            client.shut()
        for subscription in subscriptions:
            subscription.shut()
            subscription.join()
        await self._threads.close(within=self._timeout)  # each fails at once, now that it is shut
        for client in self._clients:
            client.close()

    async def _ask(self, question: Callable[[DockerClient], _T]) -> _T:
        self._refuse_closed()
        async with self._waiting:
            await self._places.acquire()
            lent = _Slot(self._places)
            try:
                self._refuse_closed()
                done = self._threads.submit(lambda: self._answer(question))
            except BaseException:
                lent.give_back()
                raise
            done.add_done_callback(lambda _: lent.give_back())
            await asyncio.wait({done})
        return done.result()

    def _answer(self, question: Callable[[DockerClient], _T]) -> _T:
        client = self._take()
        try:
            return question(client)
        finally:
            self._put_back(client)

    def _take(self) -> DockerClient:
        with self._lock:
            self._refuse_closed()  # a client that is made now would not be shut
            if self._idle:
                return self._idle.pop()
            client = self._new_client()
            self._clients.add(client)
            return client

    def _put_back(self, client: DockerClient) -> None:
        with self._lock:
            if self._closed:
                return  # `close` releases it
            if len(self._idle) < self._kept:
                self._idle.append(client)
                return
            self._clients.discard(client)
        client.close()

    def _new_client(self) -> DockerClient:
        return DockerClient(
            self._path,
            seconds=self._timeout,
            limit=self._body_limit,
            images=self._images,
            program=self.program,
        )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineUnavailableError(
                f"mcsd closed its connection to {self.program.name} at {self._path!r}"
            )


class PodmanEngine(DockerEngine):
    """Podman's service."""

    program = PODMAN


class _Slot:
    """A place among the requests that Docker works on, given back after `LEND` seconds at the latest."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(LEND, self.give_back)

    def give_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._places.release()


def socket_path(url: str) -> str:
    """Return the path in `unix:///PATH`; raise `ConfigurationError` for anything else."""
    path = url.removeprefix("unix://")
    if path == url or not path.startswith("/") or "\0" in path:
        raise ConfigurationError(
            f"{url!r} is not the url of docker's socket", hint=f"{URL_HINT}: unix:///run/docker.sock"
        )
    return path
