"""What the ledger holds, and the changes that can be made to it, as values.

A change is a whole record to put or a name to drop; a transaction is a tuple of changes. The daemon's
memory (`mcsd.core.state_cache`) and the database apply the same tuples, the database first.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from mcsd.core.containers import ContainerId
from mcsd.core.fleet.values import FleetRecord
from mcsd.core.grants import Grant
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.runs import Run
from mcsd.core.volumes import Claim, GrantId, Volume, VolumeId


@dataclass(frozen=True, slots=True)
class Group:
    """A named level that several containers' levels dominate on purpose."""

    name: str
    low: int
    high: int
    since: float

    @property
    def pair(self) -> CategoryPair:
        """The group's own pair."""
        return CategoryPair(self.low, self.high)

    @property
    def level(self) -> Level:
        """The level that the group's volumes carry."""
        return self.pair.level


@dataclass(frozen=True, slots=True)
class PutGrant:
    """Insert or replace a grant; one in state FREE is archived and no longer loaded."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class PutVolume:
    """Insert or replace a volume."""

    volume: Volume


@dataclass(frozen=True, slots=True)
class DropVolume:
    """Delete a volume whose labels are restored; its claims must have been deleted."""

    volume: VolumeId


@dataclass(frozen=True, slots=True)
class PutClaim:
    """Insert or replace a claim; its grant, and its volume if it names one, must exist."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class DropClaim:
    """Delete a claim."""

    grant: GrantId
    destination: str


@dataclass(frozen=True, slots=True)
class PutGroup:
    """Insert or replace a group."""

    group: Group


@dataclass(frozen=True, slots=True)
class DropGroup:
    """Delete a group without members."""

    name: str


@dataclass(frozen=True, slots=True)
class PutTurn:
    """Record that a pair is in use, or was until now: it becomes the most recently used."""

    pair: CategoryPair


@dataclass(frozen=True, slots=True)
class PutRun:
    """Insert or replace a run."""

    run: Run


@dataclass(frozen=True, slots=True)
class DropRun:
    """Delete a run whose process has ended; its grant goes its own way."""

    run: ContainerId


@dataclass(frozen=True, slots=True)
class PutFleet:
    """Replace what this host remembers of its fleet."""

    record: FleetRecord


Change = (
    PutGrant
    | PutVolume
    | DropVolume
    | PutClaim
    | DropClaim
    | PutGroup
    | DropGroup
    | PutTurn
    | PutRun
    | DropRun
    | PutFleet
)


@dataclass(frozen=True, slots=True)
class LedgerContents:
    """Everything live in a ledger. `next_grant` is higher than every grant id ever used.

    `turns` are the pairs that were ever used, by their ranks among all pairs (`mcsd.core.pairs.EVERY_PAIR`),
    the most recently used last. There may be half a million.
    """

    grants: tuple[Grant, ...] = ()
    volumes: tuple[Volume, ...] = ()
    claims: tuple[Claim, ...] = ()
    groups: tuple[Group, ...] = ()
    next_grant: int = 1
    turns: array[int] = field(default_factory=lambda: array("I"))
    runs: tuple[Run, ...] = ()
    fleet: FleetRecord | None = None
