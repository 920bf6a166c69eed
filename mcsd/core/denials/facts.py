"""The facts around a denial: containers, levels, labels, and what the policy says. Plain values.

All facts are current, while the denial may be old. Differences are reported as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from mcsd.core.denials.values import Denial
from mcsd.core.labels import Level


class DenyingRule(StrEnum):
    """Which rule of the policy denies something; part of the API."""

    ALLOWED = "allowed"
    """It is allowed by now."""
    TYPES = "types"
    """No rule allows it."""
    BOOLEAN = "boolean"
    """A rule would, if a boolean were on."""
    CONSTRAINT = "constraint"
    """A rule allows it, but a constraint does not: for files, by categories."""
    ROLES = "roles"
    BOUNDS = "bounds"
    UNKNOWN = "unknown"
    """The policy does not know the contexts, or could not be asked."""


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What the policy says.

    Each of `booleans` alone would allow it; `silent` says that the denial is not recorded.

    `categories` is whether the levels alone would deny it, with the types of a container and its files; None
    if that was not asked.
    """

    rule: DenyingRule
    booleans: tuple[str, ...] = ()
    silent: bool = False
    categories: bool | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """One container's claim on a mount, as mcsd reports it.

    `left_out` maps paths on the host to why they were left out, and what to do.
    """

    source: str
    destination: str
    mode: str
    state: str
    reason: str = ""
    hint: str = ""
    left_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Somebody:
    """A container. `since` is when it may have got the level at the earliest, in seconds since the epoch."""

    id: str
    name: str
    level: str = ""
    process: str = ""
    pid: int | None = None
    since: float = 0.0
    running: bool = True
    claims: tuple[Held, ...] = ()

    def on_host(self, inside: str) -> tuple[str, Held] | None:
        """Return the host path of a path inside the container, and the claim; None outside its mounts."""
        best: Held | None = None
        for claim in self.claims:
            is_in = PurePosixPath(inside).is_relative_to(claim.destination)
            if is_in and (best is None or len(claim.destination) > len(best.destination)):
                best = claim
        if best is None:
            return None
        below = PurePosixPath(inside).relative_to(best.destination)
        return str(PurePosixPath(best.source, below)), best

    def claim_at(self, host_path: str) -> Held | None:
        """Return the innermost claim that contains a path of the host."""
        found = [one for one in self.claims if PurePosixPath(host_path).is_relative_to(one.source)]
        return max(found, key=lambda one: len(one.source), default=None)


@dataclass(frozen=True, slots=True)
class LevelHolder:
    """Who holds a level: the name of a container, group or reservation, and its state as in the API."""

    name: str
    state: str
    container: str = ""
    since: float | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Leasable:
    """A boolean that the configuration names. `wish` is the value there."""

    name: str
    wish: str
    asked: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What mcsd reports at one moment."""

    containers: tuple[Somebody, ...] = ()
    holders: Mapping[str, tuple[LevelHolder, ...]] = field(default_factory=dict)
    """By level, in the kernel's spelling."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Path → the level that it should carry, "" for none."""
    strays: Mapping[str, str] = field(default_factory=dict)
    """Path of a stray → its remedy."""
    booleans: tuple[Leasable, ...] = ()
    file_type: str = "container_file_t"
    """The type that volumes get, as the loaded policy calls it."""

    def at_level(self, level: Level | None, when: float) -> Somebody | None:
        """Return the container that held a level at a time; one that got the level later does not count."""
        for one in self.containers:
            if level is not None and one.level == str(level) and one.since <= when + 1.0:
                return one
        return None

    def who_holds(self, level: Level | None) -> tuple[LevelHolder, ...]:
        """Return who holds a level now."""
        return self.holders.get(str(level), ()) if level is not None else ()

    def volume_at(self, path: str) -> str | None:
        """Return the innermost volume that contains a path."""
        found = [one for one in self.volumes if PurePosixPath(path).is_relative_to(one)]
        return max(found, key=len, default=None)


@dataclass(frozen=True, slots=True)
class Scene:
    """One denial and what was found out about it.

    `host` is its path on the host, "" if that is not known.

    `label` is what the file carries now, "" for none; `expected` what the policy's file contexts say.
    """

    denial: Denial
    who: Somebody | None
    verdict: PolicyVerdict
    host: str = ""
    claim: Held | None = None
    label: str = ""
    expected: str = ""
    links: int = 1
    """The file's number of hard links."""
    now: PolicyVerdict | None = None
    """What the policy says about the label that is there now; None if it has not changed."""
