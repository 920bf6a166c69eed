"""The relabel engine's requests and results, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from mcsd.core.labels import Label
from mcsd.core.volumes import Identity, VolumeId

RawLabel = bytes | None
"""A label as stored, opaque, with or without a trailing NUL; None if there is none."""

_LABELS = 1024
"""Labels of which a walk remembers what the policy says; volumes have a few."""

MayChange = Callable[[RawLabel], bool]
"""Whether mcsd's domain may relabel a file from this label, as far as is known before trying."""


def may_take_off(may_relabel: Callable[[str], bool], label: RawLabel) -> bool:
    """Ask the policy about a stored label; a file without one is `unlabeled_t`, which mcsd may change."""
    return label is None or may_relabel(label.rstrip(b"\0").decode(errors="surrogateescape"))


def asked_once(may_change: MayChange) -> MayChange:
    """Return `may_change` for the length of one walk, in which it is asked once about each label.

    The kernel decides again at each write, so a policy that is loaded meanwhile loses nothing by it.
    """
    return lru_cache(maxsize=_LABELS)(may_change)


def may_always(label: RawLabel) -> bool:
    """Answer without a policy: always True."""
    return True


class SkipReason(StrEnum):
    """Why an inode was left as it is."""

    MULTIPLY_LINKED = "multiply-linked"
    """It has a hard link outside the volume, so it does not belong to this volume alone."""
    DEVICE_NODE = "device-node"
    MOUNT_POINT = "mount-point"
    """Something else is mounted there: not part of this volume."""
    PROTECTED_TYPE = "protected-type"
    """It carries a label that only a stolen link or a mistake brings into a volume, or that mcsd's domain may
    not change (`bin_t` in /opt)."""
    VANISHED = "vanished"
    FOREIGN_LABEL = "foreign-label"
    """Restore: it carries a label that mcsd did not write."""
    DIFFERS = "differs"
    """Verify: it does not carry the target."""
    SWAPPED = "swapped"
    """Its name was replaced again and again while it was examined."""
    READ_ONLY = "read-only"
    NOT_SUPPORTED = "not-supported"
    NO_SPACE = "no-space"
    IO_ERROR = "io-error"
    NOT_PERMITTED = "not-permitted"
    LOOP = "loop"

    @property
    def is_by_rule(self) -> bool:
        """Whether leaving it alone is intended, so that the walk is complete all the same."""
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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a walk has come in `seconds`; `expected` is the last complete walk's count, 0 if unknown.

    `is_queued` while it waits for other large walks: then no progress is expected.
    """

    seen: int
    changed: int
    skipped: int
    seconds: float
    expected: int = 0
    is_queued: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk did.

    `complete` means: when it ended, every inode in scope carried the target (restore: none carried a label
    from mcsd any more), and so did the root. Inodes that a rule excludes are counted in `skipped` and do not
    make it incomplete; errors do. `examples` are a few paths below the root for each reason, with undecodable
    bytes as surrogate escapes. `gone` says that a volume to be restored was deleted with all its content:
    that is complete as well.
    """

    seen: int = 0
    changed: int = 0
    already: int = 0
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    examples: tuple[tuple[SkipReason, str], ...] = ()
    complete: bool = False
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
    """What a file of originals says about its volume: enough to restore it if the ledger is lost.

    `target` is the last one begun, None if none was. `state` is `new`, `labelling`, `complete`,
    `restoring`, `restored` or `damaged`; `created` seconds since the epoch; `count` the
    inodes seen by the last complete walk.
    """

    id: VolumeId
    path: str
    identity: Identity
    created: float
    target: Label | None
    state: str
    count: int = 0


class Cancellation(Protocol):
    """Polled by a walk; `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether the walk should end soon."""
        ...
