"""What the socket may ask of the daemon: one Protocol, met by the composition root and by tests' fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

from mcsd.core.audit.told import ToldAudit
from mcsd.core.booleans import BooleanView, Refusal
from mcsd.core.denials.telling import ToldDenial
from mcsd.core.figures import Figures
from mcsd.core.grants import Grant
from mcsd.core.snapshot import Event, Snapshot
from mcsd.core.strays import Catch
from mcsd.core.verification import Restoration, Verification


class BooleanKeeper(Protocol):
    """Who looks after booleans; the daemon's answers ask it."""

    def report(self) -> tuple[BooleanView, ...]:
        """Return each configured boolean as it was last seen."""
        ...

    def refusals(self) -> tuple[Refusal, ...]:
        """Requests of running containers that are not met."""
        ...

    async def set(self, name: str, order: str) -> BooleanView:
        """Do what an administrator asks."""
        ...


class Service(Protocol):
    """The daemon, seen from its socket. Every method may raise `McsdError`; see `mcsd.errors.Problem`."""

    def snapshot(self) -> Snapshot:
        """Return everything as it is now; quick, does no I/O."""
        ...

    async def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths that lead to what is at `top`, or below it, by whatever names."""
        ...

    async def figures(self) -> Figures:
        """Return what was counted since the start, and measure what the daemon's files take up."""
        ...

    def events(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Stream events; first those remembered with a sequence above `after`, then new ones.

        A reader that is too slow gets a number instead of events: how many were lost.
        """
        ...

    def recent_events(self) -> tuple[Event, ...]:
        """The events still remembered, oldest first."""
        ...

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare disk, processes and ledger: all, one volume by path, or one container's."""
        ...

    async def restore(self, path: str) -> Restoration:
        """Put a volume's original labels back now; refused while a container still claims it."""
        ...

    def strays(self) -> Catch:
        """Return what scans have found outside every volume, and how far one is that runs."""
        ...

    def scan(self, top: str, *, gently: bool) -> None:
        """Begin to scan everything below a path, "" for all; raises `ConflictError` while a scan runs."""
        ...

    def denials(self) -> tuple[ToldDenial, ...]:
        """Return the newest denials that somebody told of, the newest first."""
        ...

    def tell_denials(self, denials: Sequence[ToldDenial]) -> None:
        """Take note of denials that somebody has seen, and tell everybody."""
        ...

    def audit(self) -> ToldAudit | None:
        """Return the newest audit that somebody told of, None where nobody has."""
        ...

    def tell_audit(self, audit: ToldAudit) -> None:
        """Take note of an audit, in place of the one before, and tell everybody."""
        ...

    async def reserve(self, name: str, *, group: str | None) -> Grant:
        """Set a level aside under a name; the same again for a name that is taken already."""
        ...

    async def release(self, name: str) -> None:
        """Release a reservation; refused while a container uses it."""
        ...

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        """Hold a boolean `on` or `off` until the next start, or as it is `configured`."""
        ...

    def report_bug(self, where: str, error: BaseException) -> None:
        """Tell the journal, whole, of a failure that nobody foresaw; never raises."""
        ...
