"""What a walk does with an inode: three treatments, each a decision from what was seen of it.

Nothing here touches the file system; what a decision says is carried out by the loop, records first. The
C loop has the same rules (`_decide.c`) and asks only what a label is (`verdict`) and what a file born in
the volume should carry (`default`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Flag, IntEnum
from typing import Protocol

from mcsd.core.labels import Context
from mcsd.errors import LabelSyntaxError
from mcsd.relabel.originals import Originals, bare
from mcsd.relabel.places import is_left_alone
from mcsd.relabel.values import Label, SkipReason


class Mode(IntEnum):
    """The kinds of walk; numbered as the C loop numbers them."""

    RELABEL = 0
    RESTORE = 1
    VERIFY = 2


class Verdict(Flag):
    """What a label is to a walk; numbered as the C loop numbers them."""

    NOTHING = 0
    OURS = 2
    TARGET = 4
    LEFT_ALONE = 8
    EXCLUSIVE = 16
    """Ours, and with categories: nobody else on the host has files with it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of an inode. `born` is its time of birth in nanoseconds, 0 where that is not kept."""

    inode: int
    mode: int
    born: int
    label: Label
    links: int = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where an inode was met; asked for only when it matters.

    `path` is its host path, `above` the (inode, time of birth) of the directories over it, nearest first.
    """

    path: Callable[[], str]
    above: Callable[[], Iterable[tuple[int, int]]] = tuple


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: record what it carries, write a label (`writes` says whether; None removes it), or skip.

    `is_known` says that the inode itself was recorded earlier, or carries what no other volume's files do:
    then its names prove nothing more.
    """

    records: bool = False
    writes: bool = False
    label: Label = None
    skip: SkipReason | None = None
    is_known: bool = False


NOTHING = Decision()


def is_exclusive(label: Label) -> bool:
    """Tell whether a label has categories: then nobody else on the host has files with it."""
    try:
        return bool(Context.parse(os.fsdecode(bare(label) or b"")).level.categories)
    except LabelSyntaxError:
        return False


class Treatment(Protocol):
    """Decides about one inode after the other."""

    @property
    def mode(self) -> Mode:
        """Which of the three it is."""
        ...

    @property
    def target(self) -> bytes:
        """The label to be written, b"" where there is not one."""
        ...

    @property
    def root_label(self) -> Label:
        """What a file born in the volume falls back on in the end."""
        ...

    def verdict(self, label: Label) -> Verdict:
        """Say what a label is."""
        ...

    def default(self, path: str, mode: int, fallback: Label) -> Label:
        """Give what a file born in the volume carries when it is given back."""
        ...

    def decide(self, sight: Sight, around: Surroundings) -> Decision:
        """Say what to do with an inode."""
        ...


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Everything gets the target; what it had is recorded first."""

    originals: Originals
    target: bytes
    mode: Mode = field(default=Mode.RELABEL, init=False)
    root_label: Label = field(default=None, init=False)

    def verdict(self, label: Label) -> Verdict:
        """See `Treatment`."""
        verdict = Verdict.OURS if self.originals.is_ours(label) else Verdict.NOTHING
        if bare(label) == bare(self.target):
            verdict |= Verdict.TARGET
        return verdict | Verdict.LEFT_ALONE if is_left_alone(label) else verdict

    def default(self, path: str, mode: int, fallback: Label) -> Label:
        """See `Treatment`; never asked for."""
        return fallback

    def decide(self, sight: Sight, around: Surroundings) -> Decision:
        """See `Treatment`."""
        verdict = self.verdict(sight.label)
        is_ours = Verdict.OURS in verdict
        if not is_ours and Verdict.LEFT_ALONE in verdict:
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        origin = self.originals.origin_of(sight.inode, sight.born)
        if is_ours:
            records = origin is None and not self._was_born_here(sight)
        else:
            records = origin is None or origin.label != sight.label
        return Decision(records=records, writes=Verdict.TARGET not in verdict, label=self.target)

    def _was_born_here(self, sight: Sight) -> bool:
        return self.originals.swept or sight.born >= self.originals.created > 0


@dataclass(frozen=True, slots=True)
class Restoring:
    """What carries a label of ours gets its original back, or what the host's policy says.

    `root_label` is the last thing to fall back on: what the root carries when it has been given back.
    """

    originals: Originals
    default_label: Callable[[str, int], str | None]
    root_label: Label = None
    target: bytes = field(default=b"", init=False)
    mode: Mode = field(default=Mode.RESTORE, init=False)

    def verdict(self, label: Label) -> Verdict:
        """See `Treatment`."""
        if not self.originals.is_ours(label):
            return Verdict.NOTHING
        return Verdict.OURS | Verdict.EXCLUSIVE if is_exclusive(label) else Verdict.OURS

    def default(self, path: str, mode: int, fallback: Label) -> Label:
        """See `Treatment`."""
        label = self.default_label(path, mode)
        return fallback if label is None else os.fsencode(label).rstrip(b"\0") + b"\0"

    def decide(self, sight: Sight, around: Surroundings) -> Decision:
        """See `Treatment`."""
        origin = self.originals.origin_of(sight.inode, sight.born)
        if not self.originals.is_ours(sight.label):
            if origin is not None and origin.label != sight.label:
                return Decision(skip=SkipReason.FOREIGN_LABEL)
            return NOTHING
        if origin is not None:
            return Decision(writes=origin.label != sight.label, label=origin.label, is_known=True)
        label = self.default(around.path(), sight.mode, self._fallback(around))
        is_known = Verdict.EXCLUSIVE in self.verdict(sight.label)
        return Decision(writes=label != sight.label, label=label, is_known=is_known)

    def _fallback(self, around: Surroundings) -> Label:
        origins = (self.originals.origin_of(inode, born) for inode, born in around.above())
        return next((origin.label for origin in origins if origin is not None), self.root_label)


@dataclass(frozen=True, slots=True)
class Verifying:
    """Whatever does not carry the target is counted."""

    target: bytes
    mode: Mode = field(default=Mode.VERIFY, init=False)
    root_label: Label = field(default=None, init=False)

    def verdict(self, label: Label) -> Verdict:
        """See `Treatment`."""
        if bare(label) == bare(self.target):
            return Verdict.TARGET
        return Verdict.LEFT_ALONE if is_left_alone(label) else Verdict.NOTHING

    def default(self, path: str, mode: int, fallback: Label) -> Label:
        """See `Treatment`; never asked for."""
        return fallback

    def decide(self, sight: Sight, around: Surroundings) -> Decision:
        """See `Treatment`."""
        verdict = self.verdict(sight.label)
        if Verdict.TARGET in verdict:
            return NOTHING
        if Verdict.LEFT_ALONE in verdict:
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        if sight.links > 1 and not stat.S_ISDIR(sight.mode):
            return Decision(skip=SkipReason.MULTIPLY_LINKED)
        return Decision(skip=SkipReason.DIFFERS)
