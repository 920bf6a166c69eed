"""What the engine is asked and what it answers, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from mcsd.core.volumes import Identity, VolumeId

Label = bytes | None
"""A label as it is stored, opaque, with or without a NUL at its end; None where there is none at all."""


class SkipReason(StrEnum):
    """Why an inode was left as it is."""

    MULTIPLY_LINKED = "multiply-linked"
    """It has a name outside the volume, so it is not this volume's alone."""
    DEVICE_NODE = "device-node"
    MOUNT_POINT = "mount-point"
    """Something else is mounted there: another volume, not this one's content."""
    PROTECTED_TYPE = "protected-type"
    """It carries a label that only a stolen link or a mistake brings into a volume."""
    VANISHED = "vanished"
    FOREIGN_LABEL = "foreign-label"
    """Restore: it carries a label that mcsd did not write."""
    DIFFERS = "differs"
    """Verify: it does not carry the target."""
    SWAPPED = "swapped"
    """Its name kept changing hands while it was looked at."""
    READ_ONLY = "read-only"
    NOT_SUPPORTED = "not-supported"
    NO_SPACE = "no-space"
    IO_ERROR = "io-error"
    NOT_PERMITTED = "not-permitted"
    LOOP = "loop"

    @property
    def is_by_rule(self) -> bool:
        """Whether leaving it alone is what should happen: then the walk is complete all the same."""
        return self in _BY_RULE


_BY_RULE = frozenset(
    {
        SkipReason.MULTIPLY_LINKED,
        SkipReason.DEVICE_NODE,
        SkipReason.MOUNT_POINT,
        SkipReason.PROTECTED_TYPE,
        SkipReason.VANISHED,
        SkipReason.FOREIGN_LABEL,
    }
)

Depth = Literal["known", "check", "change"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a walk has come in `seconds`; `expected` is the last complete walk's count, 0 if unknown."""

    seen: int
    changed: int
    skipped: int
    seconds: float
    expected: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk did.

    `complete` means: when it ended, every inode in scope carried the target (restore: none carried a label
    of mcsd's any more), and so did the root. Inodes that a rule keeps out of scope are counted in `skipped`
    and do not make it incomplete; errors do. `examples` are a few paths below the root for each reason, with
    undecodable bytes as surrogate escapes. `level` is how much was done: "known" looked at the root alone,
    "check" read and found nothing to change, "change" wrote. `gone` says that a volume to be restored was
    removed for good, with all that was in it: that is complete as well.
    """

    seen: int = 0
    changed: int = 0
    already: int = 0
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    examples: tuple[tuple[SkipReason, str], ...] = ()
    complete: bool = False
    level: Depth = "check"
    seconds: float = 0.0
    cancelled: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """A volume's root as it was opened: `path` has no symbolic links in it."""

    path: str
    identity: Identity
    is_directory: bool
    label: str | None
    file_system: str
    mount_id: int
    writable: bool


@dataclass(frozen=True, slots=True)
class StoredVolume:
    """What a file of originals says of its volume: enough to undo it when the ledger is lost.

    `target` is the last one begun, "" if none was. `state` is `new`, `labelling`, `complete`,
    `restoring`, `restored` or `damaged`; `created` seconds since the epoch; `count` the
    inodes seen by the last complete walk.
    """

    id: VolumeId
    path: str
    identity: Identity
    created: float
    target: str
    state: str
    count: int = 0


class Cancellation(Protocol):
    """Asked now and then by a walk; `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether the walk should end soon."""
        ...
