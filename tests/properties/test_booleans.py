"""Booleans under any history: leases, ends, crashes, others' changes, policy loads, refusals and orders.

Promise 9: what nobody needs is off in the end. Promise 10: no boolean that the configuration does not name
is ever changed by mcsd, in force or by putting somebody else's pending change in force. Promise 7: the end
depends on what is there, not on how it came about.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcsd.control.booleans.keeper import Booleans
from mcsd.core.booleans import BooleanLease, Order, Ruling, Standing, Wish, admit, decide, lasting, strays
from mcsd.core.booleans import rule as rule_all
from mcsd.core.containers import Container, ContainerId
from mcsd.core.notices import Kind
from mcsd.errors import BooleanError
from mcsd.state.events import EventBus
from tests.fakes.booleans import FakeBooleans, FakeLifelines
from tests.fakes.immediate import Immediate
from tests.fakes.journal import MemoryJournal
from tests.fakes.world import HandClock

NAMED = {"fixed_on": Wish.ON, "fixed_off": Wish.OFF, "docker_connect_any": Wish.LEASE, "free": Wish.UNMANAGED}
POLICY = {
    "fixed_on": False,
    "fixed_off": True,
    "container_connect_any": True,
    "free": False,
    "stranger": False,
    "other_stranger": True,
}
LEASED = "container_connect_any"
GOVERNED = {"fixed_on", "fixed_off", LEASED}
ASKED = st.sampled_from(["docker_connect_any", LEASED, "stranger", "fixed_off", "unheard_of", "a b, ,../x"])

names = st.sampled_from(sorted(POLICY))
wishes = st.dictionaries(
    st.sampled_from([*sorted(POLICY), "docker_connect_any", "gone"]), st.sampled_from(Wish)
)
standings = st.fixed_dictionaries(
    {name: st.builds(Standing, st.booleans(), st.booleans()) for name in POLICY}
)


def same(name: str) -> str:
    return name


def requests_for(asked: list[str]) -> list[BooleanLease]:
    return [BooleanLease(ContainerId(f"{n:064x}"), f"c{n}", name) for n, name in enumerate(asked)]


@given(wishes, standings, st.lists(ASKED, max_size=5), st.booleans())
def test_a_decision_names_governed_booleans_only_and_leaves_nothing_to_decide(
    wanted: dict[str, Wish], present: dict[str, Standing], asked: list[str], known: bool
) -> None:
    """Promise 10, and deciding is idempotent."""
    rulings = rule_all(wanted, POLICY, same)
    admitted = admit(requests_for(asked), rulings, POLICY, same)
    holders = admitted.holders if known else None
    changes = decide(rulings, present, holders)
    governed = {ruling.name for ruling in rulings if ruling.name is not None}
    assert set(changes) <= governed
    after = present | {name: Standing.at(value) for name, value in changes.items()}
    assert decide(rulings, after, holders) == {}


@given(wishes, st.lists(ASKED, max_size=6))
def test_each_request_is_held_or_refused_and_only_leased_booleans_are_held(
    wanted: dict[str, Wish], asked: list[str]
) -> None:
    """Promise 10: nothing is given that the configuration does not offer."""
    rulings = rule_all(wanted, POLICY, same)
    requests = requests_for(asked)
    admitted = admit(requests, rulings, POLICY, same)
    held = [one for those in admitted.holders.values() for one in those]
    refused = [one.request for one in admitted.refusals]
    assert sorted(held + refused, key=str) == sorted(requests, key=str)
    offered = {one.name for one in rulings if one.wish is Wish.LEASE and one.name is not None}
    assert set(admitted.holders) <= offered


@given(wishes)
def test_one_boolean_has_one_ruling(wanted: dict[str, Wish]) -> None:
    rulings = rule_all(wanted, POLICY, same)
    assert [ruling.asked for ruling in rulings] == list(wanted)
    ruled = [ruling.resolved.name for ruling in rulings if not ruling.shadowed_by and ruling.resolved.name]
    assert len(ruled) == len(set(ruled))
    assert lasting(rulings).keys() <= set(ruled)


@given(standings, st.sets(names))
def test_after_withdrawing_strays_a_commit_changes_no_other_boolean(
    present: Mapping[str, Standing], governed: set[str]
) -> None:
    """Promise 10."""
    back = strays(present, governed)
    assert not set(back) & governed
    for name, standing in present.items():
        if name not in governed:
            assert back.get(name, standing.pending) == standing.active


class Histories(RuleBasedStateMachine):
    """One host, any number of mcsd after each other, and everybody else who runs `setsebool`."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.kernel = FakeBooleans(dict(POLICY))
        self.pid_watchers = FakeLifelines()
        self.containers: dict[ContainerId, Container] = {}
        self.foreign = {name: POLICY[name] for name in ("stranger", "other_stranger", "free")}
        self.orders: dict[str, Order] = {}
        self.known = False
        self.numbers = itertools.count(1)

    @initialize()
    def boot(self) -> None:
        self.start()

    def start(self) -> None:
        self.known = False
        self.orders = {}
        self.journal = MemoryJournal()
        clock = HandClock()
        self.pid_watchers.followed.clear()
        self.booleans = Booleans(
            NAMED,
            self.kernel,
            EventBus(self.journal, clock),
            clock,
            containers=lambda: tuple(self.containers.values()) if self.known else None,
            pid_watchers=self.pid_watchers,
            blocking=Immediate(),
        )

    def look(self) -> bool:
        before = len(self.kernel.commits)
        good = self.loop.run_until_complete(self.booleans.reconcile())
        for commit in self.kernel.commits[before:]:
            assert set(commit) <= GOVERNED
        return good

    @rule()
    def crash_and_start(self) -> None:
        self.start()

    @rule()
    def engine_answers(self) -> None:
        self.known = True

    @rule(asked=ASKED)
    def container_starts(self, asked: str) -> None:
        number = next(self.numbers)
        ident = ContainerId(f"{number:064x}")
        self.pid_watchers.living.add(number)
        labels = (("io.mcsd.boolean", asked),)
        self.containers[ident] = Container(ident, f"c{number}", running=True, pid=number, labels=labels)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), told=st.booleans())
    def container_ends(self, data: Any, told: bool) -> None:
        ident = data.draw(st.sampled_from(sorted(self.containers)))
        self.pid_watchers.end(self.containers[ident].pid or 0)
        if told:
            del self.containers[ident]

    @rule(name=names, value=st.booleans())
    def somebody_sets(self, name: str, value: bool) -> None:
        pending = dict(self.kernel.pending) | {name: value}
        self.kernel.setsebool(name, value)
        self.foreign.update({one: to for one, to in pending.items() if one in self.foreign})

    @rule(name=names, value=st.booleans())
    def somebody_leaves_pending(self, name: str, value: bool) -> None:
        self.kernel.leave_pending(name, value)

    @rule()
    def policy_is_loaded(self) -> None:
        self.kernel.load(POLICY)

    @rule(name=st.sampled_from(sorted(GOVERNED)))
    def kernel_refuses(self, name: str) -> None:
        self.kernel.refused.add(name)

    @rule()
    def kernel_refuses_nothing(self) -> None:
        self.kernel.refused.clear()

    @rule(
        asked=st.sampled_from(["fixed_on", "fixed_off", "docker_connect_any"]), order=st.sampled_from(Order)
    )
    def administrator_orders(self, asked: str, order: Order) -> None:
        try:
            self.loop.run_until_complete(self.booleans.set(asked, order))
        except BooleanError:
            assert self.kernel.refused
        else:
            self.orders[asked] = order

    @rule()
    def mcsd_looks(self) -> None:
        self.look()

    def expected(self) -> dict[str, bool]:
        held = any(
            container.pid in self.pid_watchers.living
            and set((container.label("boolean") or "").split(",")) & {"docker_connect_any", LEASED}
            for container in self.containers.values()
        )
        plain = {"fixed_on": True, "fixed_off": False, "docker_connect_any": held}
        for asked, order in self.orders.items():
            if order is not Order.CONFIGURED:
                plain[asked] = order is Order.ON
        plain[LEASED] = plain.pop("docker_connect_any")
        return plain

    @invariant()
    def strangers_are_left_alone(self) -> None:
        """Promise 10."""
        for name, value in self.foreign.items():
            assert self.kernel.active[name] == value

    def teardown(self) -> None:
        """In the end all is as wanted, whatever happened."""
        try:
            self.kernel.refused.clear()
            self.known = True
            assert self.look()
            assert {name: self.kernel.active[name] for name in GOVERNED} == self.expected()
            assert {name: self.kernel.standing(name).pending for name in GOVERNED} == self.expected()
            commits = len(self.kernel.commits)
            assert self.look()
            assert len(self.kernel.commits) == commits
            self.strangers_are_left_alone()
            assert not {Kind.INTERNAL} & set(self.journal.kinds())
            held = {view.ruling.asked: view for view in self.booleans.report()}
            if self.expected()[LEASED] and "docker_connect_any" not in self.orders:
                assert held["docker_connect_any"].holdings
        finally:
            self.loop.close()


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase


@given(st.sampled_from(Wish), st.sampled_from(Order), st.sampled_from([True, False, None]))
def test_an_order_stands_over_the_wish_but_never_over_unmanaged(
    wish: Wish, order: Order, held: bool | None
) -> None:
    ruling = rule_all({"free": wish}, POLICY, same, {"free": order})[0]
    assert isinstance(ruling, Ruling)
    wanted = ruling.wanted(held=held)
    if wish is Wish.UNMANAGED:
        assert wanted is None
    elif order is not Order.CONFIGURED:
        assert wanted is (order is Order.ON)
