"""Keeps blocks of the fleet's pairs in reserve, so that starts need not wait for the store.

Theory of operation
-------------------
`mcsd.core.fleet.protocol` decides; this reads, writes down, sends and reads again, in the background. It
takes a block when fewer than `reserve` pairs are free, and gives those back that are not needed. Every `beat`
it writes an operation that changes nothing: the others see that the host is there, and a host that was put
back to an earlier state, or copied, is found out.

What always holds:

- The ledger has an operation before it is sent.
- The allocator chooses from no block that the ledger does not have as held. What a host gives back is closed
  to the allocator before that is written down, let alone sent.
- Nothing is chosen before the store has confirmed an operation of this run of mcsd.

What a failure means: while the store does not answer, what is held is granted from, and nothing is taken. An
error of the ledger leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from mcsd.blocking.calls import Blocking
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import PutFleet
from mcsd.core.fleet.blocks import BLOCK, BLOCKS, MOST_HELD, listed
from mcsd.core.fleet.holding import FleetHolding
from mcsd.core.fleet.protocol import (
    Grants,
    Judgement,
    Means,
    Trouble,
    View,
    Wish,
    claimable,
    excluded_by,
    is_crowded,
    join,
    judge,
    next_operation,
    settled,
    swap_of,
)
from mcsd.core.fleet.trees import MOST_TREES, FleetTree, has_room
from mcsd.core.fleet.values import FleetRecord, FleetValueError, Reading, Swap
from mcsd.core.hints import Hint
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import VolumePhase
from mcsd.errors import ConflictError, FleetError, HostError, LedgerError, McsdError
from mcsd.ports import Clock, FleetStore
from mcsd.state.events import EventBus
from mcsd.state.store import Store

STORE = Subject(Party.FLEET)
ROUNDS = 6
"""Operations in a row: more are made in the next turn."""
PAUSE = 1.0
"""Seconds between two turns at least."""
RETRY = 10.0
"""Seconds until the next turn at most, while the store does not answer."""
JOINING = 300.0
"""Seconds within which a group that was joined must have a member here, or it is left again; and within which
a directory that was claimed must be in the ledger, or it is given up again."""
ANY = None
"""Stands for all levels: those on a volume that is being labelled or restored are not known."""
AT_ONCE = 8
"""Blocks that are taken in one operation."""


@dataclass(frozen=True, slots=True)
class FleetTerms:
    """`machine` tells this machine from a copy of its disk elsewhere; `beat` is in seconds.

    `reserve` is how many pairs should be free.
    """

    name: str
    machine: str
    reserve: int
    beat: float


class FleetKeeper:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        terms: FleetTerms,
        store: Store,
        fleet: FleetStore,
        blocking: Blocking,
        bus: EventBus,
        clock: Clock,
        means: Means,
    ) -> None:
        self._terms = terms
        self._store = store
        self._fleet = fleet
        self._blocking = blocking
        self._bus = bus
        self._clock = clock
        self._means = means
        self._own: set[str] = set()
        self._wanted: dict[str, float] = {}
        """Groups that somebody is about to use, and since when."""
        self._claimed: dict[FleetTree, float] = {}
        """Directories that are about to be labelled, and since when."""
        self._confirmed: frozenset[FleetTree] = frozenset()
        """Directories that somebody here has asked for since mcsd started, and that it has."""
        self._listeners: list[Callable[[], None]] = []
        self._seen = 0
        self._beaten = 0.0
        self._may_take = False
        self._turn = asyncio.Lock()
        self._awake = asyncio.Event()
        self.holding = FleetHolding(terms.name, store.cache.fleet)
        store.allocator.limit(frozenset())

    def may_hold(self, level: Level) -> bool:
        """Tell whether a container may start at a level that it has had before."""
        return self.holding.may_hold(level)

    async def join_group(self, name: str) -> CategoryPair:
        """Return the pair of a group, and take part in it until its last member here is gone.

        The store is asked only if this host has no member of it yet. Raises `FleetError` if that is not
        certain, `HostError` or `LedgerError` if it fails.
        """
        self._wanted[name] = self._clock.steady()
        if name not in self.holding.groups:
            await self.turn()
        found = self.holding.groups.get(name)
        if found is None:
            said = self.holding.says()
            reason = "other hosts join groups just now, or do not agree on its pair"
            reason, hint = said or (reason, Hint.JOIN_LATER.say())
            raise FleetError(f"the group {name!r} cannot be joined: {reason}", hint=hint)
        return found.pair

    def group(self, name: str) -> CategoryPair | None:
        """Return the pair of a group that this host takes part in; None if it does not.

        Who asks holds the lock for decisions until the group's member is in the ledger.
        """
        self._wanted.pop(name, None)
        found = self.holding.groups.get(name)
        return found.pair if found is not None else None

    async def claim_tree(self, tree: FleetTree, *, is_labelled: bool) -> None:
        """Have a directory on shared storage for this host, until no volume of the ledger is there any more.

        `is_labelled` tells whether one is there already; otherwise there will be one soon. The store is asked
        only if this host does not have the directory yet, and for one that is labelled already only if it can
        be had as far as is known. Raises `ConflictError` if another host has it,
        `FleetError` if that is not certain, `HostError` or `LedgerError` if it fails.
        """
        before = self._claimed.get(tree)
        self._claimed[tree] = self._clock.steady()
        try:
            if not self.has(tree) and (not is_labelled or self.may_claim(tree)):
                await self.turn()
        finally:
            if not self.has(tree) or (is_labelled and before is None):
                self._claimed.pop(tree, None)
        if self.has(tree):
            self._confirmed |= {tree}
        else:
            raise self._why_not(tree)

    def _why_not(self, tree: FleetTree) -> McsdError:
        view, record = self.holding.view, self.holding.record
        other = excluded_by(tree, self._terms.name, view) if view is not None else None
        if other is not None:
            host, theirs = other
            return ConflictError(
                f"{theirs.holder} on host {host} has {theirs.place.path!r} of this storage at {theirs.level}",
                hint=Hint.ELSEWHERE.say(),
            )
        if record is not None and not has_room({*record.trees, tree}):
            return FleetError(f"this host has {MOST_TREES} directories on shared storage already")
        said = self.holding.says()
        reason, hint = said or (
            "other hosts have claimed at the same time",
            Hint.JOIN_LATER.say(),
        )
        return FleetError(reason, hint=hint)

    def forget_claim(self, tree: FleetTree) -> None:
        """Note that no volume will come of a claim any more that the ledger does not have."""
        if self._claimed.pop(tree, None) is not None:
            self.wake_if_due()

    def has(self, tree: FleetTree) -> bool:
        """Tell whether this host has a directory, and may label it."""
        return tree in self.holding.trees

    def may_claim(self, tree: FleetTree) -> bool:
        """Tell whether a directory could be had now, as far as is known."""
        view, record = self.holding.view, self.holding.record
        if not self._may_take or view is None or record is None:
            return False
        return self.has(tree) or bool(claimable(record, view, [tree]))

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each reading of the store."""
        self._listeners.append(listener)

    def wake_if_due(self) -> None:
        """Request a turn if pairs run low and more can be had, or a directory is not needed any more."""
        record = self._store.cache.fleet
        if self._may_take and (self._lack() or (record is not None and self._abandoned(record))):
            self._awake.set()

    async def run(self) -> None:
        """Take turns, for ever."""
        while True:
            self._awake.clear()
            answered = await self._try()
            await asyncio.sleep(PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._terms.beat if answered else min(RETRY, self._terms.beat)):
                    await self._awake.wait()

    async def _try(self) -> bool:
        try:
            await self.turn()
        except (FleetError, HostError) as exc:
            self._tell(Trouble.UNREACHABLE, exc.what)
            return False
        except LedgerError:  # reported by the store; nothing has changed
            return False
        return True

    async def turn(self) -> None:
        """Read, conclude, and do what is due, until nothing is.

        Raises `FleetError` or `HostError` if the store does not answer, `LedgerError` if the ledger fails.
        """
        async with self._turn:  # a reading must not be older than what is remembered
            for _ in range(ROUNDS):
                reading = await self._ask(self._fleet.read)
                async with self._store.deciding:
                    swap = await self._decide(reading)
                if swap is None:
                    return
                await self._send(swap)

    async def _ask(self, question: Callable[[], Reading]) -> Reading:
        self._count()
        reading = await self._blocking.run(STORE, question)
        self.holding = replace(self.holding, asked=self._clock.now())
        return reading

    async def _send(self, swap: Swap) -> None:
        """Send a transaction. What it answers counts for nothing: the next reading tells."""
        self._count()
        await self._blocking.run(STORE, lambda: self._fleet.swap(swap))

    def _count(self) -> None:
        self.holding = replace(self.holding, requests=self.holding.requests + 1)

    # --- deciding, under the lock ------------------------------------------------------------------

    async def _decide(self, reading: Reading) -> Swap | None:
        try:
            view = View.of(reading)
        except FleetValueError as exc:
            self._tell(Trouble.UNREADABLE, str(exc))
            return None
        record = self._store.cache.fleet
        if record is None or (view is not None and self._is_admitted_anew(record, view)):
            record = self._joining(view)
        if record is None:
            return None
        after = settled(record, view) if view is not None else record
        if after.generation != record.generation:
            self._seen = reading.revision  # a store that was restored counts from where its backup was
        judgement = judge(after, view, machine=self._terms.machine, seen=self._seen)
        if view is not None and reading.cluster == after.cluster:
            self._seen = max(self._seen, reading.revision)
        permission = self.holding.permission.after(judgement, after, self._own)
        self.holding = replace(self.holding, permission=permission, view=view)
        await self._remember(after)  # what is due depends on what may be granted from now
        swap = None
        if view is not None and (wish := self._due(after, judgement, view)) is not None:
            made = next_operation(after, view, judgement, wish, self._own, self._means)
            if made is not None:
                after, operation = made
                self._own.add(operation.id)
                self._beaten = self._clock.steady()
                swap = swap_of(after, operation, view)
                await self._remember(after)
        self._conclude(judgement, view)
        for listener in self._listeners:
            listener()
        return swap

    def _is_admitted_anew(self, record: FleetRecord, view: View) -> bool:
        """Tell whether the host was admitted again, and nothing here has what it held before."""
        name = self._terms.name
        admission = view.fleet.hosts.get(name)
        if admission is None or name in view.fences or (name, admission) == (record.name, record.admission):
            return False
        held = record.document.blocks.union(*(one.document.blocks for one in record.pending))
        return self._idle(held) == held and self._abandoned(record) == record.trees

    def _joining(self, view: View | None) -> FleetRecord | None:
        found = (
            Trouble.NO_FLEET
            if view is None
            else join(view, self._terms.name, machine=self._terms.machine, new_id=self._means.new_id)
        )
        if isinstance(found, FleetRecord):
            return found
        self.holding = replace(self.holding, view=view)
        self._tell(found)
        return None

    async def _remember(self, record: FleetRecord) -> None:
        """Write the record down. What shrinks does so before, what grows grows after."""
        allocator, permission = self._store.allocator, self.holding.permission
        allocator.limit(permission.blocks(self._store.cache.fleet) & permission.blocks(record))
        if record != self._store.cache.fleet:
            await self._store.commit([PutFleet(record)])
        allocator.limit(permission.blocks(record))
        self.holding = replace(self.holding, record=record)

    def _due(self, record: FleetRecord, judgement: Judgement, view: View) -> Wish | None:
        """Return what is to be changed now, None for nothing."""
        wish = replace(self._wish(record, judgement), yield_up=self._abandoned(record))
        if judgement.may_take and self.holding.permission.is_proven:
            wish = replace(wish, claim=claimable(record, view, self._claimed))
        is_overdue = (
            judgement.must_assert
            or bool(judgement.doubt and not record.document.doubt)
            or bool(record.pending)
            or record.operation not in self._own
            or self._clock.steady() - self._beaten >= self._terms.beat
        )
        return wish if is_overdue or wish != Wish() else None

    def _wish(self, record: FleetRecord, judgement: Judgement) -> Wish:
        """Return what to take or give, once what is held is granted from."""
        leave = self._left(record)
        contested = self._idle(self.holding.permission.contested & record.held)
        if judgement.grants is not Grants.PROVEN or not self.holding.permission.is_proven:
            return Wish(give=contested, leave=leave)
        join = (
            frozenset(self._wanted) - {one.name for one in record.groups}
            if judgement.may_take
            else frozenset()
        )
        spare = self._store.allocator.counts().free - self._terms.reserve
        if spare < 0:
            take = min(AT_ONCE, -(spare // BLOCK)) if judgement.may_take else 0
            return Wish(take=take, join=join, leave=leave)
        idle = sorted(self._idle(self.holding.blocks))
        surplus = max(0, spare // BLOCK - 1)
        return Wish(give=frozenset(idle[:surplus]) | contested, join=join, leave=leave)

    def _left(self, record: FleetRecord) -> frozenset[str]:
        """Return the groups that have no member here any more."""
        cache, now = self._store.cache, self._clock.steady()
        used = {group.name for group in cache.groups()}
        self._wanted = {name: since for name, since in self._wanted.items() if now - since < JOINING}
        return frozenset(one.name for one in record.groups) - used - self._wanted.keys()

    def _abandoned(self, record: FleetRecord) -> frozenset[FleetTree]:
        """Return the directories on shared storage that no volume of the ledger needs any more."""
        if not record.trees:
            return frozenset()
        now, needed = self._clock.steady(), self._needed(record.trees)
        self._claimed = {
            tree: since
            for tree, since in self._claimed.items()
            if now - since < JOINING and tree not in needed
        }
        return record.trees - needed - self._claimed.keys()

    def _needed(self, trees: frozenset[FleetTree]) -> frozenset[FleetTree]:
        """Return those of the directories that carry their level as volumes of the ledger, or may.

        A volume that is at another path by now, or whose storage has another name, was claimed anew.
        """
        levels: dict[int, list[Level | None]] = {}
        for volume in self._store.cache.volumes():
            level = volume.level if volume.phase is VolumePhase.LABELLED else ANY
            levels.setdefault(volume.identity.inode, []).append(level)
        self._confirmed &= trees
        moved = {
            (tree.place.inode, tree.level)
            for tree in self._confirmed
            if len(levels.get(tree.place.inode, ())) == 1
        }
        return frozenset(
            tree
            for tree in trees
            if {tree.level, ANY}.intersection(levels.get(tree.place.inode, ()))
            and (tree in self._confirmed or (tree.place.inode, tree.level) not in moved)
        )

    def _idle(self, blocks: frozenset[int]) -> frozenset[int]:
        return self._store.allocator.unused(blocks)

    def _lack(self) -> bool:
        return self._store.allocator.counts().free < self._terms.reserve

    # --- telling -----------------------------------------------------------------------------------

    def _conclude(self, judgement: Judgement, view: View | None) -> None:
        trouble = judgement.trouble
        if trouble is None and self._lack() and view is not None and self._is_full(view):
            trouble = Trouble.FULL
        record = self._store.cache.fleet
        if trouble is None and record is not None and view is not None and is_crowded(record, view):
            trouble = Trouble.CROWDED
        self._may_take = judgement.may_take and trouble is None
        self._tell(trouble)

    def _is_full(self, view: View) -> bool:
        record = self._store.cache.fleet
        own = record.document.blocks if record is not None else frozenset()
        return len(own) >= MOST_HELD or len(own | view.taken(self._terms.name)) >= BLOCKS

    def _tell(self, trouble: Trouble | None, detail: str = "") -> None:
        """Note what is wrong, and report it when it begins and when it is over."""
        before = self.holding.trouble
        self.holding = replace(self.holding, trouble=trouble, detail=detail)
        if trouble is before:
            return
        said = self.holding.says()
        if said is not None:
            reason, hint = said
            self._bus.emit(
                Notice(Kind.FLEET_TROUBLE, {"reason": reason, "hint": hint, "code": trouble or ""})
            )
        else:
            fields = {"name": self._terms.name, "blocks": listed(self.holding.blocks) or "none"}
            self._bus.emit(Notice(Kind.FLEET_WELL, fields))
