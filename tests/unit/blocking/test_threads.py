"""Threads: none waits for another one's work, and none keeps the process alive."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from mcsd.blocking.threads import Threads
from tests.fakes.settled import settled


def test_a_call_runs_beside_any_number_of_blocked_ones() -> None:
    async def scene() -> None:
        threads, gate = Threads(), threading.Event()
        blocked = [threads.submit(gate.wait) for _ in range(200)]
        assert await threads.submit(lambda: 7) == 7
        gate.set()
        assert await asyncio.gather(*blocked) == [True] * 200
        assert await threads.close(within=10) == 0

    with settled():
        asyncio.run(scene())


def test_a_thread_is_used_again_and_ends_when_there_is_nothing_for_it() -> None:
    async def scene() -> None:
        threads = Threads(idle=0.05)
        first = await threads.submit(threading.get_ident)
        assert await threads.submit(threading.get_ident) == first
        while any(thread.name == "blocking" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
        assert await threads.submit(lambda: 7) == 7
        await threads.close(within=10)

    with settled():
        asyncio.run(scene())


def test_an_error_is_raised_where_it_is_awaited_and_forgotten_where_nobody_does() -> None:
    async def scene() -> None:
        threads = Threads()
        with pytest.raises(ZeroDivisionError):
            await threads.submit(lambda: 1 // 0)
        threads.submit(lambda: 1 // 0)
        await threads.close(within=10)

    asyncio.run(scene())


def test_closing_waits_for_what_runs_though_nobody_awaits_it_any_more() -> None:
    async def scene() -> None:
        threads, gate, ended = Threads(), threading.Event(), threading.Event()

        def work() -> None:
            gate.wait()
            ended.set()

        threads.submit(work)
        asyncio.get_running_loop().call_later(0.02, gate.set)
        assert await threads.close(within=10) == 0
        assert ended.is_set()
        with pytest.raises(RuntimeError):
            threads.submit(lambda: None)

    with settled():
        asyncio.run(scene())


def test_a_low_priority_ends_with_the_call_that_took_it() -> None:
    def take() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)

    def look() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def scene() -> None:
        threads = Threads()
        usual = await threads.submit(look)
        await threads.submit(take, is_last=True)
        assert await threads.submit(look) == usual
        await threads.close(within=10)

    asyncio.run(scene())


def test_a_process_ends_though_a_call_never_returns() -> None:
    program = """
import asyncio, threading
from mcsd.blocking.threads import Threads

async def main():
    threads = Threads()
    threads.submit(threading.Event().wait)
    print(await threads.close(within=0.01), flush=True)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
