"""Docker as a `ContainerEngine`: the asynchronous face of questions that block in threads.

A few threads, each with a connection of its own that it keeps, answer everything but the event stream.
Cancelling whoever waits for an answer leaves its thread busy until the answer or the deadline, whichever is
first; closing the engine ends all of that at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mcsd.adapters.docker_client import DockerClient, ImageLabels
from mcsd.adapters.docker_events import StreamLimits, Subscription
from mcsd.adapters.docker_socket import URL_HINT
from mcsd.core.containers import Container, ContainerId, EngineEvent, EngineInfo
from mcsd.errors import ConfigurationError, EngineUnavailableError

_T = TypeVar("_T")

BODY_LIMIT = 64 * 2**20
"""Bytes that an answer may have: a list of 40,000 containers."""


class DockerEngine:
    """Docker, or Podman's compatible service, behind a Unix socket; meets `mcsd.ports.ContainerEngine`.

    `timeout` bounds each answer as a whole, in seconds; `threads` how many are asked for at a time. When an
    event stream is silent for `ping_interval` seconds, Docker has `ping_timeout` seconds to show that it
    lives; at most `event_backlog` events wait for a slow reader before they collapse into one `LOST`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        threads: int = 4,
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
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="mcsd-docker")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._clients: list[DockerClient] = []
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    async def info(self) -> EngineInfo:
        """Ask what the engine is."""
        return await self._ask(DockerClient.info)

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        return await self._ask(DockerClient.containers)

    async def inspect(self, container: str) -> Container:
        """Look at one container by id or name; raise `ContainerGoneError` when there is none."""
        return await self._ask(lambda client: client.inspect(container))

    async def glance(self, container: ContainerId) -> Container:
        """Look at one container without waiting for what Docker is doing with it."""
        return await self._ask(lambda client: client.glance(container))

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream what happens to containers from now on, `SUBSCRIBED` first."""
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
        """Break every stream and question, and release every connection and thread; idempotent."""
        with self._lock:
            self._closed = True
            clients = list(self._clients)
        subscriptions = list(self._subscriptions)
        for client in clients:
            client.shut()
        for subscription in subscriptions:
            subscription.shut()
            subscription.join()
        self._executor.shutdown()
        for client in clients:
            client.close()

    async def _ask(self, question: Callable[[DockerClient], _T]) -> _T:
        self._refuse_closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: question(self._client()))

    def _client(self) -> DockerClient:
        """Give this thread's client."""
        client: DockerClient | None = getattr(self._local, "client", None)
        if client is None:
            with self._lock:
                self._refuse_closed()  # a thread that starts now would not be shut
                client = self._local.client = self._new_client()
                self._clients.append(client)
        return client

    def _new_client(self) -> DockerClient:
        return DockerClient(self._path, seconds=self._timeout, limit=self._body_limit, images=self._images)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise EngineUnavailableError(f"mcsd closed its connection to docker at {self._path!r}")


def socket_path(url: str) -> str:
    """Give the path in `unix:///PATH`; raise `ConfigurationError` for anything else."""
    path = url.removeprefix("unix://")
    if path == url or not path.startswith("/") or "\0" in path:
        raise ConfigurationError(
            f"{url!r} is not the url of docker's socket", hint=f"{URL_HINT}: unix:///run/docker.sock"
        )
    return path
