"""Volumes, claims on them, and which mode a mount asks for.

A volume is a host directory or file; its name is (device, inode), its path only how it was met. A claim
is one grant's hold on a volume. Who may set a mode, strongest first: a configured rule that says
*ignore* or *observe*, the container's own `io.mcsd.volume` label, any other configured rule, the `z`/`Z`
the user gave Docker, the configured default.
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
"""The ledger's name of a volume: random hex digits, never reused."""

GrantId = NewType("GrantId", int)
"""The ledger's name of a grant: rising, never reused."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What a volume is, whatever it is called: the file system's device number and the inode."""

    device: int
    inode: int


def overlap(one: str, other: str) -> bool:
    """Tell whether one path is, or contains, the other: by components."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def of_it(text: str, path: str) -> str:
    """Return what is said of a volume where that one is named already: `it is …`, not `volume '…' is …`."""
    name = f"volume {path!r} "
    return "it " + text.removeprefix(name) if text.startswith(name) else text


class ClaimMode(StrEnum):
    """What a container's hold on a volume means for everybody else."""

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
    """The walk could not start or was broken off; it is tried again."""
    UNMANAGED = "unmanaged"
    """Mode `observe` or `ignore`: mcsd writes nothing. Where it is a protected place, or can have no label of
    its own, mcsd takes it for *ignore* whatever was asked for, and the reason says why."""


CONCEDED = "shared because several containers claim it"
"""The reason of a claim that is `Claim.conceded`, unless something is wrong with it."""


class VolumePhase(StrEnum):
    """What mcsd is doing, or has done, to a volume's labels."""

    LABELLING = "labelling"
    LABELLED = "labelled"
    RESTORING = "restoring"
    STRANDED = "stranded"
    """The originals could not be put back (unmounted, read-only); tried again later."""


class VolumeEvent(StrEnum):
    """What happens to a volume. One whose originals are back is dropped: no phase follows."""

    TARGETED = "targeted"
    """A label for it is in the ledger: somebody claims it, its labels drifted, or it was found on disk."""
    COMPLETED = "completed"
    """A walk has labelled all of it."""
    BROKEN_OFF = "broken-off"
    """A walk ended early, or could not label all of it."""
    RELEASED = "released"
    """No living grant claims it."""
    STUCK = "stuck"
    """A walk could not put all originals back."""


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
"""Every step there is; a pair that is missing here cannot happen and is a bug where it does.

A walk that labels may end after the volume was released (its container was removed in that moment): its end
changes nothing then, and the restoring goes on.
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that mcsd has labelled or is about to.

    `target` is the full context last intended, canonical. `phase` LABELLING or RESTORING with no walk
    running is unfinished work, to be taken up again at start. Times are seconds since the epoch.
    """

    id: VolumeId
    path: str
    identity: Identity
    target: str
    phase: VolumePhase
    since: float
    inodes: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    left_out: tuple[LeftOut, ...] = ()
    """What the last walk left as it is by rule, and the containers that have the volume cannot read."""

    @property
    def level(self) -> Level:
        """The level that the volume is to carry."""
        return Context.parse(self.target).level

    def after(self, event: VolumeEvent) -> Volume:
        """Return the volume one step on; raise `KeyError` for a step that is not in the table."""
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
    """Whether it is SHARED because several containers claimed the volume as private. It is a fact of its own:
    the reason also says what went wrong, and passes."""

    @property
    def key(self) -> tuple[GrantId, str]:
        """What names a claim in the ledger."""
        return self.grant, self.destination
