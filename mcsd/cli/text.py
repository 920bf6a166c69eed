"""Text on a terminal: what may be printed, how long ago, how much, in which colour."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from mcsd.core.notices import printable

WIDE = 120
"""Columns from which a sentence fits into a table."""
UNLIMITED = 4096
"""Columns where nobody looks: into a file or a pipe, lines are as long as they are."""

_CODES = {"good": "32", "busy": "36", "warning": "33", "bad": "1;31", "strong": "1", "faint": "2"}


@dataclass(frozen=True, slots=True)
class Screen:
    """Where to print: `columns` wide, in colour or not, at a moment (seconds since the epoch)."""

    out: TextIO
    columns: int
    is_coloured: bool
    now: float

    @classmethod
    def of(cls, out: TextIO, environment: Mapping[str, str], now: float) -> Screen:
        """Look at where the output goes."""
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
        """Colour a text that is to be printed as it is."""
        code = _CODES.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.is_coloured and text else text

    def line(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out)

    def progress(self, text: str) -> None:
        """Show what goes on, in place, where somebody is watching; "" takes it away."""
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{printable(text)[: self.columns - 1]}")
            self.out.flush()

    def paragraph(self, text: str, *, first: str, rest: str, style: str = "", painted: str = "") -> None:
        """Print a text of any length after a beginning, and the lines it takes after an indentation.

        `painted` stands in for `first` on the screen: the same to the eye, with colours in it.
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
    """Say how long ago a moment of the API was: `42 s`, `7 min`, `5 h`, `3 days`; "-" for none."""
    if not moment:
        return "-"
    return duration(now - datetime.fromisoformat(moment).timestamp())


def duration(seconds: float) -> str:
    """Say how long: one unit, rounded down."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86400:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"


def clock(moment: str | float) -> str:
    """Return a moment of the API, or seconds since the epoch, in local time."""
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def number(value: object) -> str:
    """Write a count with separators; "-" for none."""
    return f"{value:,}" if isinstance(value, int) and value else "-"


def bar(done: int, expected: int, *, width: int = 20) -> str:
    """Draw how far something is; a walk may meet more than it expected."""
    share = min(1.0, done / expected) if expected > 0 else 0.0
    full = int(share * width)
    return f"[{'#' * full}{'.' * (width - full)}] {int(share * 100):3d} %"


def names(values: Sequence[object]) -> str:
    """Join names that are safe to print; "-" for none."""
    return ", ".join(printable(value) for value in values) or "-"
