"""What is due: listed containers a few at a time, and what events name beside them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mcsd.control import engine_watch
from mcsd.control.engine_watch import WITHOUT_EVENT, Hints, Watcher
from mcsd.control.engines import Engines
from mcsd.core.containers import ContainerId, EngineEvent
from tests.fakes.container_engine import FakeContainerEngine

LISTED = [ContainerId(f"{number:064x}") for number in range(WITHOUT_EVENT + 2)]
NAMED = ContainerId("f" * 64)
PATIENCE = 30.0


def test_a_worker_for_events_waits_for_one() -> None:
    async def story() -> None:
        hints = Hints()
        await hints.add(LISTED)
        waiting = asyncio.create_task(hints.take(by_event=True))
        assert await hints.take() == (LISTED[0], None)
        assert not waiting.done()
        await hints.add([LISTED[1]], told=7.0)
        assert await waiting == (LISTED[1], 7.0), "an event has named what was listed"
        assert await hints.take() == (LISTED[2], None)

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_every_worker_takes_what_an_event_names() -> None:
    async def story() -> None:
        hints = Hints()
        await hints.add([NAMED], told=7.0)
        assert await hints.take() == (NAMED, 7.0)

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


class Reconciler:
    """One whose containers are at it until they are let go."""

    def __init__(self) -> None:
        self.begun: list[ContainerId] = []
        self.go = asyncio.Event()

    async def reconcile(self, container: ContainerId) -> bool:
        self.begun.append(container)
        await self.go.wait()
        return True


def watcher(reconciler: Reconciler) -> Watcher:
    engine = FakeContainerEngine()
    nothing = cast(Any, None)
    return Watcher(
        engines=Engines({"docker": engine}, nothing, lambda container: None),
        reconciler=cast(Any, reconciler),
        walks=nothing,
        bus=nothing,
        resync=3600.0,
        engine_is=nothing,
        synced=nothing,
        now=lambda: 8.0,
    )


def test_an_event_is_followed_while_a_listing_is_worked_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 3: what starts meanwhile is not behind all that was there before."""
    monkeypatch.setattr(engine_watch, "LENGTH", PATIENCE)

    async def story() -> None:
        reconciler = Reconciler()
        watching = watcher(reconciler)
        lookers = {watching.look, watching.follow_events}
        tasks = [asyncio.create_task(run()) for run in watching.tasks() if run in lookers]
        await watching.hints.add(LISTED)
        while len(reconciler.begun) < WITHOUT_EVENT:
            await asyncio.sleep(0)
        await watching.hint("docker", EngineEvent(NAMED, "start", 7_000_000_000))
        while NAMED not in reconciler.begun:
            await asyncio.sleep(0)
        assert reconciler.begun == [*LISTED[:WITHOUT_EVENT], NAMED]
        reconciler.go.set()
        await watching.hints.quiet()
        assert reconciler.begun == [*LISTED[:WITHOUT_EVENT], NAMED, *LISTED[WITHOUT_EVENT:]]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(asyncio.wait_for(story(), PATIENCE))
