"""What a walk does with an inode: one strategy for each kind of walk, which decides from the inode's facts.

Nothing here accesses the file system; the loop carries out the decisions, records first. The C loop has the
same rules (`_decide.c`) and only asks for the verdict on a label (`verdict`) and for the label of a file
created in the volume (`default`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Flag, IntEnum
from typing import Protocol

from mcsd.core.labels import Context
from mcsd.core.protected import is_left_alone
from mcsd.core.walks import MayChange, RawLabel, SkipReason, may_always
from mcsd.errors import LabelSyntaxError
from mcsd.relabel.originals import Originals, bare


class WalkMode(IntEnum):
    """The kinds of walk; the numbers are those of the C loop."""

    RELABEL = 0
    RESTORE = 1
    VERIFY = 2


class LabelVerdict(Flag):
    """What a label means for a walk; the numbers are those of the C loop."""

    NOTHING = 0
    OURS = 2
    TARGET = 4
    LEFT_ALONE = 8
    EXCLUSIVE = 16
    """Ours, with categories: nobody else on the host has files with it."""


@dataclass(frozen=True, slots=True)
class InodeSight:
    """The facts of an inode. `born` is its time of birth in nanoseconds, 0 if the file system has none."""

    inode: int
    mode: int
    born: int
    label: RawLabel
    links: int = 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where an inode was found; only determined if it matters.

    `path` is its host path, `above` the (inode, time of birth) of the directories above it, nearest first.
    """

    path: Callable[[], str]
    above: Callable[[], Iterable[tuple[int, int]]] = tuple


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: record its label, write a label (`writes` says whether; None removes it), or skip.

    `is_known` says that the inode itself was recorded earlier, or carries a label that no other volume's
    files have: then its links need not be checked.
    """

    records: bool = False
    writes: bool = False
    label: RawLabel = None
    skip: SkipReason | None = None
    is_known: bool = False


NOTHING = Decision()


def is_exclusive(label: RawLabel) -> bool:
    """Tell whether a label has categories: then nobody else on the host has files with it."""
    try:
        return bool(Context.parse(os.fsdecode(bare(label) or b"")).level.categories)
    except LabelSyntaxError:
        return False


class WalkStrategy(Protocol):
    """Decides about each inode."""

    @property
    def mode(self) -> WalkMode:
        """The kind of walk."""
        ...

    @property
    def target(self) -> bytes:
        """The label to be written, b"" if there is none."""
        ...

    @property
    def root_label(self) -> RawLabel:
        """The last fallback for a file that was created in the volume."""
        ...

    def verdict(self, label: RawLabel) -> LabelVerdict:
        """Return what a label means for this walk."""
        ...

    def default(self, path: str, mode: int, fallback: RawLabel) -> RawLabel:
        """Return the label that a file created in the volume gets when it is restored."""
        ...

    def decide(self, sight: InodeSight, around: Surroundings) -> Decision:
        """Decide about one inode."""
        ...


@dataclass(frozen=True, slots=True)
class Relabelling:
    """Everything gets the target; the original is recorded first."""

    originals: Originals
    target: bytes
    may_change: MayChange = may_always
    mode: WalkMode = field(default=WalkMode.RELABEL, init=False)
    root_label: RawLabel = field(default=None, init=False)

    def verdict(self, label: RawLabel) -> LabelVerdict:
        """See `WalkStrategy`.

        A label that differs from the target only in the level may come from a container engine (`-v …:z`,
        `:Z`) or from mcsd itself: it does not replace a recorded original.
        """
        is_ours = self.originals.is_ours(label) or self._is_an_engines(label)
        verdict = LabelVerdict.OURS if is_ours else LabelVerdict.NOTHING
        if bare(label) == bare(self.target):
            verdict |= LabelVerdict.TARGET
        keeps = is_left_alone(label) or not self.may_change(label)
        return verdict | LabelVerdict.LEFT_ALONE if keeps else verdict

    def default(self, path: str, mode: int, fallback: RawLabel) -> RawLabel:
        """See `WalkStrategy`; never asked for."""
        return fallback

    def decide(self, sight: InodeSight, around: Surroundings) -> Decision:
        """See `WalkStrategy`."""
        verdict = self.verdict(sight.label)
        is_ours = LabelVerdict.OURS in verdict
        if not is_ours and LabelVerdict.LEFT_ALONE in verdict:
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        origin = self.originals.origin_of(sight.inode, sight.born)
        if is_ours:
            records = origin is None and not self._was_born_here(sight)
        else:
            records = origin is None or origin.label != sight.label
        return Decision(records=records, writes=LabelVerdict.TARGET not in verdict, label=self.target)

    def _is_an_engines(self, label: RawLabel) -> bool:
        return label is not None and label.split(b":", 3)[:3] == self.target.split(b":", 3)[:3]

    def _was_born_here(self, sight: InodeSight) -> bool:
        return self.originals.swept or sight.born >= self.originals.created > 0


@dataclass(frozen=True, slots=True)
class Restoring:
    """A file with a label of ours gets its original, or the label from the host's policy.

    `root_label` is the last fallback: the label of the restored root.
    """

    originals: Originals
    default_label: Callable[[str, int], str | None]
    root_label: RawLabel = None
    target: bytes = field(default=b"", init=False)
    mode: WalkMode = field(default=WalkMode.RESTORE, init=False)

    def verdict(self, label: RawLabel) -> LabelVerdict:
        """See `WalkStrategy`."""
        if not self.originals.is_ours(label):
            return LabelVerdict.NOTHING
        return LabelVerdict.OURS | LabelVerdict.EXCLUSIVE if is_exclusive(label) else LabelVerdict.OURS

    def default(self, path: str, mode: int, fallback: RawLabel) -> RawLabel:
        """See `WalkStrategy`."""
        label = self.default_label(path, mode)
        return fallback if label is None else os.fsencode(label).rstrip(b"\0") + b"\0"

    def decide(self, sight: InodeSight, around: Surroundings) -> Decision:
        """See `WalkStrategy`."""
        origin = self.originals.origin_of(sight.inode, sight.born)
        if not self.originals.is_ours(sight.label):
            if origin is not None and origin.label != sight.label:
                return Decision(skip=SkipReason.FOREIGN_LABEL)
            return NOTHING
        if origin is not None:
            return Decision(writes=origin.label != sight.label, label=origin.label, is_known=True)
        label = self.default(around.path(), sight.mode, self._fallback(around))
        is_known = LabelVerdict.EXCLUSIVE in self.verdict(sight.label)
        return Decision(writes=label != sight.label, label=label, is_known=is_known)

    def _fallback(self, around: Surroundings) -> RawLabel:
        origins = (self.originals.origin_of(inode, born) for inode, born in around.above())
        return next((origin.label for origin in origins if origin is not None), self.root_label)


@dataclass(frozen=True, slots=True)
class Searching:
    """Counts files with a label as mcsd writes them (`SkipReason.DIFFERS`).

    That is `target`, or a label that only differs from it in the level and has categories: nobody else on the
    host has files with it. A target without categories proves nothing unless the volume was once complete
    (`was_complete`): an engine writes the same label (`-v …:z`), and it is nobody's level.
    """

    target: bytes
    was_complete: bool = True
    mode: WalkMode = field(default=WalkMode.VERIFY, init=False)
    root_label: RawLabel = field(default=None, init=False)

    def verdict(self, label: RawLabel) -> LabelVerdict:
        """See `WalkStrategy`."""
        return LabelVerdict.NOTHING if self._is_like_ours(label) else LabelVerdict.TARGET

    def _is_like_ours(self, label: RawLabel) -> bool:
        if bare(label) == bare(self.target) and self.was_complete:
            return True
        if label is None or not is_exclusive(label):
            return False
        return label.split(b":")[:3] == self.target.split(b":")[:3]

    def default(self, path: str, mode: int, fallback: RawLabel) -> RawLabel:
        """See `WalkStrategy`; never asked for."""
        return fallback

    def decide(self, sight: InodeSight, around: Surroundings) -> Decision:
        """See `WalkStrategy`."""
        return (
            NOTHING if LabelVerdict.TARGET in self.verdict(sight.label) else Decision(skip=SkipReason.DIFFERS)
        )


@dataclass(frozen=True, slots=True)
class Verifying:
    """Counts files that do not carry the target."""

    target: bytes
    may_change: MayChange = may_always
    mode: WalkMode = field(default=WalkMode.VERIFY, init=False)
    root_label: RawLabel = field(default=None, init=False)

    def verdict(self, label: RawLabel) -> LabelVerdict:
        """See `WalkStrategy`."""
        if bare(label) == bare(self.target):
            return LabelVerdict.TARGET
        keeps = is_left_alone(label) or not self.may_change(label)
        return LabelVerdict.LEFT_ALONE if keeps else LabelVerdict.NOTHING

    def default(self, path: str, mode: int, fallback: RawLabel) -> RawLabel:
        """See `WalkStrategy`; never asked for."""
        return fallback

    def decide(self, sight: InodeSight, around: Surroundings) -> Decision:
        """See `WalkStrategy`."""
        verdict = self.verdict(sight.label)
        if LabelVerdict.TARGET in verdict:
            return NOTHING
        if LabelVerdict.LEFT_ALONE in verdict:
            return Decision(skip=SkipReason.PROTECTED_TYPE)
        if sight.links > 1 and not stat.S_ISDIR(sight.mode):
            return Decision(skip=SkipReason.MULTIPLY_LINKED)
        return Decision(skip=SkipReason.DIFFERS)
