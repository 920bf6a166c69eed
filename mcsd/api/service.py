"""The daemon as the socket sees it: one Protocol, implemented by the facade and by tests' fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

from mcsd.core.audit.told import ToldAudit
from mcsd.core.booleans import BooleanView, Refusal
from mcsd.core.denials.telling import ToldDenial
from mcsd.core.figures import Figures
from mcsd.core.grants import Grant
from mcsd.core.labels import Context
from mcsd.core.lives import NO_LIFE, LifeRequest
from mcsd.core.runs import Run, RunRequest
from mcsd.core.snapshot import Event, Snapshot
from mcsd.core.strays import Catch
from mcsd.core.verification import Restoration, Verification


class BooleanKeeper(Protocol):
    """The keeper of booleans, for the daemon's answers."""

    def report(self) -> tuple[BooleanView, ...]:
        """Return each configured boolean as last read."""
        ...

    def refusals(self) -> tuple[Refusal, ...]:
        """Return the requests of running containers that are refused."""
        ...

    async def set(self, name: str, order: str) -> BooleanView:
        """Carry out an administrator's order."""
        ...


class Service(Protocol):
    """The daemon, seen from its socket. Every method may raise `McsdError`; see `mcsd.errors.Problem`."""

    def snapshot(self) -> Snapshot:
        """Return everything as it is now; quick, does no I/O."""
        ...

    async def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths that lead to what is at `top`, or below it, under whatever names."""
        ...

    async def figures(self) -> Figures:
        """Return what was counted since the start, and the current size of the daemon's files."""
        ...

    def events(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Stream events; first kept ones with a sequence above `after`, then new ones.

        A reader that is too slow gets a number instead of events: how many were lost.
        """
        ...

    def recent_events(self) -> tuple[Event, ...]:
        """Return the events still kept, oldest first."""
        ...

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare disk, processes and ledger: all, one volume by path, or one container's."""
        ...

    async def restore(self, path: str) -> Restoration:
        """Restore a volume's original labels now; refused while a container still claims it."""
        ...

    def strays(self) -> Catch:
        """Return the strays that scans have found, and the progress of a running scan."""
        ...

    def scan(self, top: str, *, gently: bool) -> None:
        """Start a scan of everything below a path, "" for all; raises `ConflictError` while a scan runs."""
        ...

    def denials(self) -> tuple[ToldDenial, ...]:
        """Return the denials that were reported to mcsd, the newest first."""
        ...

    def tell_denials(self, denials: Sequence[ToldDenial]) -> None:
        """Store denials, and report them as events."""
        ...

    def audit(self) -> ToldAudit | None:
        """Return the latest audit that was sent to mcsd, None if there was none."""
        ...

    def tell_audit(self, audit: ToldAudit) -> None:
        """Store an audit, replacing the one before, and report it as an event."""
        ...

    async def reserve(self, name: str, *, group: str | None, life: LifeRequest = NO_LIFE) -> Grant:
        """Set a level aside under a name; for a name that is taken already, return the same level."""
        ...

    async def release(self, name: str) -> None:
        """Release a reservation; refused while a container uses it."""
        ...

    async def create_run(self, wanted: RunRequest, pid: int) -> tuple[Run, Context]:
        """Give a process, which asks for it, a run; return it with the label of its files."""
        ...

    async def start_run(self, key: str) -> None:
        """Wait until a run's volumes are ready, and let it execute its command."""
        ...

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        """Hold a boolean `on` or `off` until the next start, or as it is `configured`."""
        ...

    def report_bug(self, where: str, error: BaseException) -> None:
        """Report an unforeseen failure to the journal with all details; never raises."""
        ...
