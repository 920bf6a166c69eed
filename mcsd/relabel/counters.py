"""Counts what a walk does, with a few examples of what it left alone."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from mcsd.core.walks import Cancellation, Progress, SkipReason, Walk

_EXAMPLES = 5
"""For each reason."""
_REPORT_EVERY = 0.1
"""Seconds between two reports of progress."""

_REASONS = {
    errno.ENOENT: SkipReason.VANISHED,
    errno.ESTALE: SkipReason.VANISHED,
    errno.EXDEV: SkipReason.MOUNT_POINT,
    errno.EROFS: SkipReason.READ_ONLY,
    errno.ENOTSUP: SkipReason.NOT_SUPPORTED,
    errno.ENOSPC: SkipReason.NO_SPACE,
    errno.EDQUOT: SkipReason.NO_SPACE,
    errno.EIO: SkipReason.IO_ERROR,
    errno.EPERM: SkipReason.NOT_PERMITTED,
    errno.EACCES: SkipReason.NOT_PERMITTED,
    errno.ELOOP: SkipReason.LOOP,
    errno.ENOTDIR: SkipReason.SWAPPED,
}


def reason_for(code: int | None) -> SkipReason:
    """Return the reason for an error number; an unknown one counts as an I/O error."""
    return _REASONS.get(code or errno.EIO, SkipReason.IO_ERROR)


@dataclass(slots=True, eq=False)
class Counters:
    """What one walk has done so far; a second pass over the same tree resets the counts."""

    progress: Callable[[Progress], None] | None = None
    cancellation: Cancellation | None = None
    expected: int = 0
    seen: int = 0
    changed: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    examples: list[tuple[SkipReason, str]] = field(default_factory=list)
    is_ended: bool = False
    """Whether there is no point in going on."""
    _began: float = field(default_factory=time.monotonic)
    _reported: float = 0.0

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller wants the walk to end."""
        return self.cancellation is not None and self.cancellation.is_set()

    @property
    def is_over(self) -> bool:
        """Whether the walk should end."""
        return self.is_ended or self.is_cancelled

    @property
    def is_broken(self) -> bool:
        """Whether the walk ended early, or left something alone that it should have labelled."""
        return self.is_over or any(not reason.is_by_rule for reason in self.skipped)

    def start_pass(self) -> None:
        """Reset the counts of what was seen, but not of what was changed."""
        self.seen = 0
        self.skipped.clear()
        self.examples.clear()

    def skip(self, reason: SkipReason, path: Callable[[], str]) -> None:
        """Count an inode that was left alone; `path` is only called while examples are wanted."""
        if self.skipped[reason] < _EXAMPLES:
            self.examples.append((reason, path()))
        self.skipped[reason] += 1

    def take_over(self, reason: SkipReason, count: int, paths: Iterable[str]) -> None:
        """Add counts from elsewhere, with their examples."""
        self.examples += [(reason, path) for path in islice(paths, max(0, _EXAMPLES - self.skipped[reason]))]
        self.skipped[reason] += count

    def report(self, *, is_queued: bool = False) -> None:
        """Report the progress to the caller, at most every `_REPORT_EVERY` seconds."""
        now = time.monotonic()
        if self.progress is None or now - self._reported < _REPORT_EVERY:
            return
        self._reported = now
        self.progress(
            Progress(
                self.seen, self.changed, self.skipped.total(), now - self._began, self.expected, is_queued
            )
        )

    def walk(self, *, complete: bool) -> Walk:
        """Return the result."""
        skipped = {reason: count for reason, count in sorted(self.skipped.items()) if count}
        return Walk(
            seen=self.seen,
            changed=self.changed,
            already=max(0, self.seen - self.changed - sum(skipped.values())),
            skipped=skipped,
            examples=tuple(self.examples),
            complete=complete,
            seconds=time.monotonic() - self._began,
            cancelled=self.is_cancelled and not complete,
        )
