"""Processes as holders of levels: what `/proc/PID/attr/current` and `/proc/PID/cgroup` say, parsed.

What a confined process may read depends on the high end of its range, which the kernel's constraints compare.
A range up to more categories than any container gets (`s0-s0:c0.c1023`) means *no limit*; such a process is
judged by the low end instead: a daemon that runs at `s0` holds nothing. If the low end has that many, it is
an *overlord* (an administrator's shell at `s0:c0.c1023`): it dominates everybody on purpose, so it is
reported, but blocks no level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mcsd.core.cgroups import group_in
from mcsd.core.interfaces import Network
from mcsd.core.labels import Context, Label, Level, LevelRange

OVERLORD = 16
"""The most categories that a container's level can have: a member of seven groups has sixteen."""

_CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProcessLevel:
    """A process whose level has categories. `container` is the id that its control group names, or "".

    `group` is the control group itself, "" if unknown."""

    pid: int
    context: Context
    level: Level
    container: str = ""
    group: str = ""


class Stage(StrEnum):
    """Whether a running container is starting or ending, by its first process."""

    STARTING = "starting"
    """The process still runs the runtime's program, and has requested the container's context: until its
    execve(2) it carries the runtime's label, which says nothing about the container."""
    RUNNING = "running"
    ENDING = "ending"
    """The process is gone, but the engine has not reported it yet."""


@dataclass(frozen=True, slots=True)
class FirstProcess:
    """A container's first process: its context, None if it is gone, and the context that it has requested for
    the next execve(2), None if none."""

    context: Label | None = None
    upcoming: Label | None = None

    @property
    def stage(self) -> Stage:
        """The stage, on a kernel with SELinux."""
        if self.context is None:
            return Stage.ENDING
        return Stage.RUNNING if self.upcoming in {None, self.context} else Stage.STARTING


def is_overlord(level: Level) -> bool:
    """Tell whether a level has more categories than a container gets."""
    return len(level) > OVERLORD


def may_carry(context: str) -> bool:
    """Tell quickly whether a context may have categories; most processes' have none."""
    return ":c" in context.split(":", 3)[-1]


def held_level(held: LevelRange) -> Level:
    """Return the level of a process's range that counts; see the module."""
    return held.low if is_overlord(held.high) else held.high


def carrier_of(pid: int, context: Label, cgroup: str) -> ProcessLevel | None:
    """Return a process with its level, and the container in its control groups; None without categories."""
    if not isinstance(context, Context):
        return None
    level = held_level(context.range)
    if not level.categories:
        return None
    found = _CONTAINER.search(cgroup)
    return ProcessLevel(pid, context, level, found[1] if found else "", group_in(cgroup))


@dataclass(frozen=True, slots=True)
class ProcessSight:
    """A container's init process: its context, and whether the policy makes its domain permissive.

    `unbound` says why categories do not constrain it, "" if they do. `network` is how it is connected, None
    if that was not determined. `stage` says whether the container is starting or ending.
    """

    context: Label | None = None
    stage: Stage = Stage.RUNNING
    permissive: bool = False
    unbound: str = ""
    network: Network | None = None
