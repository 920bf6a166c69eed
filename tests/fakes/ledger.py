"""A ledger in memory, with the rules of the real one and failures on demand."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropRun,
    DropVolume,
    Group,
    LedgerContents,
    PutClaim,
    PutFleet,
    PutGrant,
    PutGroup,
    PutRun,
    PutTurn,
    PutVolume,
)
from mcsd.core.containers import ContainerId
from mcsd.core.fleet.values import FleetRecord
from mcsd.core.grants import Grant, GrantState
from mcsd.core.pairs import EVERY_PAIR
from mcsd.core.runs import Run
from mcsd.core.volumes import Claim, GrantId, Volume, VolumeId
from mcsd.errors import LedgerError


@dataclass
class Tables:
    """What a ledger holds, by key; the model that the real ledger is compared with."""

    grants: dict[GrantId, Grant] = field(default_factory=dict)
    volumes: dict[VolumeId, Volume] = field(default_factory=dict)
    claims: dict[tuple[GrantId, str], Claim] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    runs: dict[ContainerId, Run] = field(default_factory=dict)
    next_grant: int = 1
    turns: list[int] = field(default_factory=list)
    fleet: FleetRecord | None = None

    def copy(self) -> Tables:
        """Return tables that change on their own; the records are immutable."""
        return Tables(
            dict(self.grants),
            dict(self.volumes),
            dict(self.claims),
            dict(self.groups),
            dict(self.runs),
            self.next_grant,
            list(self.turns),
            self.fleet,
        )

    def apply(self, changes: Sequence[Change]) -> Tables:
        """Return the tables after a transaction; raises `LedgerError` where it ends in a contradiction."""
        after = self.copy()
        for change in changes:
            after._apply(change)
        for claim in after.claims.values():
            if claim.grant not in after.grants:
                raise LedgerError(f"claim {claim.key!r} refers to a grant that is not there")
            if claim.volume is not None and claim.volume not in after.volumes:
                raise LedgerError(f"claim {claim.key!r} refers to a volume that is not there")
        return after

    def contents(self) -> LedgerContents:
        """Everything, in the order that `load` promises."""
        return LedgerContents(
            grants=tuple(self.grants[key] for key in sorted(self.grants)),
            volumes=tuple(self.volumes[key] for key in sorted(self.volumes)),
            claims=tuple(self.claims[key] for key in sorted(self.claims)),
            groups=tuple(self.groups[key] for key in sorted(self.groups)),
            runs=tuple(self.runs[key] for key in sorted(self.runs)),
            next_grant=self.next_grant,
            turns=array("I", self.turns),
            fleet=self.fleet,
        )

    def _apply(self, change: Change) -> None:
        match change:
            case PutGrant(grant):
                self.next_grant = max(self.next_grant, grant.id + 1)
                self.grants.pop(grant.id, None)
                if grant.state is not GrantState.FREE:
                    self.grants[grant.id] = grant
            case PutVolume(volume):
                self.volumes[volume.id] = volume
            case DropVolume(volume_id):
                self.volumes.pop(volume_id, None)
            case PutClaim(claim):
                self.claims[claim.key] = claim
            case DropClaim(grant_id, destination):
                self.claims.pop((grant_id, destination), None)
            case PutGroup(group):
                self.groups[group.name] = group
            case DropGroup(name):
                self.groups.pop(name, None)
            case PutRun(run):
                self.runs[run.id] = run
            case DropRun(run_id):
                self.runs.pop(run_id, None)
            case PutFleet(record):
                self.fleet = record
            case PutTurn(pair):
                rank = EVERY_PAIR.rank_of(pair)
                assert rank is not None
                self.turns = [*(one for one in self.turns if one != rank), rank]
            case _:
                assert_never(change)


class MemoryLedger:
    """`mcsd.ports.Ledger` that forgets with the process.

    Two with the same `tables` stand for the same ledger opened again. While `failure` is set, `load` and
    `apply` raise it. `applied` are the transactions that went through, oldest first.
    """

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = tables or Tables()
        self.failure: LedgerError | None = None
        self.applied: list[tuple[Change, ...]] = []
        self._is_open = True

    def load(self) -> LedgerContents:
        """See `mcsd.ports.Ledger`."""
        self._check()
        return self.tables.contents()

    def apply(self, changes: Sequence[Change]) -> None:
        """See `mcsd.ports.Ledger`."""
        if not changes:
            return
        self._check()
        after = self.tables.apply(changes)
        vars(self.tables).update(vars(after))  # in place: others may hold the same tables
        self.applied.append(tuple(changes))

    def close(self) -> None:
        """See `mcsd.ports.Ledger`."""
        self._is_open = False

    def _check(self) -> None:
        if not self._is_open:
            raise LedgerError("the ledger is closed")
        if self.failure is not None:
            raise self.failure
