"""Processes as holders of levels: what `/proc/PID/attr/current` and `/proc/PID/cgroup` say, parsed.

A process is judged by the low end of its range: a daemon that may rise to `s0-s0:c0.c1023` runs at `s0`. One
whose low level has more categories than any container gets is an *overlord* (an administrator's shell at
`s0:c0.c1023`): it dominates everybody on purpose, so it is reported and takes nothing from anyone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mcsd.core.labels import Context, Level
from mcsd.errors import LabelSyntaxError

OVERLORD = 16
"""Categories above which a level is not a container's: a member of seven groups has sixteen."""

_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A process whose level has categories. `container` is the id that its control group names, or ""."""

    pid: int
    context: str
    level: Level
    container: str = ""


def is_overlord(level: Level) -> bool:
    """Tell whether a level is an administrator's rather than a container's."""
    return len(level) > OVERLORD


def carrier_of(pid: int, context: str, cgroup: str) -> Carrier | None:
    """Read a process's context and control groups; None where its level has no categories."""
    try:
        level = Context.parse(context).level
    except LabelSyntaxError:
        return None
    if not level.categories:
        return None
    found = _CONTAINER.search(cgroup)
    return Carrier(pid, context, level, found[1] if found else "")
