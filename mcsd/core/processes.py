"""Processes as holders of levels: what `/proc/PID/attr/current` and `/proc/PID/cgroup` say, parsed.

What a confined process may read goes by the high end of its range, which is what the kernel's constraints
compare. A range that rises to more categories than any container gets (`s0-s0:c0.c1023`) is how a policy
spells *no limit*; such a process is judged by the low end instead: a daemon that runs at `s0` holds nothing.
One whose low end has that many is an *overlord* (an administrator's shell at `s0:c0.c1023`): it dominates
everybody on purpose, so it is reported and takes nothing from anyone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mcsd.core.interfaces import Network
from mcsd.core.labels import Context, Level, LevelRange
from mcsd.errors import LabelSyntaxError

OVERLORD = 16
"""Categories above which a level is not a container's: a member of seven groups has sixteen."""

_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProcessLevel:
    """A process whose level has categories. `container` is the id that its control group names, or ""."""

    pid: int
    context: str
    level: Level
    container: str = ""


class Stage(StrEnum):
    """Where a container that the engine calls running is in its life, by its first process."""

    STARTING = "starting"
    """The process is the runtime's program still, and has asked to become the container's: until its
    execve(2) it carries the runtime's label, which says nothing about the container."""
    RUNNING = "running"
    ENDING = "ending"
    """The process is gone, and the engine has not said so yet."""


@dataclass(frozen=True, slots=True)
class FirstProcess:
    """What was seen of a container's first process: what it runs as, None where it is gone; and what it has
    asked to run as, None where it has asked for nothing."""

    context: str | None = None
    upcoming: str | None = None

    @property
    def stage(self) -> Stage:
        """Where it is in its life, where the kernel has SELinux."""
        if self.context is None:
            return Stage.ENDING
        return Stage.RUNNING if self.upcoming in {None, self.context} else Stage.STARTING


def is_overlord(level: Level) -> bool:
    """Tell whether a level is an administrator's rather than a container's."""
    return len(level) > OVERLORD


def may_carry(context: str) -> bool:
    """Tell cheaply whether a context may have categories; most processes' have none."""
    return ":c" in context.split(":", 3)[-1]


def held_level(held: LevelRange) -> Level:
    """Return the one level of a process's range that counts; see the module."""
    return held.low if is_overlord(held.high) else held.high


def carrier_of(pid: int, context: str, cgroup: str) -> ProcessLevel | None:
    """Read a process's context and control groups; None where its level has no categories."""
    try:
        level = held_level(Context.parse(context).range)
    except LabelSyntaxError:
        return None
    if not level.categories:
        return None
    found = _CONTAINER.search(cgroup)
    return ProcessLevel(pid, context, level, found[1] if found else "")


@dataclass(frozen=True, slots=True)
class ProcessSight:
    """A container's init process: its context, and whether the policy makes its domain permissive.

    `unbound` says why the policy's categories do not keep it apart, "" where they do. `network` is how it is
    connected, None where nobody has looked. `stage` is where the container is in its life.
    """

    context: str | None = None
    stage: Stage = Stage.RUNNING
    permissive: bool = False
    unbound: str = ""
    network: Network | None = None
