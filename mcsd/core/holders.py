"""Who holds levels and why, and how many pairs that takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HolderKind(StrEnum):
    """Why a level is taken. In this order: a pair blocked for several reasons counts under the first."""

    CONFIGURED = "configured"
    """`[categories] reserved`."""
    GROUP = "group"
    """The group's own pair, members or none."""
    GRANT = "grant"
    RESERVATION = "reservation"
    QUARANTINE = "quarantine"
    """Its container is gone; something may still carry it."""
    PROCESS = "process"
    """Something runs at it that mcsd has not granted it to."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a level, for explanations. Two holders may have the same kind and name."""

    kind: HolderKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pairs of the run are in which state; the others add up to `total`."""

    total: int
    free: int
    granted: int
    reserved: int
    grouped: int
    quarantined: int
    foreign: int
    """Blocked by processes that run at such a level, and by nothing else."""
    configured: int

    def __str__(self) -> str:
        return (
            f"of {self.total} pairs {self.granted} are granted, {self.reserved} reserved, "
            f"{self.grouped} of groups, {self.quarantined} in quarantine, {self.foreign} carried by other "
            f"processes, {self.configured} set aside by the configuration, {self.free} free"
        )

    @property
    def way_out(self) -> str:
        """What to do when none is left, by what would help soonest."""
        if self.quarantined:
            return "mcsctl volumes shows what keeps levels in quarantine, and mcsctl restore PATH cleans it"
        if self.reserved:
            return "give up reservations with mcsctl release, or widen [categories] range"
        return "widen [categories] range, or remove containers"
