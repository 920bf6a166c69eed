"""The one writer: every change goes to the ledger first, then to memory, one transaction at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.book import Book
from mcsd.core.changes import Change, DropGroup, Group, PutGrant, PutGroup
from mcsd.core.grants import Grant, GrantState
from mcsd.core.notices import Kind, Notice
from mcsd.errors import LedgerError
from mcsd.herald import Herald
from mcsd.ports import Ledger

_KINDS = {
    GrantState.RESERVED: HolderKind.RESERVATION,
    GrantState.ACTIVE: HolderKind.GRANT,
    GrantState.IDLE: HolderKind.GRANT,
    GrantState.QUARANTINED: HolderKind.QUARANTINE,
}


def holder_of(grant: Grant) -> Holder:
    """Name a grant as the allocator knows it."""
    return Holder(_KINDS[grant.state], grant.name or f"grant {grant.id}")


def holder_of_group(group: Group) -> Holder:
    """Name a group as the allocator knows it."""
    return Holder(HolderKind.GROUP, group.name)


class Scribe:
    """Owns the ledger, the book and the allocator, and keeps the three in step.

    Whoever decides on the book's content holds `deciding` from the look at the book to the commit, so
    that no two decisions overlap. After a `LedgerError` nothing has changed anywhere; `error` says why
    until a later commit succeeds.
    """

    def __init__(
        self, ledger: Ledger, book: Book, allocator: Allocator, herald: Herald, thread: Executor
    ) -> None:
        self.book = book
        self.allocator = allocator
        self.deciding = asyncio.Lock()
        self.error = ""
        self._ledger = ledger
        self._herald = herald
        self._thread = thread
        for grant in book.grants():
            allocator.take(grant.level, holder_of(grant))
        for group in book.groups():
            allocator.take(group.level, holder_of_group(group))

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make changes durable, then visible; the caller holds `deciding`.

        A cancellation that arrives in between waits for the end: memory never lags behind the disk.
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
                work.exception()  # told by `_commit`; whoever asked has gone
            raise

    async def _commit(self, changes: tuple[Change, ...]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._ledger.apply, changes)
        except LedgerError as exc:
            if self.error != exc.what:
                self._herald.emit(Notice(Kind.LEDGER_FAILED, {"reason": exc.what, "hint": exc.hint}))
            self.error = exc.what
            raise
        self.error = ""
        for change in changes:
            self._follow(change)
            self.book.apply([change])

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
        for group in self.book.groups():
            if group.name == name:
                self.allocator.give_back(group.level, holder_of_group(group))

    def _follow_grant(self, grant: Grant) -> None:
        old = self.book.grant(grant.id)
        if old is not None:
            self.allocator.give_back(old.level, holder_of(old))
        if grant.state.holds:
            self.allocator.take(grant.level, holder_of(grant))
