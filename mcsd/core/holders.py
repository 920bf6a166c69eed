"""Who holds levels and why, and how many pairs that uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HolderKind(StrEnum):
    """Why a level is taken. A pair blocked for several reasons counts under the first of this order."""

    CONFIGURED = "configured"
    """`[categories] reserved`."""
    GROUP = "group"
    """The group's own pair, members or none."""
    GRANT = "grant"
    RESERVATION = "reservation"
    QUARANTINE = "quarantine"
    """Its container is gone; a file or process may still carry it."""
    PROCESS = "process"
    """A process runs at it to which mcsd has not granted it."""
    FLEET = "fleet"
    """It is another host's, or nobody's that this host knows of."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a level, for explanations. Two holders may have the same kind and name."""

    kind: HolderKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pairs of the run are in which state; the other numbers add up to `total`."""

    total: int
    free: int
    granted: int
    reserved: int
    grouped: int
    quarantined: int
    foreign: int
    """Blocked only by processes that run at a comparable level."""
    configured: int
    elsewhere: int = 0
    """Not this host's: with a fleet, all pairs outside the blocks that it may grant from."""

    def __str__(self) -> str:
        return (
            f"of {self.total} pairs {self.granted} are granted, {self.reserved} reserved, "
            f"{self.grouped} of groups, {self.quarantined} in quarantine, {self.foreign} carried by other "
            f"processes, {self.configured} set aside by the configuration, {self.free} free"
        ) + (f", {self.elsewhere} not this host's" if self.elsewhere else "")

    @property
    def way_out(self) -> str:
        """What to do if no pair is left, the quickest remedy first."""
        if self.elsewhere and not self.free:
            return "mcsctl fleet status says why this host gets no more pairs of its fleet's"
        if self.quarantined:
            return "mcsctl volumes shows what keeps levels in quarantine, and mcsctl restore PATH cleans it"
        if self.reserved:
            return "give up reservations with mcsctl release, or widen [categories] range"
        return "widen [categories] range, or remove containers"
