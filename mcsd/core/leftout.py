"""Files that a walk leaves unlabelled by rule, so that the container cannot read them.

The walk is complete all the same, but the container's user sees single files denied. So each such file is
kept with the volume: its path, why, and what to do. The reasons are among `mcsd.core.walks.SkipReason`; the
others there need no report (files that vanished, or are restored elsewhere).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.containers import Container

MOST = 16
"""Paths that are kept for one volume; the others are only counted by reason."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing in a volume that keeps its own label by rule. `path` is below the volume's root."""

    why: str
    path: str

    def at(self, root: str) -> str:
        """Return its path on the host."""
        return str(PurePosixPath(root, self.path))

    @property
    def text(self) -> str:
        """Why it was left as it is."""
        return _RULES[self.why][0]

    @property
    def hint(self) -> str:
        """What to do so that the container can read it."""
        return _RULES[self.why][1]


_RULES = {
    "multiply-linked": (
        "it has another name outside the volume, so it is not this volume's alone",
        "remove the other name, or put a copy in its place (cp -p FILE NEW && mv NEW FILE)",
    ),
    "mount-point": (
        "something else is mounted there, which is not this volume's content",
        "bind it into the container by itself, with -v and its own host path",
    ),
    "protected-type": (
        "it carries a type of the operating system's own, as programs in /opt do, or what a link or a mistake"
        " brought here",
        "if it is the application's, give it a type of data (chcon -R -t usr_t); otherwise move it out",
    ),
    "device-node": ("it is a device node", "give it to the container with --device"),
}


def left_out(examples: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    """Return those of a walk's examples that a container cannot read, each once."""
    named = dict.fromkeys(LeftOut(str(why), path) for why, path in examples if str(why) in _RULES)
    return tuple(named)[:MOST]


def missed(found: Iterable[LeftOut], root: str, bound: Collection[str]) -> tuple[LeftOut, ...]:
    """Return those of these that a container really cannot read.

    A mount point inside the volume may also be bound into the container separately, which makes it a volume
    of its own; `bound` are the host paths that the container has."""
    return tuple(one for one in found if one.why != "mount-point" or one.at(root) not in bound)


def bound_by(container: Container | None) -> frozenset[str]:
    """Return the host paths that are bound into a container; none for an unknown one."""
    return frozenset(mount.source for mount in container.mounts) if container is not None else frozenset()


def counted(skipped: Iterable[tuple[str, int]]) -> int:
    """Count what a container cannot read, of all that a walk has skipped."""
    return sum(number for why, number in skipped if why in _RULES)
