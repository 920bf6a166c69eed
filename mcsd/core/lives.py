"""Lives: what something lasts as long as that is no container — a process, a unit of systemd, or until a
time.

A life is identified so that nothing else is ever mistaken for it. A process has its pid, the moment it was
started and the kernel's id of the boot, since pids are used again and start anew with each boot. A unit has
its invocation: systemd gives each start of a unit another id. A time is wall-clock time.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from mcsd.core.durations import seconds_in

LARGEST_PID = 2**22
"""PID_MAX_LIMIT of 64-bit kernels."""

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,247}\.(?:service|scope)", re.ASCII)
_UNITS = (
    *(".service", ".scope", ".socket", ".target", ".device", ".mount"),
    *(".automount", ".swap", ".timer", ".path", ".slice"),
)


class LifeKind(StrEnum):
    """Kinds of lives; part of the API."""

    PROCESS = "process"
    UNIT = "unit"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class ProcessLife:
    """As long as a process runs. `start` is in clock ticks since the boot with the id `boot`."""

    pid: int
    start: int
    boot: str

    @property
    def kind(self) -> LifeKind:
        """The kind."""
        return LifeKind.PROCESS

    @property
    def text(self) -> str:
        """The life, described."""
        return f"while process {self.pid} runs"

    @property
    def end(self) -> str:
        """Its end, described."""
        return f"process {self.pid} has ended"


@dataclass(frozen=True, slots=True)
class UnitLife:
    """As long as one start of a unit lasts: until it is inactive or failed."""

    unit: str
    invocation: str

    @property
    def kind(self) -> LifeKind:
        """The kind."""
        return LifeKind.UNIT

    @property
    def text(self) -> str:
        """The life, described."""
        return f"while {self.unit} is active"

    @property
    def end(self) -> str:
        """Its end, described."""
        return f"{self.unit} is not active any more"


@dataclass(frozen=True, slots=True)
class TimeLife:
    """Until a time, in seconds since the epoch."""

    until: float

    @property
    def kind(self) -> LifeKind:
        """The kind."""
        return LifeKind.TIME

    @property
    def text(self) -> str:
        """The life, described."""
        return f"until {self._moment}"

    @property
    def end(self) -> str:
        """Its end, described."""
        return f"{self._moment} is past"

    @property
    def _moment(self) -> str:
        return datetime.fromtimestamp(int(self.until), UTC).isoformat().replace("+00:00", "Z")


Life = ProcessLife | UnitLife | TimeLife


@dataclass(frozen=True, slots=True)
class LifeRequest:
    """What was asked for; at most one of the three."""

    pid: int | None = None
    unit: str = ""
    until: str = ""


NO_LIFE = LifeRequest()
"""Nothing was asked for: as long as nobody ends it."""


def unit_name(text: str) -> str | None:
    """Return a unit's full name, as systemctl takes it: without a suffix it is a service.

    None if it is no name of a service or scope, of which alone systemd tells the invocation.
    """
    name = text if text.endswith(_UNITS) else text + ".service"
    return name if _UNIT.fullmatch(name) else None


def moment_of(text: str, now: float) -> float | None:
    """Return what an RFC 3339 time with an offset, or a duration from now, means; None for anything else."""
    seconds = seconds_in(text)
    if seconds is not None:
        return _finite(now + seconds)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else _finite(moment.timestamp())


def _finite(seconds: float) -> float | None:
    """Return a time that can be written again, None for one beyond all calendars."""
    try:
        datetime.fromtimestamp(math.ceil(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return seconds
