"""The single writer: every change goes to the ledger first, then to memory, one transaction at a time.

Theory of operation ------------------- Three things record who holds which level: the ledger on disk, its
mirror in memory (`mcsd.core.state_cache`), and the allocator's counts. `commit` makes a tuple of changes
durable, and then applies the same tuple to the other two. The ledger is called from a single thread of its
own.

What always holds:

- Memory is never ahead of the disk, and outside `commit` never behind it. A cancellation waits for the end.
- A decision based on the cache holds the lock `deciding` from reading to commit. So no two decisions overlap,
  and none is based on outdated state.
- Walks run outside `deciding`: the intent is committed before, the outcome after. Before the outcome is
  written, the intent is checked again.
- A commit that ends a hold wakes all containers that were refused because of it.

What a failure means: after a `LedgerError` nothing has changed anywhere. It is reported once, `error` has it
until a later commit succeeds, and what cannot be recorded is not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from mcsd.blocking.calls import Blocking
from mcsd.core.allocation import Allocator, Holder, HolderKind, pairs_of
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import Change, DropGroup, Group, PutGrant, PutGroup, PutTurn
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState
from mcsd.core.labels import CategoryPair
from mcsd.core.notices import Kind, Notice
from mcsd.core.state_cache import StateCache
from mcsd.core.waking import ended_by, woken_by
from mcsd.errors import LedgerError
from mcsd.ports import Ledger
from mcsd.state.events import EventBus

LEDGER = Subject(Party.LEDGER)

_KINDS = {
    GrantState.RESERVED: HolderKind.RESERVATION,
    GrantState.ACTIVE: HolderKind.GRANT,
    GrantState.IDLE: HolderKind.GRANT,
    GrantState.QUARANTINED: HolderKind.QUARANTINE,
}


def holder_of(grant: Grant) -> Holder:
    """Return a grant as a holder for the allocator."""
    return Holder(_KINDS[grant.state], grant.name or f"grant {grant.id}")


def holder_of_group(group: Group) -> Holder:
    """Return a group as a holder for the allocator."""
    return Holder(HolderKind.GROUP, group.name)


def used_up(changes: Sequence[Change], cache: StateCache) -> Iterator[CategoryPair]:
    """Return the pairs that changes put into use or free, which become the most recently used."""
    for change in changes:
        match change:
            case PutGrant(grant):
                former = cache.grant(grant.id)
                before = {former.level} if former is not None else set()
                now = {grant.level} if grant.state.holds else set()
                for level in before ^ now:  # a continuing hold was recorded when it began
                    yield from pairs_of(level)
            case PutGroup(group):
                yield group.pair
            case DropGroup(name):
                yield from (group.pair for group in cache.groups() if group.name == name)


class Store:
    """Owns the ledger, its cache and the allocator, and keeps the three consistent.

    A decision based on the cache holds `deciding` from reading to commit, so that no two decisions overlap.
    After a `LedgerError` nothing has changed anywhere; `error` says why until a later commit succeeds. `wake`
    is called with the containers that were refused because of a hold that a commit has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        cache: StateCache,
        allocator: Allocator,
        bus: EventBus,
        thread: Executor,
        blocking: Blocking,
        wake: Callable[[frozenset[ContainerId]], None],
    ) -> None:
        self.cache = cache
        self._wake = wake
        self.allocator = allocator
        self.deciding = asyncio.Lock()
        self.error = ""
        self._ledger = ledger
        self._bus = bus
        self._thread = thread
        self._blocking = blocking
        self._listeners: list[Callable[[], None]] = []
        for grant in cache.grants():
            allocator.take(grant.level, holder_of(grant))
        for group in cache.groups():
            allocator.take(group.level, holder_of_group(group))

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that has changed anything."""
        self._listeners.append(listener)

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make changes durable, then visible; the caller holds `deciding`.

        A cancellation in between waits for the end: memory never lags behind the disk.
        """
        assert self.deciding.locked(), "decisions are made one at a time"
        if not changes:
            return
        work = asyncio.ensure_future(self._commit(tuple(changes)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # reported by `_commit`; the caller is gone
            raise

    async def _commit(self, changes: tuple[Change, ...]) -> None:
        loop = asyncio.get_running_loop()
        seen = self.allocator.unsaved()
        turns = tuple(map(PutTurn, (*seen, *used_up(changes, self.cache))))
        try:
            with self._blocking.watched(LEDGER):
                await loop.run_in_executor(self._thread, self._ledger.apply, changes + turns)
        except LedgerError as exc:
            raise self._failed(exc) from exc.__cause__
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            raise self._failed(LedgerError(f"{LEDGER.failure}: {reason}", hint=LEDGER.hint)) from exc
        self.error = ""
        self.allocator.saved(seen)
        ended = ended_by(changes, self.cache)
        for change in changes:
            self._follow(change)
            self.cache.apply([change])
        for listener in self._listeners:
            listener()
        woken = woken_by(ended, self.cache)
        if woken:
            self._wake(woken)

    def _failed(self, error: LedgerError) -> LedgerError:
        if self.error != error.what:
            self._bus.emit(Notice(Kind.LEDGER_FAILED, {"reason": error.what, "hint": error.hint}))
        self.error = error.what
        return error

    def _follow(self, change: Change) -> None:
        match change:
            case PutGrant(grant):
                self._follow_grant(grant)
            case PutGroup(group):
                self._drop_group(group.name)
                self.allocator.take(group.level, holder_of_group(group))
            case DropGroup(name):
                self._drop_group(name)

    def _drop_group(self, name: str) -> None:
        for group in self.cache.groups():
            if group.name == name:
                self.allocator.give_back(group.level, holder_of_group(group))

    def _follow_grant(self, grant: Grant) -> None:
        old = self.cache.grant(grant.id)
        if old is not None:
            self.allocator.give_back(old.level, holder_of(old))
        if grant.state.holds:
            self.allocator.take(grant.level, holder_of(grant))
