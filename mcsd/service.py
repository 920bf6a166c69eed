"""What the socket may ask of the daemon: one Protocol, met by the composition root and by tests' fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from mcsd.core.booleans import BooleanView, Refusal
from mcsd.core.figures import Figures
from mcsd.core.grants import Grant
from mcsd.core.picture import Event, Picture


@dataclass(frozen=True, slots=True)
class VolumeCheck:
    """How a volume's labels on disk compare with the ledger."""

    path: str
    target: str
    seen: int
    wrong: int
    skipped: int
    examples: tuple[str, ...] = ()
    error: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: volumes against the disk, processes against their grants."""

    volumes: tuple[VolumeCheck, ...] = ()
    processes: tuple[str, ...] = ()
    """Sentences about containers whose process does not carry the granted level."""
    pairs: tuple[str, ...] = ()
    """Sentences about processes of others whose level is not separate from a container's."""
    ledger: tuple[str, ...] = ()
    """Sentences about what the ledger says, and Docker or the originals on disk do not."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """What `restore` did to one volume."""

    path: str
    changed: int
    skipped: int
    complete: bool
    seconds: float


class BooleanKeeper(Protocol):
    """Who looks after booleans; the daemon's answers ask it."""

    def report(self) -> tuple[BooleanView, ...]:
        """Give each configured boolean as it was last seen."""
        ...

    def refusals(self) -> tuple[Refusal, ...]:
        """Requests of running containers that are not met."""
        ...

    async def set(self, name: str, order: str) -> BooleanView:
        """Do what an administrator asks."""
        ...


class Service(Protocol):
    """The daemon, seen from its socket. Every method may raise `McsdError`; see `mcsd.errors.Problem`."""

    def picture(self) -> Picture:
        """Give everything as it is now; quick, does no I/O."""
        ...

    async def figures(self) -> Figures:
        """Give what was counted since the start, and measure what the daemon's files take up."""
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

    async def reserve(self, name: str, *, group: str | None) -> Grant:
        """Set a level aside under a name; the same again for a name that is taken already."""
        ...

    async def release(self, name: str) -> None:
        """Give a reservation up; refused while a container uses it."""
        ...

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        """Hold a boolean `on` or `off` until the next start, or as it is `configured`."""
        ...

    def report_bug(self, where: str, error: BaseException) -> None:
        """Tell the journal, whole, of a failure that nobody foresaw; never raises."""
        ...
