"""The labels of a volume on disk: when they were last checked, and what has drifted since.

Theory of operation
-------------------
A volume in use is *watched*: the kernel reports at once when a label in it changes, when something is moved
in or out, and when something is mounted inside. What cannot be watched is checked in rounds. Either way the
result is a `DiskState`: `mcsd.state.disk` keeps one for each volume in use, and judging isolation reads it.

What always holds:

- A state is about the current target in the ledger. A new target invalidates it.
- A state with findings says that part of the volume does not carry the target; then no container that has
  the volume is isolated.
- At most `MOST_FINDINGS` findings are kept with their paths; the count is always exact.
- Only a complete check, or a correction of what was found, removes findings. The absence of events proves
  nothing; and what a complete check has found, only a correction of that, or the next check, removes.

What a failure means: if a watch fails or loses events, the volume is checked in rounds instead, and the state
has the reason. A failure never makes a volume count as correct.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.volumes import Identity, VolumeId

MOST_FINDINGS = 16
"""Findings that are kept with their paths for one volume; the others are counted."""


class Watching(StrEnum):
    """How changes to a volume become known; part of the API."""

    WATCHED = "watched"
    """At once."""
    PENDING = "pending"
    """The watch is being set up; until then, as ROUNDS."""
    ROUNDS = "rounds"
    """By checking all of it from time to time; `DiskState.why` says why it cannot be watched."""


class What(StrEnum):
    """What happened to something in a volume; part of the API."""

    RELABELLED = "relabelled"
    """Somebody changed its label."""
    MOVED_IN = "moved-in"
    """It was moved in from outside, with the label that it had there."""
    CREATED = "created"
    """It was created inside, and the policy gave it a label other than the volume's."""
    MOVED_OUT = "moved-out"
    """It was moved out of the volume, and still carries the volume's label."""
    MOUNTED = "mounted"
    """Something is mounted on it: another volume, which this one's claim does not cover."""
    DIFFERS = "differs"
    """It was found in a round; what happened to it is not known."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing in a volume that is not as it should be.

    `path` is a host path, with undecodable bytes as surrogate escapes. `label` is what it carries, "" for
    nothing or unknown. `who` names whoever caused it, "" if that is unknown. `reason` is a sentence without
    its full stop; `hint` says what to do, "" if mcsd does it.
    """

    path: str
    what: What
    label: str = ""
    who: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DiskState:
    """One volume's labels as last checked.

    `looked` is when all of it was last found correct, in seconds since the epoch, None if that was not since
    mcsd started. While the volume is WATCHED, only what is in `findings` has changed since. `count` is how
    many things have drifted in all; `findings` has at most `MOST_FINDINGS` of them.
    """

    watching: Watching = Watching.PENDING
    why: str = ""
    looked: float | None = None
    findings: tuple[Drift, ...] = ()
    count: int = 0
    mounted: tuple[str, ...] = ()
    """The mount points inside it: other volumes, which its claims do not cover."""

    @property
    def is_drifting(self) -> bool:
        """Whether something in the volume has a wrong label that mcsd has not corrected yet."""
        return self.count > 0

    def labelled_at(self, when: float | None) -> DiskState:
        """Return this state with another time at which all of it was correct."""
        return replace(self, looked=when)

    def seen_right(self, now: float) -> DiskState:
        """Return the state after all of it was found correct, or corrected, at `now`."""
        return replace(self, looked=now, findings=(), count=0)

    def found(self, findings: tuple[Drift, ...], count: int) -> DiskState:
        """Return the state after a check of all of it has found `count` things, for example `findings`."""
        return replace(self, findings=findings[:MOST_FINDINGS], count=count)

    def amended(self, paths: Collection[str]) -> DiskState:
        """Return the state after what changed at these paths was corrected.

        What a check of all of the volume has found elsewhere stays: the next check clears it.
        """
        left = tuple(one for one in self.findings if one.what is What.DIFFERS and one.path not in paths)
        gone = len(self.findings) - len(left)
        return replace(self, findings=left, count=self.count - gone if left else 0)

    def with_findings(self, findings: tuple[Drift, ...], count: int) -> DiskState:
        """Return the state after `count` more things have drifted, of which `findings` are examples."""
        fresh = tuple(one for one in dict.fromkeys(findings) if one not in self.findings)
        kept = (*self.findings, *fresh)[:MOST_FINDINGS]
        return replace(self, findings=kept, count=self.count + count)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """Something that happened in a watched volume, as `mcsd.ports.DiskWatch` reports it.

    `path` is where it is now, with undecodable bytes as surrogate escapes; `label` what it carries, None for
    none at all; `identity` what was found there, None for a mount. `links` is the number of hard links.
    """

    volume: VolumeId
    what: What
    path: str
    label: str | None = None
    identity: Identity | None = None
    is_directory: bool = False
    links: int = 1


@dataclass(frozen=True, slots=True)
class Loss:
    """Events of a volume may have been lost: all of it has to be checked.

    `why` is a clause, such as `the kernel's queue was full`. If `is_watched` is False, the watch was given
    up, because it would need more resources than it may use.
    """

    volume: VolumeId
    why: str
    is_watched: bool = True


@dataclass(frozen=True, slots=True)
class Watched:
    """The result of watching a volume: `directories` is how many that takes, `why` why it is not watched."""

    directories: int = 0
    why: str = ""

    @property
    def is_watched(self) -> bool:
        """Whether the volume is watched."""
        return not self.why


UNSEEN = DiskState()
"""For a volume that was not checked since mcsd started."""
