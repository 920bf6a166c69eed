"""Several engines as one, each container being asked for where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from mcsd.core.containers import Container, ContainerId, EngineEvent, EngineInfo
from mcsd.ports import ContainerEngine


class Engines:
    """`mcsd.ports.ContainerEngine` over engines by name. `owner` names the one that has an id or name.

    The first is the host's container engine: what it is, and its events, are all that is told. The others'
    containers are listed with its own, and only if it answers: a list is complete or fails.
    """

    def __init__(self, engines: Mapping[str, ContainerEngine], owner: Callable[[str], str]) -> None:
        self._engines = dict(engines)
        self._owner = owner
        self._first = next(iter(self._engines.values()))

    async def info(self) -> EngineInfo:
        """See `mcsd.ports.ContainerEngine`."""
        return await self._first.info()

    async def containers(self) -> tuple[ContainerId, ...]:
        """See `mcsd.ports.ContainerEngine`."""
        return tuple([one for engine in self._engines.values() for one in await engine.containers()])

    async def inspect(self, container: str) -> Container:
        """See `mcsd.ports.ContainerEngine`."""
        return await self._engines[self._owner(container)].inspect(container)

    async def list_one(self, container: ContainerId) -> Container:
        """See `mcsd.ports.ContainerEngine`."""
        return await self._engines[self._owner(container)].list_one(container)

    def events(self) -> AsyncIterator[EngineEvent]:
        """See `mcsd.ports.ContainerEngine`."""
        return self._first.events()

    async def close(self) -> None:
        """See `mcsd.ports.ContainerEngine`."""
        for engine in self._engines.values():
            await engine.close()
