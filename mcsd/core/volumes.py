"""Volumes, claims on them, and which mode a mount asks for.

A volume is a host directory or file. It is identified by (device, inode); its path is only where it was last
seen. A claim is one grant's hold on a volume. Its mode comes from, in order of precedence: a configured rule
with *ignore* or *observe*, the container's `io.mcsd.volume` label, any other configured rule, Docker's `z` or
`Z`, the configured default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NewType

from mcsd.core.labels import Context, Level
from mcsd.core.leftout import LeftOut

VolumeId = NewType("VolumeId", str)
"""The ledger's id of a volume: random hex digits, never reused."""

GrantId = NewType("GrantId", int)
"""The ledger's id of a grant: rising, never reused."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What identifies a volume, whatever its path: the file system's device number and the inode."""

    device: int
    inode: int


def overlap(one: str, other: str) -> bool:
    """Tell whether one path equals or contains the other, by components."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def of_it(text: str, path: str) -> str:
    """Return a sentence with the volume's name replaced by "it": `it is …`, not `volume '…' is …`."""
    name = f"volume {path!r} "
    return "it " + text.removeprefix(name) if text.startswith(name) else text


class ClaimMode(StrEnum):
    """What a claim on a volume means for everybody else."""

    PRIVATE = "private"
    SHARED = "shared"
    GROUP = "group"
    OBSERVE = "observe"
    IGNORE = "ignore"

    @property
    def is_labelled(self) -> bool:
        """Whether mcsd writes labels for such a claim."""
        return self in {ClaimMode.PRIVATE, ClaimMode.SHARED, ClaimMode.GROUP}


class ClaimState(StrEnum):
    """How far a claim has come."""

    PENDING = "pending"
    """The intent is in the ledger; the walk has not finished."""
    READY = "ready"
    """Every inode in scope carried the target when the walk finished."""
    PARTIAL = "partial"
    """The walk finished and something could not be labelled; the reason says what."""
    REFUSED = "refused"
    """A rule or another holder forbids it; nothing was changed."""
    FAILED = "failed"
    """The walk could not start or was interrupted; it is tried again."""
    UNMANAGED = "unmanaged"
    """Mode `observe` or `ignore`: mcsd writes nothing. A protected place, or one that cannot have a label of
    its own, is treated as *ignore* whatever was asked for, and the reason says why."""


CONCEDED = "shared because several containers claim it"
"""The reason of a claim that is `Claim.conceded`, unless something is wrong with it."""


class VolumePhase(StrEnum):
    """What mcsd is doing, or has done, to a volume's labels."""

    LABELLING = "labelling"
    LABELLED = "labelled"
    RESTORING = "restoring"
    STRANDED = "stranded"
    """The originals could not be restored (unmounted, read-only); tried again later."""


class VolumeEvent(StrEnum):
    """What happens to a volume. A restored one is deleted: no phase follows."""

    TARGETED = "targeted"
    """A target is in the ledger: it is claimed, its labels drifted, or it was found on disk."""
    COMPLETED = "completed"
    """A walk has labelled all of it."""
    BROKEN_OFF = "broken-off"
    """A walk ended early, or could not label all of it."""
    RELEASED = "released"
    """No living grant claims it."""
    STUCK = "stuck"
    """A walk could not restore all originals."""


PHASES: dict[tuple[VolumePhase, VolumeEvent], VolumePhase] = {
    (VolumePhase.LABELLING, VolumeEvent.TARGETED): VolumePhase.LABELLING,
    (VolumePhase.LABELLING, VolumeEvent.COMPLETED): VolumePhase.LABELLED,
    (VolumePhase.LABELLING, VolumeEvent.BROKEN_OFF): VolumePhase.LABELLING,
    (VolumePhase.LABELLING, VolumeEvent.RELEASED): VolumePhase.RESTORING,
    (VolumePhase.LABELLED, VolumeEvent.TARGETED): VolumePhase.LABELLING,
    (VolumePhase.LABELLED, VolumeEvent.COMPLETED): VolumePhase.LABELLED,
    (VolumePhase.LABELLED, VolumeEvent.BROKEN_OFF): VolumePhase.LABELLING,
    (VolumePhase.LABELLED, VolumeEvent.RELEASED): VolumePhase.RESTORING,
    (VolumePhase.RESTORING, VolumeEvent.TARGETED): VolumePhase.LABELLING,
    (VolumePhase.RESTORING, VolumeEvent.COMPLETED): VolumePhase.RESTORING,
    (VolumePhase.RESTORING, VolumeEvent.BROKEN_OFF): VolumePhase.RESTORING,
    (VolumePhase.RESTORING, VolumeEvent.RELEASED): VolumePhase.RESTORING,
    (VolumePhase.RESTORING, VolumeEvent.STUCK): VolumePhase.STRANDED,
    (VolumePhase.STRANDED, VolumeEvent.TARGETED): VolumePhase.LABELLING,
    (VolumePhase.STRANDED, VolumeEvent.COMPLETED): VolumePhase.STRANDED,
    (VolumePhase.STRANDED, VolumeEvent.BROKEN_OFF): VolumePhase.STRANDED,
    (VolumePhase.STRANDED, VolumeEvent.RELEASED): VolumePhase.RESTORING,
}
"""All valid steps; any other is a bug.

A labelling walk may end after the volume was released (its container was removed in that moment): then its
end changes nothing, and restoring continues.
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that mcsd has labelled or is about to.

    `target` is the context last intended. `phase` LABELLING or RESTORING with no walk
    running is unfinished work, to be resumed at start. Times are seconds since the epoch.
    """

    id: VolumeId
    path: str
    identity: Identity
    target: Context
    phase: VolumePhase
    since: float
    inodes: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    left_out: tuple[LeftOut, ...] = ()
    """What the last walk left unlabelled by rule, so that containers cannot read it."""

    @property
    def level(self) -> Level:
        """The level that the volume should carry."""
        return self.target.level

    def after(self, event: VolumeEvent) -> Volume:
        """Return the volume in its next phase; raise `KeyError` for a step that is not in the table."""
        return replace(self, phase=PHASES[self.phase, event])


@dataclass(frozen=True, slots=True)
class Claim:
    """A grant's hold on what one mount of its container shows.

    `volume` is None while (or because) nothing was opened: the state is then PENDING, REFUSED, FAILED or
    UNMANAGED. `source` is the host path as the engine names it, `destination` the path inside.
    """

    grant: GrantId
    destination: str
    source: str
    mode: ClaimMode
    state: ClaimState
    volume: VolumeId | None = None
    writable: bool = True
    reason: str = ""
    hint: str = ""
    conceded: bool = False
    """Whether it is SHARED because several containers claimed the volume as private. This is kept separately,
    because the reason may be replaced by a later error."""

    @property
    def key(self) -> tuple[GrantId, str]:
        """The claim's key in the ledger."""
        return self.grant, self.destination
