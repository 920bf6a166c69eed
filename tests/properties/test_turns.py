"""Pairs are not used again while they need not be, whoever chose them and however often mcsd is restarted.

What was never given comes before what was, and of that what has been free for the longest time. The whole way
is run: grants are written down by the store, in a ledger that outlives it. Promise 2.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.blocking.calls import Blocking
from mcsd.blocking.threads import Threads
from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.changes import PutGrant
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import CategoryPair
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import GrantId
from mcsd.errors import ExhaustedError, LedgerError
from mcsd.state.events import EventBus
from mcsd.state.store import Store
from tests.fakes.ledger import MemoryLedger, Tables
from tests.fakes.world import HandClock, Papers

LOW, HIGH = 2, 6
WIDE = (1, 7)
CHOOSE, ADOPT, FREE, RESTART, WIDEN, FAIL, PROCESS = (
    "choose",
    "adopt",
    "free",
    "restart",
    "widen",
    "fail",
    "process",
)


class Life:
    """Grants that come and go on a ledger; the model is a list of pairs in the order of their freeing."""

    def __init__(self, seed: int, thread: ThreadPoolExecutor) -> None:
        self.chance = random.Random(seed)
        self.thread = thread
        self.tables = Tables()
        self.bounds = (LOW, HIGH)
        self.held: dict[CategoryPair, Grant] = {}
        self.given: list[CategoryPair] = []
        self.restart()

    def restart(self) -> None:
        self.ledger = MemoryLedger(self.tables)
        contents = self.ledger.load()
        self.allocator = Allocator(low=self.bounds[0], high=self.bounds[1], random=self.chance)
        self.allocator.remember(contents.turns)
        bus = EventBus(Papers(), HandClock())
        self.store = Store(
            self.ledger,
            StateCache(contents),
            self.allocator,
            bus,
            self.thread,
            Blocking(Threads()),
            wake=lambda _: None,
        )

    def run(self) -> set[CategoryPair]:
        low, high = self.bounds
        return {CategoryPair(*pair) for pair in combinations(range(low, high + 1), 2)}

    async def commit(self, change: PutGrant) -> bool:
        try:
            async with self.store.deciding:
                await self.store.commit([change])
        except LedgerError:
            return False
        return True

    async def take(self, pair: CategoryPair) -> None:
        number = self.store.cache.next_grant
        grant = Grant(
            GrantId(number),
            ContainerId(f"{number:064x}"),
            f"n{number}",
            pair.level,
            Origin.ASSIGNED,
            GrantState.ACTIVE,
            0.0,
        )
        if await self.commit(PutGrant(grant)):
            self.held[pair] = grant
            self.given = [one for one in self.given if one != pair]

    async def choose(self) -> None:
        free = self.run() - self.held.keys()
        try:
            pair = self.allocator.choose()
        except ExhaustedError:
            assert not free
            return
        fresh = free - set(self.given)
        if fresh:
            assert pair in fresh, "a pair that was given came before one that never was"
        else:
            assert pair == next(one for one in self.given if one in free), "it was free for a shorter time"
        await self.take(pair)

    async def adopt(self) -> None:
        free = sorted(self.run() - self.held.keys())
        if free:
            await self.take(self.chance.choice(free))

    async def free(self) -> None:
        if self.held:
            pair = self.chance.choice(sorted(self.held))
            grant = self.held[pair]
            gone = Grant(
                grant.id, grant.container, grant.name, grant.level, grant.origin, GrantState.FREE, 1.0
            )
            if await self.commit(PutGrant(gone)):
                del self.held[pair]
                self.given.append(pair)

    async def process(self) -> None:
        """Another engine's, seen by a scan, and gone at the next one; the ledger learns of it in time."""
        free = sorted(self.run() - self.held.keys())
        if not free:
            return
        pair = self.chance.choice(free)
        self.allocator.replace_processes({pair.level: Holder(HolderKind.PROCESS, "process 7")})
        self.allocator.replace_processes({})
        self.given = [*(one for one in self.given if one != pair), pair]
        async with self.store.deciding:
            await self.store.commit([])

    async def step(self, name: str) -> None:
        if name == RESTART:
            self.restart()
        elif name == WIDEN:
            self.bounds = WIDE if self.bounds != WIDE else (LOW, HIGH)
            self.restart()
        elif name == FAIL:
            self.ledger.failure = LedgerError("it is full") if self.ledger.failure is None else None
        else:
            await getattr(self, name)()


STEPS = (CHOOSE, CHOOSE, CHOOSE, ADOPT, FREE, FREE, RESTART, WIDEN, FAIL)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=10, max_size=120), st.integers(0, 2**16))
def test_no_pair_is_used_again_while_it_need_not_be(steps: list[str], seed: int) -> None:
    async def live() -> None:
        with ThreadPoolExecutor(1) as thread:
            life = Life(seed, thread)
            for name in steps:
                await life.step(name)

    asyncio.run(live())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([CHOOSE, ADOPT, FREE, PROCESS]), min_size=5, max_size=60), st.integers(0, 2**16)
)
def test_what_another_engine_was_seen_to_use_counts_as_given(steps: list[str], seed: int) -> None:
    async def live() -> None:
        with ThreadPoolExecutor(1) as thread:
            life = Life(seed, thread)
            for name in steps:
                await life.step(name)
            seen = set(life.given)
            life.ledger.failure = None
            await life.choose()  # anything that is written down brings along what was seen
            life.restart()
            known = {life.allocator.choose() for _ in range(200)} if life.allocator.counts().free else set()
            fresh = life.run() - seen - life.held.keys() - set(life.given)
            assert known <= fresh or not fresh

    asyncio.run(live())
