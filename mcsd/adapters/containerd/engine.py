"""containerd as an engine: `mcsd.ports.ContainerEngine` over what is on disk of its tasks.

Events come from looking again and again, and may be late by `INTERVAL`. With the gate that does not matter:
its calls tell of each start and end at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mcsd.adapters.containerd.tasks import CREATED, Tasks, states
from mcsd.blocking.threads import Threads
from mcsd.core.containers import (
    CONTAINERD,
    SUBSCRIBED,
    Container,
    ContainerId,
    EngineEvent,
    EngineInfo,
)
from mcsd.core.daemon_json import NAME
from mcsd.errors import EngineUnavailableError

INTERVAL = 1.0
"""Seconds between two looks at all tasks."""
PAUSE = 0.05
"""Seconds between two looks at a task that is being created."""
_GATE = "/usr/libexec/mcsd/mcsd-gate"
_T = TypeVar("_T")


class ContainerdEngine:
    """The tasks that are neither Docker's nor the kubelet's; `state` is containerd's directory."""

    def __init__(self, state: Path, *, interval: float = INTERVAL, timeout: float = 30.0) -> None:
        """`interval` and `timeout` are in seconds; the latter is for a task to be created."""
        self._tasks = Tasks(state)
        self._interval = interval
        self._timeout = timeout
        self._threads = Threads("mcsd-containerd")
        self._closed = False

    async def info(self) -> EngineInfo:
        """Return what is known of it: containers are labelled if their configuration says so."""
        await self._ask(self._tasks.all)
        return EngineInfo(
            selinux=True,
            server_version="",
            api_version="",
            root_directory="/var/lib/containerd",
            default_runtime="runc",
            runtimes=((NAME, _GATE), ("runc", "runc")),
            kind=CONTAINERD,
        )

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all tasks, running or not."""
        return tuple(task.ident for task in await self._ask(self._tasks.all))

    async def inspect(self, container: str) -> Container:
        """Inspect one task by id or name, once it is created; raise `ContainerGoneError` if there is none.

        Until then, which for the gate's answer may take long, what is on disk says nothing about its start.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._timeout
        while True:
            found = await self._look(container)
            if found.status != CREATED:
                return found
            if loop.time() > give_up:
                raise EngineUnavailableError(
                    f"container {found.name!r} is still being created in containerd",
                    hint="journalctl -u containerd says what it waits for",
                )
            await asyncio.sleep(PAUSE)

    async def list_one(self, container: ContainerId) -> Container:
        """Return one task as it is."""
        return await self._look(container)

    async def _look(self, container: str) -> Container:
        return await self._ask(lambda: self._tasks.read(self._tasks.find(container)))

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream what differs between one look and the next, `SUBSCRIBED` first."""
        before = await self._ask(self._states)
        yield EngineEvent(ContainerId(""), SUBSCRIBED, time.time_ns())
        while True:
            await asyncio.sleep(self._interval)
            after = await self._ask(self._states)
            for ident in sorted({**before, **after}):
                if before.get(ident) != after.get(ident):
                    yield EngineEvent(ident, _action(before, after, ident), time.time_ns())
            before = after

    def _states(self) -> dict[ContainerId, Any]:
        return states(self._tasks)

    async def close(self) -> None:
        """Release every thread; idempotent."""
        self._closed = True
        await self._threads.close(within=1.0)

    async def _ask(self, question: Callable[[], _T]) -> _T:
        if self._closed:
            raise EngineUnavailableError("mcsd does not look at containerd any more")
        done = self._threads.submit(question)
        await asyncio.wait({done})
        return done.result()


def _action(before: Mapping[ContainerId, Any], after: Mapping[ContainerId, Any], ident: ContainerId) -> str:
    if ident not in after:
        return "destroy"
    if ident not in before:
        return "create"
    return "die" if after[ident][0] is None else "start"
