"""The contract of `ContainerEngine`, for the Docker adapter on the stand-in and for the fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcsd.adapters.docker.engine import DockerEngine
from mcsd.core.containers import ContainerId, Mount, MountKind
from mcsd.ports import ContainerEngine
from tests.contracts.container_engine import ContainerEngineContract, World
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.docker_documents import bind
from tests.fakes.docker_socket import DockerStandIn


class FakeWorld:
    """The engine in memory."""

    def __init__(self) -> None:
        self._engine = FakeContainerEngine()

    def engine(self) -> ContainerEngine:
        return self._engine

    async def create(
        self, name: str, *, labels: Mapping[str, str] | None = None, volume: tuple[str, str] | None = None
    ) -> ContainerId:
        addressed = tuple(sorted(pair for pair in (labels or {}).items() if pair[0].startswith("io.mcsd.")))
        mounts = (Mount(MountKind.BIND, *volume, writable=False),) if volume else ()
        return self._engine.create(name, labels=addressed, mounts=mounts)

    async def start(self, ident: ContainerId) -> None:
        self._engine.start(ident)

    @asynccontextmanager
    async def starting(self, ident: ContainerId) -> AsyncIterator[None]:
        with self._engine.starting(ident):
            yield
            self._engine.start(ident)

    async def die(self, ident: ContainerId) -> None:
        self._engine.die(ident)

    async def remove(self, ident: ContainerId) -> None:
        self._engine.remove(ident)

    async def go_down(self) -> None:
        self._engine.go_down()

    async def come_up(self) -> None:
        self._engine.come_up()


class StandInWorld:
    """The real adapter on a stand-in for dockerd."""

    def __init__(self, docker: DockerStandIn) -> None:
        self._docker = docker

    def engine(self) -> ContainerEngine:
        return DockerEngine(self._docker.url)

    async def create(
        self, name: str, *, labels: Mapping[str, str] | None = None, volume: tuple[str, str] | None = None
    ) -> ContainerId:
        mounts = [bind(*volume, mode="ro", writable=False)] if volume else []
        return ContainerId(self._docker.create(name, labels=labels, mounts=mounts))

    async def start(self, ident: ContainerId) -> None:
        self._docker.start_container(ident)

    @asynccontextmanager
    async def starting(self, ident: ContainerId) -> AsyncIterator[None]:
        self._docker.hold_start(ident)
        yield
        self._docker.start_container(ident)

    async def die(self, ident: ContainerId) -> None:
        self._docker.die(ident)

    async def remove(self, ident: ContainerId) -> None:
        self._docker.destroy(ident)

    async def go_down(self) -> None:
        await asyncio.to_thread(self._docker.stop)

    async def come_up(self) -> None:
        self._docker.start()


class TestFake(ContainerEngineContract):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


class TestDockerAdapter(ContainerEngineContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        docker = DockerStandIn(tmp_path / "d.sock")
        docker.start()
        yield StandInWorld(docker)
        docker.stop()
