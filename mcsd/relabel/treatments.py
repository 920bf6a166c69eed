"""What a walk does with an inode: three treatments, each a decision from what was seen of it.

Nothing here touches the file system; what a decision says is carried out by the pass, records first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mcsd.relabel.originals import Originals, bare
from mcsd.relabel.places import is_left_alone
from mcsd.relabel.values import Label, SkipReason


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of an inode. `born` is its time of birth in nanoseconds, 0 where that is not kept."""

    inode: int
    mode: int
    born: int
    label: Label
    links: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: record what it carries, write a label (`writes` says whether; None removes it), or skip.

    `is_known` says that the inode itself was recorded earlier, so its names prove nothing more.
    """

    records: bool = False
    writes: bool = False
    label: Label = None
    skip: SkipReason | None = None
    is_known: bool = False


NOTHING = Decision()


class Treatment(Protocol):
    """Decides about one inode after the other."""

    def decide(self, sight: Sight, path: Callable[[], str], parent: Label) -> Decision:
        """Say what to do; `parent` is what the inode's directory will carry, `path` its host path."""
        ...


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Everything gets the target; what it had is recorded first."""

    originals: Originals
    target: bytes

    def decide(self, sight: Sight, path: Callable[[], str], parent: Label) -> Decision:
        """See `Treatment`."""
        originals = self.originals
        is_ours = originals.is_ours(sight.label)
        if not is_ours and is_left_alone(sight.label):
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        origin = originals.origin_of(sight.inode, sight.born)
        if is_ours:
            records = origin is None and not self._was_born_here(sight)
        else:
            records = origin is None or origin.label != sight.label
        writes = bare(sight.label) != bare(self.target)
        return Decision(records=records, writes=writes, label=self.target)

    def _was_born_here(self, sight: Sight) -> bool:
        return self.originals.swept or sight.born >= self.originals.created > 0


@dataclass(frozen=True, slots=True)
class Restoring:
    """What carries a label of ours gets its original back, or what the host's policy says."""

    originals: Originals
    default_label: Callable[[str, int], str | None]

    def decide(self, sight: Sight, path: Callable[[], str], parent: Label) -> Decision:
        """See `Treatment`."""
        origin = self.originals.origin_of(sight.inode, sight.born)
        if not self.originals.is_ours(sight.label):
            if origin is not None and origin.label != sight.label:
                return Decision(skip=SkipReason.FOREIGN_LABEL)
            return NOTHING
        if origin is not None:
            return Decision(writes=origin.label != sight.label, label=origin.label, is_known=True)
        default = self.default_label(path(), sight.mode)
        label = parent if default is None else os.fsencode(default).rstrip(b"\0") + b"\0"
        return Decision(writes=label != sight.label, label=label)


@dataclass(frozen=True, slots=True)
class Verifying:
    """Whatever does not carry the target is counted."""

    target: bytes

    def decide(self, sight: Sight, path: Callable[[], str], parent: Label) -> Decision:
        """See `Treatment`."""
        if bare(sight.label) == bare(self.target):
            return NOTHING
        if is_left_alone(sight.label):
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        if sight.links > 1 and not stat.S_ISDIR(sight.mode):
            return Decision(skip=SkipReason.MULTIPLY_LINKED)
        return Decision(skip=SkipReason.DIFFERS)
