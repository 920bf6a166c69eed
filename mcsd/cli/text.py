"""Text for a terminal: escaping, times, numbers, colours."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from mcsd.core.notices import printable

WIDE = 120
"""Columns from which sentences are shown in tables."""
UNLIMITED = 4096
"""Columns of a file or a pipe, where lines are not wrapped."""

_CODES = {"good": "32", "busy": "36", "warning": "33", "bad": "1;31", "strong": "1", "faint": "2"}


@dataclass(frozen=True, slots=True)
class Screen:
    """Where to print: `columns` wide, in colour or not; `now` is in seconds since the epoch."""

    out: TextIO
    columns: int
    is_coloured: bool
    now: float

    @classmethod
    def of(cls, out: TextIO, environment: Mapping[str, str], now: float) -> Screen:
        """Return the screen for an output."""
        is_terminal = out.isatty()
        given = environment.get("COLUMNS", "")
        if is_terminal:
            columns = shutil.get_terminal_size((80, 24)).columns
        else:
            columns = int(given) if given.isdecimal() and int(given) else UNLIMITED
        plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
        return cls(out, columns, is_terminal and not plain, now)

    @property
    def is_wide(self) -> bool:
        """Whether sentences fit into tables."""
        return self.columns >= WIDE

    def paint(self, text: str, style: str) -> str:
        """Add colour to a text."""
        code = _CODES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.is_coloured and text else text

    def line(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out)

    def progress(self, text: str) -> None:
        """Show progress in place, on a terminal; "" removes it."""
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{printable(text)[: self.columns - 1]}")
            self.out.flush()

    def paragraph(self, text: str, *, first: str, rest: str, style: str = "", painted: str = "") -> None:
        """Print a text after `first`, and wrapped lines after `rest`.

        `painted` is `first` with colours.
        """
        lines = textwrap.wrap(
            printable(text),
            max(len(rest) + 20, self.columns),
            initial_indent=first,
            subsequent_indent=rest,
            break_on_hyphens=False,
            drop_whitespace=True,
        ) or [first]
        for number, part in enumerate(lines):
            begin = rest if number else first
            shown = rest if number else painted or first
            self.line(shown + self.paint(part.removeprefix(begin), style))


def since(moment: str | None, now: float) -> str:
    """Return how long ago a time from the API was: `42 s`, `7 min`, `5 h`, `3 days`; "-" for none."""
    if not moment:
        return "-"
    return duration(now - datetime.fromisoformat(moment).timestamp())


def duration(seconds: float) -> str:
    """Return a duration in one unit, rounded down."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"


def clock(moment: str | float) -> str:
    """Return a time from the API, or seconds since the epoch, in local time."""
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def number(value: object) -> str:
    """Return a count with separators; "-" for none."""
    return f"{value:,}" if isinstance(value, int) and value else "-"


def bar(done: int, expected: int, *, width: int = 20) -> str:
    """Return a progress bar; a walk may find more than expected."""
    share = min(1.0, done / expected) if expected > 0 else 0.0
    full = int(share * width)
    return f"[{'#' * full}{'.' * (width - full)}] {int(share * 100):3d} %"


def names(values: Sequence[object]) -> str:
    """Join names that are safe to print; "-" for none."""
    return ", ".join(printable(value) for value in values) or "-"
