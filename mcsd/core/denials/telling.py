"""Denials as they are sent to the daemon while they happen: few, short, each kind once. Pure.

A program of its own follows the audit log (`mcsctl why --follow --tell`). The daemon keeps the newest denials
that it was sent, and reads no records itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MOST = 100
"""Denials that the daemon remembers."""
RECENT = 3600.0
"""Seconds for which the status shows a denial."""


@dataclass(frozen=True, slots=True)
class ToldDenial:
    """One kind of denial.

    `time` is the first one's, in seconds since the epoch; `cause` the first cause's code, `because` its
    sentence, and `hint` the command or advice for it.
    """

    time: float
    cause: str
    text: str
    container: str = ""
    name: str = ""
    because: str = ""
    hint: str = ""


class Newest:
    """The newest denials that were sent, up to `MOST`."""

    def __init__(self) -> None:
        self._kept: deque[ToldDenial] = deque(maxlen=MOST)

    def add(self, told: ToldDenial) -> None:
        """Keep one, and forget the oldest when there are too many."""
        self._kept.appendleft(told)

    def all(self) -> tuple[ToldDenial, ...]:
        """Return them, the newest first."""
        return tuple(self._kept)
