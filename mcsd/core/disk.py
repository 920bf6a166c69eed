"""What the disk says of a volume: as last looked at, when, and what has drifted since.

Theory of operation
-------------------
A volume in use is *watched*: the kernel tells at once when a label in it changes, when something is moved
in or out, and when something is mounted inside. What cannot be watched is looked at in rounds. Either way
the answer is a `DiskState`: `mcsd.state.disk` keeps one for each volume that somebody lives on, and whoever
judges isolation reads it.

What always holds:

- A state is about the target that the ledger has now. A new target makes an old state worthless.
- A state with findings says that the volume does not carry everywhere what it should; then nobody on it is
  isolated.
- Findings are kept with their paths up to `MOST_FINDINGS`; the count is always right.
- Only a complete look takes findings away. That nothing was heard proves nothing.

What a failure means: a watch that fails or loses events makes the volume one that is looked at in rounds,
with the reason. It never makes it one that is right.
"""

from __future__ import annotations

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
    """It is being taken under watch; until then, as ROUNDS."""
    ROUNDS = "rounds"
    """By looking at all of it from time to time; `DiskState.why` says why it cannot be watched."""


class What(StrEnum):
    """What happened to something in a volume; part of the API."""

    RELABELLED = "relabelled"
    """Somebody wrote another label on it."""
    MOVED_IN = "moved-in"
    """It was moved in from outside, and carries the label that it had there."""
    CREATED = "created"
    """It was made inside, and the policy gave it another label than the volume's."""
    MOVED_OUT = "moved-out"
    """It was moved out of the volume, and still carries the volume's label."""
    MOUNTED = "mounted"
    """Something is mounted on it: that is another volume, which this one's claim does not cover."""
    DIFFERS = "differs"
    """It was found in a round; nobody saw what happened to it."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing in a volume that is not as it should be.

    `path` is a host path, of which undecodable bytes are surrogate escapes. `label` is what it carries, ""
    where that is nothing or unknown. `who` names whose doing it was where that can be known, else "".
    `reason` is a sentence without its full stop; `hint` says what to do, "" where mcsd does it.
    """

    path: str
    what: What
    label: str = ""
    who: str = ""
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DiskState:
    """One volume's disk as last looked at.

    `looked` is when all of it was last found to be as it should be, in seconds since the epoch, None where
    that was not since mcsd runs; while it is WATCHED nothing has changed since but what `findings` say.
    `count` is how many things drifted in all; `findings` names `MOST_FINDINGS` of them.
    """

    watching: Watching = Watching.PENDING
    why: str = ""
    looked: float | None = None
    findings: tuple[Drift, ...] = ()
    count: int = 0
    mounted: tuple[str, ...] = ()
    """Where something is mounted inside it now: other volumes, which its claims do not cover."""

    @property
    def is_drifting(self) -> bool:
        """Whether something in the volume does not carry what it should, and mcsd has yet to put it right."""
        return self.count > 0

    def labelled_at(self, when: float | None) -> DiskState:
        """Return this state with another time at which all of it was as it should be."""
        return replace(self, looked=when)

    def seen_right(self, now: float) -> DiskState:
        """Return the state after all of it was found right, or put right, at `now`."""
        return replace(self, looked=now, findings=(), count=0)

    def put_right(self) -> DiskState:
        """Return the state after all that was found has been put right, one by one."""
        return replace(self, findings=(), count=0)

    def with_findings(self, findings: tuple[Drift, ...], count: int) -> DiskState:
        """Return the state after `count` more things have drifted, of which `findings` are examples."""
        fresh = tuple(one for one in dict.fromkeys(findings) if one not in self.findings)
        kept = (*self.findings, *fresh)[:MOST_FINDINGS]
        return replace(self, findings=kept, count=self.count + count)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """Something that was done in a watched volume, as `mcsd.ports.DiskWatch` tells it.

    `path` is where it is now, of which undecodable bytes are surrogate escapes; `label` what it carries, None
    for none at all; `identity` what was met, None for a mount. `links` counts its names.
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
    """Something may have been done in a volume that was not told: all of it is to be looked at.

    `why` is a clause, such as `the kernel's queue was full`. Where `is_watched` is False the watch has been
    given up, because following what happens there would take more than it may.
    """

    volume: VolumeId
    why: str
    is_watched: bool = True


@dataclass(frozen=True, slots=True)
class Watched:
    """How a volume came to be watched: `directories` is what that takes, `why` why it is not, if so."""

    directories: int = 0
    why: str = ""

    @property
    def is_watched(self) -> bool:
        """Whether it is."""
        return not self.why


UNSEEN = DiskState()
"""Of a volume that nobody has looked at since mcsd runs."""
