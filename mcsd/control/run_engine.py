"""Runs as containers of an engine of mcsd's own, which has them from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mcsd import __version__
from mcsd.core.containers import SUBSCRIBED, Container, ContainerId, EngineEvent, EngineInfo
from mcsd.core.runs import RUNTIME
from mcsd.core.state_cache import StateCache
from mcsd.errors import ContainerGoneError


class RunEngine:
    """`mcsd.ports.ContainerEngine` that is always there. Owned by the event loop's thread."""

    def __init__(self, cache: StateCache) -> None:
        self._cache = cache

    async def info(self) -> EngineInfo:
        """See `mcsd.ports.ContainerEngine`: mcsctl always sets the context."""
        return EngineInfo(True, __version__, "", "", RUNTIME)

    async def containers(self) -> tuple[ContainerId, ...]:
        """See `mcsd.ports.ContainerEngine`."""
        return tuple(run.id for run in self._cache.runs())

    async def inspect(self, container: str) -> Container:
        """See `mcsd.ports.ContainerEngine`."""
        for run in self._cache.runs():
            if container in {run.id, run.name}:
                return run.container
        raise ContainerGoneError(f"there is no run {container!r}", hint="mcsctl containers lists them")

    async def list_one(self, container: ContainerId) -> Container:
        """See `mcsd.ports.ContainerEngine`."""
        return await self.inspect(container)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """See `mcsd.ports.ContainerEngine`. Whoever starts or ends a run requests a look at it."""
        yield EngineEvent(ContainerId(""), SUBSCRIBED, 0)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See `mcsd.ports.ContainerEngine`."""
