"""Holding booleans over a kernel in memory: what is told, when, and what goes on when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest

from mcsd.control.booleans.keeper import RECHECK, Booleans
from mcsd.core.booleans import BooleanView, ChangeCause, Wish
from mcsd.core.containers import Container, ContainerId
from mcsd.core.notices import Kind
from mcsd.errors import BooleanError, ForbiddenError, NotFoundError, RequestError
from mcsd.state.events import EventBus
from tests.fakes.booleans import FakeBooleans, FakeLifelines
from tests.fakes.immediate import Immediate
from tests.fakes.journal import MemoryJournal
from tests.fakes.running import run, until
from tests.fakes.world import HandClock

LEASE = {"docker_connect_any": Wish.LEASE}
NAME = "container_connect_any"


class Host:
    """One mcsd's booleans on one kernel."""

    def __init__(self, wishes: Mapping[str, Wish], **active: bool) -> None:
        self.kernel = FakeBooleans(active)
        self.pid_watchers = FakeLifelines()
        self.journal = MemoryJournal()
        self.clock = HandClock()
        self.containers: dict[int, Container] | None = {}
        self.booleans = Booleans(
            wishes,
            self.kernel,
            EventBus(self.journal, self.clock),
            self.clock,
            containers=lambda: None if self.containers is None else tuple(self.containers.values()),
            pid_watchers=self.pid_watchers,
            blocking=Immediate(),
            stored=lambda: {NAME: False},
        )

    def look(self) -> bool:
        return run(self.booleans.reconcile())

    def start(self, pid: int, asked: str = "docker_connect_any") -> None:
        assert self.containers is not None
        self.pid_watchers.living.add(pid)
        ident = ContainerId(f"{pid:064x}")
        labels = (("io.mcsd.boolean", asked),)
        self.containers[pid] = Container(ident, f"c{pid}", running=True, pid=pid, labels=labels)

    def end(self, pid: int) -> None:
        assert self.containers is not None
        self.pid_watchers.end(pid)
        del self.containers[pid]

    def view(self, asked: str) -> BooleanView:
        return next(one for one in self.booleans.report() if one.ruling.asked == asked)

    def do(self, wish: Coroutine[Any, Any, Any]) -> Any:
        return run(wish)


def test_at_start_all_are_brought_right_in_one_transaction() -> None:
    host = Host({"a": Wish.ON, "b": Wish.OFF, "c": Wish.UNMANAGED}, a=False, b=True, c=False, d=True)
    assert host.look()
    assert host.kernel.active == {"a": True, "b": False, "c": False, "d": True}
    assert host.kernel.commits == [{"a": True, "b": False}]
    assert host.view("a").changed is not None
    assert len(host.journal.of(Kind.BOOLEAN_SET)) == 2
    assert host.look() and len(host.kernel.commits) == 1


def test_a_lease_that_outlived_its_container_is_taken_back_at_start() -> None:
    """Promise 9."""
    host = Host(LEASE, container_connect_any=True)
    assert host.look()
    assert host.kernel.active == {NAME: False}


def test_a_lease_stays_while_nobody_knows_who_runs() -> None:
    host = Host(LEASE, container_connect_any=True)
    host.containers = None
    assert host.look() and host.kernel.active == {NAME: True}
    host.containers = {}
    host.start(7)
    assert host.look() and host.kernel.active == {NAME: True} and not host.kernel.commits


def test_a_lease_is_on_while_at_least_one_holder_runs() -> None:
    host = Host(LEASE, container_connect_any=False)
    host.start(7)
    host.start(8)
    assert host.look() and host.kernel.active[NAME]
    host.end(7)
    assert host.look() and host.kernel.active[NAME]
    assert [one.name for one in host.view("docker_connect_any").holdings] == ["c8"]
    host.end(8)
    assert host.look() and not host.kernel.active[NAME]
    assert host.journal.kinds() == [
        *[Kind.BOOLEAN_SET, Kind.BOOLEAN_LEASED, Kind.BOOLEAN_LEASED, Kind.BOOLEAN_RETURNED],
        *[Kind.BOOLEAN_SET, Kind.BOOLEAN_RETURNED],
    ]


def test_the_end_of_a_holder_s_process_counts_although_the_engine_says_nothing() -> None:
    """Promise 9: Docker may be down when a container ends."""
    host = Host(LEASE, container_connect_any=False)
    host.start(7)
    assert host.look() and host.kernel.active[NAME]
    host.pid_watchers.end(7)
    assert host.look() and not host.kernel.active[NAME]


def test_since_when_a_lease_is_held_is_told() -> None:
    host = Host(LEASE, container_connect_any=False)
    host.start(7)
    host.look()
    begun = host.clock.now()
    host.clock.advance(60)
    host.start(8)
    host.look()
    holdings = host.view("docker_connect_any").holdings
    assert [(one.name, one.since) for one in holdings] == [("c7", begun), ("c8", begun + 60)]


def test_what_others_flip_is_put_right_and_told() -> None:
    host = Host({"a": Wish.ON}, a=True)
    host.look()
    host.kernel.setsebool("a", False)
    assert host.look() and host.kernel.active["a"]
    (notice,) = host.journal.of(Kind.BOOLEAN_PUT_RIGHT)
    assert notice.fields == {"boolean": "a", "value": "on", "found": "off"}
    changed = host.view("a").changed
    assert changed is not None and changed.cause is ChangeCause.PUT_RIGHT


def test_what_others_do_to_an_unmanaged_boolean_is_told_and_left() -> None:
    host = Host({"a": Wish.UNMANAGED}, a=True)
    host.look()
    host.kernel.setsebool("a", False)
    assert host.look() and not host.kernel.active["a"]
    assert host.journal.kinds() == [Kind.BOOLEAN_CHANGED]
    changed = host.view("a").changed
    assert changed is not None and (changed.value, changed.cause) == (False, ChangeCause.OUTSIDE)


def test_somebody_else_s_pending_change_is_not_put_in_force() -> None:
    """Promise 10."""
    host = Host({"a": Wish.ON}, a=False, other=False)
    host.kernel.leave_pending("other", True)
    assert host.look()
    assert host.kernel.active == {"a": True, "other": False}
    assert [one.fields["boolean"] for one in host.journal.of(Kind.BOOLEAN_STRAY)] == ["other"]


def test_a_transaction_that_somebody_ends_meanwhile_is_theirs() -> None:
    host = Host({"a": Wish.ON}, a=False, other=False)
    host.kernel.leave_pending("other", True)

    async def story() -> None:
        look = asyncio.create_task(host.booleans.reconcile())
        await asyncio.sleep(0)
        host.kernel.setsebool("other", True)
        assert await look

    host.do(story())
    assert host.kernel.active == {"a": True, "other": True}
    assert not host.journal.of(Kind.BOOLEAN_STRAY)


def test_one_that_cannot_be_set_keeps_no_other_from_it_and_is_told_once() -> None:
    host = Host({"a": Wish.ON, "b": Wish.ON}, a=False, b=False)
    host.kernel.refused.add("a")
    assert not host.look() and not host.look()
    assert host.kernel.active == {"a": False, "b": True}
    assert len(host.journal.of(Kind.BOOLEAN_FAILED)) == 1
    assert "permission denied" in host.view("a").problem and not host.view("b").problem
    host.kernel.refused.clear()
    assert host.look() and host.kernel.active["a"] and not host.view("a").problem


def test_one_that_somebody_turns_back_at_once_is_a_failure() -> None:
    """Promise 8: what was set is read back."""
    host = Host({"a": Wish.ON}, a=False)
    host.kernel.after_commit = lambda: host.kernel.setsebool("a", False)
    assert not host.look()
    view = host.view("a")
    assert (view.wanted, view.present) == (True, False) and "not so any more" in view.problem


def test_with_no_selinux_in_the_kernel_each_line_says_so() -> None:
    host = Host({"a": Wish.ON})
    host.kernel.failure = BooleanError("SELinux is disabled in the kernel", hint="switch it on")
    assert not host.look() and not host.look()
    (view,) = host.booleans.report()
    assert (view.problem, view.hint, view.present) == (
        "SELinux is disabled in the kernel",
        "switch it on",
        None,
    )
    assert host.journal.kinds() == [Kind.BOOLEAN_FAILED]


def test_where_nobody_wants_a_boolean_none_is_looked_at() -> None:
    host = Host({})
    host.kernel.failure = BooleanError("SELinux is disabled in the kernel")
    assert host.look() and not host.journal.notices and host.booleans.report() == ()


def test_an_unknown_name_is_told_once_and_taken_up_when_a_policy_brings_it() -> None:
    host = Host({"a": Wish.ON, "container_conect_any": Wish.ON}, a=False, container_connect_any=False)
    host.look()
    host.look()
    (notice,) = host.journal.of(Kind.BOOLEAN_UNKNOWN)
    assert "container_connect_any" in str(notice.fields["hint"])
    assert host.kernel.active["a"]
    host.kernel.load({"a": False, "container_conect_any": False})
    assert host.look() and host.kernel.active["container_conect_any"]


def test_a_refusal_is_told_once_for_each_container() -> None:
    host = Host(LEASE | {"a": Wish.ON}, container_connect_any=False, a=True)
    host.start(7, "a")
    host.start(8, "a")
    host.look()
    host.look()
    told = host.journal.of(Kind.BOOLEAN_REFUSED)
    assert [one.fields["name"] for one in told] == ["c7", "c8"]
    assert [one.request.container_name for one in host.booleans.refusals()] == ["c7", "c8"]
    host.end(7)
    host.look()
    assert len(host.booleans.refusals()) == 1


def test_an_administrator_s_order_stands_until_it_is_taken_back() -> None:
    host = Host({"a": Wish.OFF}, a=False)
    host.look()
    view = host.do(host.booleans.set("a", "on"))
    assert view.present and view.changed.cause is ChangeCause.ORDERED and host.kernel.active["a"]
    assert not host.do(host.booleans.set("a", "configured")).present


def test_an_order_names_the_boolean_by_the_policy_s_name_too() -> None:
    host = Host(LEASE, container_connect_any=False)
    host.look()
    assert host.do(host.booleans.set(NAME, "on")).ruling.asked == "docker_connect_any"


@pytest.mark.parametrize(
    ("name", "order", "error"),
    [
        ("a", "maybe", RequestError),
        ("stranger", "on", NotFoundError),
        ("free", "on", ForbiddenError),
        ("gone", "on", NotFoundError),
        ("docker_connect_any", "on", ForbiddenError),
    ],
)
def test_what_may_not_be_ordered(name: str, order: str, error: type[Exception]) -> None:
    """Promise 10."""
    wishes = {
        "a": Wish.ON,
        "free": Wish.UNMANAGED,
        "gone": Wish.ON,
        "docker_connect_any": Wish.ON,
        NAME: Wish.OFF,
    }
    host = Host(wishes, a=True, free=False, stranger=False, container_connect_any=False)
    host.look()
    with pytest.raises(error):
        host.do(host.booleans.set(name, order))
    assert host.kernel.active == {"a": True, "free": False, "stranger": False, NAME: False}


def test_an_order_that_the_kernel_refuses_leaves_nothing_behind() -> None:
    host = Host({"a": Wish.OFF}, a=False)
    host.look()
    host.kernel.refused.add("a")
    with pytest.raises(BooleanError, match="permission denied"):
        host.do(host.booleans.set("a", "on"))
    host.kernel.refused.clear()
    assert host.look() and not host.kernel.active["a"] and host.view("a").wanted is False


def test_whoever_wakes_it_is_served_and_it_ends_with_nothing_followed() -> None:
    host = Host(LEASE, container_connect_any=False)

    async def story() -> None:
        job = asyncio.create_task(host.booleans.run())
        host.start(7)
        host.booleans.wake()
        await until(lambda: host.kernel.active[NAME])
        host.pid_watchers.end(7)  # wakes by itself
        await until(lambda: not host.kernel.active[NAME])
        host.kernel.setsebool(NAME, True)
        host.booleans.wake()
        await until(lambda: not host.kernel.active[NAME])
        host.start(8)
        host.booleans.wake()
        await until(lambda: host.kernel.active[NAME])
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    host.do(story())
    assert not host.pid_watchers.followed


def test_as_soon_as_it_is_known_who_runs_leases_are_taken_back_though_nobody_wakes_it() -> None:
    """Promise 9: an engine without a single container sets nothing off."""
    host = Host(LEASE, container_connect_any=True)
    host.containers = None

    async def story() -> None:
        job = asyncio.create_task(host.booleans.run())
        await until(lambda: host.booleans.report()[0].present)
        host.containers = {}
        await until(lambda: not host.kernel.active[NAME], within=RECHECK / 2)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    host.do(story())


def test_after_a_failure_it_looks_again_by_itself() -> None:
    host = Host({"a": Wish.ON}, a=False)
    host.kernel.failure = BooleanError("the policy is being replaced")

    async def story() -> None:
        job = asyncio.create_task(host.booleans.run())
        await until(lambda: host.journal.notices)
        host.kernel.failure = None
        await until(lambda: host.kernel.active["a"])
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)

    host.do(story())
