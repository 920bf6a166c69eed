"""Lanes: a small walk never waits for a large one."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from mcsd.relabel import Lanes
from tests.fakes.settled import settled


def test_a_walk_runs_beside_any_number_of_blocked_ones() -> None:
    async def scene() -> None:
        lanes, gate = Lanes(), threading.Event()
        blocked = [asyncio.create_task(lanes.run(gate.wait)) for _ in range(40)]
        assert await lanes.run(lambda: 7) == 7
        gate.set()
        assert await asyncio.gather(*blocked) == [True] * 40
        await lanes.close()

    with settled():
        asyncio.run(scene())


def test_an_error_is_raised_where_it_is_awaited() -> None:
    async def scene() -> None:
        lanes = Lanes()
        with pytest.raises(ZeroDivisionError):
            await lanes.run(lambda: 1 // 0)
        await lanes.close()

    asyncio.run(scene())


def test_closing_waits_for_what_runs_though_nobody_awaits_it_any_more() -> None:
    async def scene() -> None:
        lanes, gate, ended = Lanes(), threading.Event(), threading.Event()

        def work() -> None:
            gate.wait()
            ended.set()

        task = asyncio.create_task(lanes.run(work))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asyncio.get_running_loop().call_later(0.02, gate.set)
        await lanes.close()
        assert ended.is_set()
        with pytest.raises(RuntimeError):
            await lanes.run(lambda: None)

    with settled():
        asyncio.run(scene())


def test_a_low_priority_ends_with_the_walk_that_took_it() -> None:
    def take() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)

    def look() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def scene() -> None:
        lanes = Lanes(limit=1)
        usual = await lanes.run(look)
        await lanes.run(take)
        assert await lanes.run(look) == usual
        await lanes.close()

    asyncio.run(scene())
