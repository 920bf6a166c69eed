"""Watching the ground over a kernel in memory. Promises 7 and 8: news are hints, the page is the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mcsd.control.selinux_watch import SelinuxWatch
from mcsd.core.host import SelinuxStatus
from mcsd.core.notices import Kind
from mcsd.core.selinux_state import Move, NetlinkEvent, NetlinkEventKind, SelinuxState, Trouble
from mcsd.errors import SelinuxError
from mcsd.state.events import EventBus
from tests.fakes.immediate import Immediate
from tests.fakes.journal import MemoryJournal
from tests.fakes.netlink import FakeNews
from tests.fakes.running import run, until
from tests.fakes.selinux import FakeSelinux
from tests.fakes.world import HandClock

PID = 42
POLICY = NetlinkEvent(NetlinkEventKind.POLICY, 2)


class Blinkered(FakeSelinux):
    """A kernel that can refuse to be asked."""

    refusal: SelinuxError | None = None

    def status(self) -> SelinuxStatus:
        if self.refusal is not None:
            raise self.refusal
        return super().status()


class Scene:
    """One watch, on one kernel."""

    def __init__(self) -> None:
        self.news = FakeNews()
        self.selinux = Blinkered(processes={PID: "system_u:system_r:mcsd_t:s0-s0:c0.c1023"})
        self.journal = MemoryJournal()
        self.moves: list[Move] = []
        self.watch = SelinuxWatch(
            self.news,
            self.selinux,
            EventBus(self.journal, HandClock()),
            self.moves.append,
            file_type="svirt_sandbox_file_t",
            pid=PID,
            blocking=Immediate(),
        )

    def look(self) -> None:
        asyncio.run(self.watch.look())

    def troubles(self) -> list[Trouble]:
        return [one.trouble for one in self.watch.findings()]

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            job = asyncio.create_task(self.watch.run())
            try:
                await asyncio.sleep(0)
                await story()
            finally:
                job.cancel()
                await asyncio.gather(job, return_exceptions=True)

        run(whole())
        assert not self.news.is_open


def scene() -> Scene:
    async def make() -> Scene:
        return Scene()

    return asyncio.run(make())


def test_on_quiet_ground_nothing_is_told() -> None:
    stage = scene()
    stage.look()
    stage.look()
    assert not stage.moves and not stage.journal.notices


def test_setenforce_is_told_with_and_without_an_announcement() -> None:
    """Promise 7: announcements may be lost."""
    stage = scene()
    stage.look()
    stage.selinux.set_enforcing(enforcing=False)
    stage.look()
    stage.selinux.set_enforcing(enforcing=True)
    stage.look()
    assert [move.enforcing for move in stage.moves] == [False, True]
    assert stage.journal.kinds() == [
        *[Kind.SELINUX_NOT_ENFORCING, Kind.GROUND_WORSE],
        *[Kind.SELINUX_ENFORCING, Kind.GROUND_BETTER],
    ]
    assert stage.watch.missed == 2


def test_an_announcement_is_acted_on_at_once() -> None:
    stage = scene()

    async def story() -> None:
        stage.selinux.set_enforcing(enforcing=False)
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 0))
        await until(lambda: stage.moves)

    stage.run(story)
    assert stage.watch.heard == 1


def test_without_announcements_the_page_is_looked_at() -> None:
    stage = scene()
    stage.news.refusal = SelinuxError("no such family")

    async def story() -> None:
        await until(lambda: Trouble.DEAF in stage.troubles())
        stage.selinux.set_enforcing(enforcing=False)
        await until(lambda: any(move.enforcing is False for move in stage.moves))

    stage.run(story)


def test_a_socket_that_breaks_is_opened_again() -> None:
    stage = scene()

    async def story() -> None:
        stage.news.put(SelinuxError("it broke"))
        await until(lambda: Trouble.DEAF in stage.troubles())
        await until(lambda: stage.news.opened == 2 and Trouble.DEAF not in stage.troubles())

    stage.run(story)
    assert Kind.GROUND_BETTER in stage.journal.kinds()


def test_permissive_for_a_moment_only_is_told_all_the_same() -> None:
    """Promise 8."""
    stage = scene()

    async def story() -> None:
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 0))
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 1))
        await until(lambda: len(stage.journal.notices) == 2)

    stage.run(story)
    assert stage.journal.kinds() == [Kind.SELINUX_NOT_ENFORCING, Kind.SELINUX_ENFORCING]
    assert not stage.moves


def test_an_announcement_of_what_the_page_has_shown_already_is_told_once() -> None:
    stage = scene()
    stage.selinux.set_enforcing(enforcing=True)

    async def story() -> None:
        stage.selinux.set_enforcing(enforcing=False)
        await stage.watch.look()
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 0))
        await until(lambda: stage.watch.heard == 1)
        await stage.watch.look()
        stage.selinux.set_enforcing(enforcing=True)
        await stage.watch.look()
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 1))
        await until(lambda: stage.watch.heard == 2)
        await stage.watch.look()

    stage.run(story)
    assert len(stage.journal.of(Kind.SELINUX_NOT_ENFORCING)) == 1
    assert len(stage.journal.of(Kind.SELINUX_ENFORCING)) == 1


def test_an_announcement_that_comes_before_the_page_shows_it_is_told_once() -> None:
    """The kernel sends its message first, and writes its page after."""
    stage = scene()

    async def story() -> None:
        stage.news.put(NetlinkEvent(NetlinkEventKind.ENFORCING, 0))
        await until(lambda: stage.watch.heard == 1)
        stage.selinux.set_enforcing(enforcing=False)
        await until(lambda: stage.moves)
        await stage.watch.look()

    stage.run(story)
    assert stage.journal.kinds() == [Kind.SELINUX_NOT_ENFORCING, Kind.GROUND_WORSE]
    assert not stage.watch.missed


def test_a_policy_load_is_a_move_although_nothing_else_changed() -> None:
    stage = scene()
    stage.look()
    stage.selinux.load_policy()
    stage.look()
    (move,) = stage.moves
    assert move.policy and move.enforcing is None


def test_without_the_page_an_announcement_is_a_move() -> None:
    stage = scene()
    stage.selinux.now = replace(stage.selinux.now, generation=0)

    async def story() -> None:
        stage.news.put(POLICY)
        await until(lambda: stage.moves)

    stage.run(story)
    assert stage.moves[0].policy


def test_a_policy_without_the_file_type_or_mcsd_s_own_domain_is_told_and_watching_goes_on() -> None:
    stage = scene()
    stage.look()
    types, stage.selinux.types = stage.selinux.types, {"var_t"}
    own, stage.selinux.processes[PID] = stage.selinux.processes[PID], "system_u:object_r:unlabeled_t:s0"
    stage.selinux.load_policy()
    stage.look()
    assert stage.troubles() == [Trouble.NO_FILE_TYPE, Trouble.NO_OWN_DOMAIN]
    stage.selinux.types, stage.selinux.processes[PID] = types, own
    stage.selinux.load_policy()
    stage.look()
    assert not stage.troubles()
    assert len(stage.journal.of(Kind.GROUND_BETTER)) == 2


def test_a_policy_without_categories_is_told() -> None:
    stage = scene()
    stage.selinux.now = replace(stage.selinux.now, mls=False, generation=2)
    stage.look()
    assert stage.troubles() == [Trouble.NO_MCS]


def test_a_kernel_that_cannot_be_asked_is_told_not_trusted_and_asked_again() -> None:
    """Promise 8."""
    stage = scene()
    stage.look()
    stage.selinux.refusal = SelinuxError("permission denied")
    stage.look()
    stage.look()
    assert stage.troubles() == [Trouble.UNREADABLE]
    assert len(stage.moves) == 1 and not stage.moves[0].new.trusted.enforcing
    stage.selinux.refusal = None
    stage.look()
    assert not stage.troubles() and stage.moves[-1].enforcing is True


def test_with_no_selinux_in_the_kernel_it_says_so_once_and_listens_to_nobody() -> None:
    stage = scene()
    stage.selinux.now = SelinuxStatus("kernel", enabled=False, enforcing=False, mls=False, policy="")

    async def story() -> None:
        await until(lambda: stage.journal.notices)

    stage.run(story)
    assert stage.troubles() == [Trouble.DISABLED]
    assert stage.journal.kinds() == [Kind.GROUND_WORSE]
    assert not stage.news.opened
    assert isinstance(stage.watch.state(), SelinuxState)
