"""Calls that block: one that hangs is known by what it is about, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from mcsd.blocking.calls import Blocking, BlockingCall
from mcsd.blocking.threads import Threads
from mcsd.core.blocked import Blocked, Party, Subject
from mcsd.errors import BlockedError, HostError
from tests.fakes.settled import settled

HUNG = Subject(Party.VOLUME, "/mnt/hung")
FINE = Subject(Party.VOLUME, "/srv/fine")
SOON = 0.02


class Scene:
    """Calls with little patience, and a file system that hangs until `release`."""

    def __init__(self, *, places: int = 2) -> None:
        self.blocking = Blocking(Threads("blocking"), patience=self.patience, places=places)
        self.soon = SOON
        self.told: list[tuple[Subject, bool]] = []
        self.blocking.listen(lambda blocked, is_overdue: self.told.append((blocked.subject, is_overdue)))
        self.gate = threading.Event()
        self.waiting = 0

    def patience(self, subject: Subject) -> float:
        return self.soon if subject == HUNG else 3600

    def hang(self) -> str:
        self.waiting += 1
        self.gate.wait()
        return "at last"


@asynccontextmanager
async def a_scene(**more: int) -> AsyncIterator[Scene]:
    scene = Scene(**more)
    try:
        yield scene
    finally:
        scene.gate.set()
        await scene.blocking.close()


def play(story: Callable[[Scene], Coroutine[Any, Any, None]], **more: int) -> None:
    async def run() -> None:
        async with a_scene(**more) as scene:
            await story(scene)

    with settled():
        asyncio.run(run())


def test_a_hung_call_is_given_up_and_named_and_the_next_about_it_is_refused_at_once() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(BlockedError, match="/mnt/hung"):
            await scene.blocking.run(HUNG, scene.hang)
        with pytest.raises(BlockedError, match="/mnt/hung"):
            await scene.blocking.run(HUNG, scene.hang)
        assert scene.waiting <= 1, "one thread for a subject, however often it is asked"
        assert [one.subject for one in scene.blocking.blocked()] == [HUNG]
        assert await scene.blocking.run(FINE, lambda: 7) == 7
        scene.gate.set()
        while scene.blocking.blocked():
            await asyncio.sleep(0)
        assert scene.told == [(HUNG, True), (HUNG, False)]
        scene.soon = 3600
        assert await scene.blocking.run(HUNG, lambda: 8) == 8

    play(story)


def test_any_number_of_hung_calls_keeps_nobody_else_from_his() -> None:
    """More than there are places, and all of them still within their patience."""

    async def story(scene: Scene) -> None:
        hung = [
            asyncio.create_task(scene.blocking.run(Subject(Party.VOLUME, f"/mnt/{n}"), scene.hang))
            for n in range(100)
        ]
        assert await scene.blocking.run(FINE, lambda: 7) == 7
        assert not any(task.done() for task in hung)
        scene.gate.set()
        assert await asyncio.gather(*hung) == ["at last"] * 100

    play(story)


def test_a_walk_that_gets_on_is_never_overdue_and_one_that_does_not_is_waited_for() -> None:
    async def story(scene: Scene) -> None:
        over = threading.Event()

        def work(call: BlockingCall) -> str:
            while not over.wait(SOON / 4):
                call.alive()
            return scene.hang()

        scene.soon = 3600
        walk = asyncio.create_task(scene.blocking.walk(HUNG, work))
        await asyncio.sleep(4 * SOON)
        assert scene.blocking.blocked() == () and scene.told == []
        walk.cancel()
        scene.soon = SOON
        walk = asyncio.create_task(scene.blocking.walk(HUNG, work))
        over.set()
        while not scene.blocking.blocked():
            await asyncio.sleep(0.001)
        assert not walk.done()
        scene.gate.set()
        assert await walk == "at last"
        assert scene.told == [(HUNG, True), (HUNG, False)]

    play(story)


def test_a_walk_that_may_be_given_up_is_once_it_is_silent() -> None:
    async def story(scene: Scene) -> None:
        with pytest.raises(BlockedError, match="/mnt/hung"):
            await scene.blocking.walk(HUNG, lambda _: scene.hang(), is_given_up=True)

    play(story)


def test_what_somebody_else_runs_is_watched_too() -> None:
    async def story(scene: Scene) -> None:
        ledger = HUNG
        with scene.blocking.watched(ledger):
            while not scene.blocking.blocked():
                await asyncio.sleep(0.001)
            with pytest.raises(BlockedError, match="/mnt/hung"):
                scene.blocking.require(ledger)
        scene.blocking.require(ledger)

    play(story)


def test_whatever_the_host_fails_a_call_with_is_foreseen() -> None:
    async def story(scene: Scene) -> None:
        def fail(code: int) -> None:
            raise OSError(code, f"Something Odd {code}")

        for code in errno.errorcode:
            with pytest.raises(HostError, match=rf"/srv/fine.* failed: something odd {code}"):
                await scene.blocking.run(FINE, partial(fail, code))

    play(story)


def test_who_waits_may_be_cancelled_and_the_end_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mcsd.blocking.calls.STOPPING", SOON)

    async def story(scene: Scene) -> None:
        scene.soon = 3600  # so that it is not given up before it is cancelled
        waiting = asyncio.create_task(scene.blocking.run(HUNG, scene.hang))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await scene.blocking.close()
        with pytest.raises(RuntimeError):
            await scene.blocking.run(FINE, lambda: None)

    play(story)


def test_what_is_said() -> None:
    assert Blocked(HUNG, 12.3).sentence == "the file system of volume '/mnt/hung' has not answered for 12 s"
    assert "findmnt -T /mnt/hung" in HUNG.hint
    for party in Party:
        blocked = Blocked(Subject(party, "x"), 1)
        assert blocked.sentence and blocked.subject.hint and blocked.subject.failure
