"""What a walk leaves as it is by rule, named: a container cannot read it, whatever else it can.

The walk is complete all the same, because nothing else was to be done; but whoever runs the container finds
single files denied. So each is kept with the volume, with its path, why, and what to do. Reasons are those of
`mcsd.core.walks.SkipReason`; the others need no word (what vanished, or is put back elsewhere).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.containers import Container

MOST = 16
"""Paths that are kept for one volume; the others are counted by reason."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing in a volume that carries its own label by rule. `path` is below the volume's root."""

    why: str
    path: str

    def at(self, root: str) -> str:
        """Where it is on the host."""
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
    """Return what of a walk's examples a container will miss, each once."""
    named = dict.fromkeys(LeftOut(str(why), path) for why, path in examples if str(why) in _RULES)
    return tuple(named)[:MOST]


def missed(found: Iterable[LeftOut], root: str, bound: Collection[str]) -> tuple[LeftOut, ...]:
    """Return what of these a container will really miss: what is mounted inside it may also have bound by
    itself (`bound` are the host paths that it has), and then it reads that as a volume of its own."""
    return tuple(one for one in found if one.why != "mount-point" or one.at(root) not in bound)


def bound_by(container: Container | None) -> frozenset[str]:
    """Return the host paths that a container has bound; none of one that nobody has seen."""
    return frozenset(mount.source for mount in container.mounts) if container is not None else frozenset()


def counted(skipped: Iterable[tuple[str, int]]) -> int:
    """Count what a container will miss, of all that a walk has skipped."""
    return sum(number for why, number in skipped if why in _RULES)
