"""Durations as people write them: in the configuration, and in options of mcsctl."""

from __future__ import annotations

import re

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|)\s*", re.ASCII)


def seconds_in(text: str) -> float | None:
    """Return the seconds in `10min`, `90s`, `1h 30min` or a plain number; None if it is not a duration."""
    parts = _PART.findall(text)
    # A number without a unit means seconds, but only alone: among several numbers it would be ambiguous.
    is_plain = len(parts) == 1 or all(unit for _, unit in parts)
    if not parts or not is_plain or _PART.sub("", text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
