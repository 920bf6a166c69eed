"""Denials as they are told to the daemon while they happen: few, short, each kind once, and counted. Pure.

Whoever follows the audit log is a program of its own (`mcsctl why --follow --tell`); the daemon keeps
the newest of what it is told, and looks at no record itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MOST = 100
"""Denials that the daemon remembers."""
RECENT = 3600.0
"""Seconds for which a denial is worth a line of the status."""


@dataclass(frozen=True, slots=True)
class ToldDenial:
    """One kind of denial.

    `time` is the first one's, in seconds since the epoch; `cause` the first cause's code, `because` its
    sentence, and `hint` what to type or to do about it.
    """

    time: float
    cause: str
    text: str
    container: str = ""
    name: str = ""
    because: str = ""
    hint: str = ""


class Newest:
    """The newest denials that were told of, `MOST` of them."""

    def __init__(self) -> None:
        self._kept: deque[ToldDenial] = deque(maxlen=MOST)

    def add(self, told: ToldDenial) -> None:
        """Keep one, and forget the oldest when there are too many."""
        self._kept.appendleft(told)

    def all(self) -> tuple[ToldDenial, ...]:
        """Return them, the newest first."""
        return tuple(self._kept)
