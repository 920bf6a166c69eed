"""Which denials were asked for, and where their paths are on the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.denials.facts import Held, Somebody, World
from mcsd.core.denials.values import Denial, level_of


@dataclass(frozen=True, slots=True)
class Sought:
    """What was asked for: one container's denials, those about a path of the host, or all.

    `since` is in seconds since the epoch."""

    since: float
    container: str = ""
    path: str = ""
    level: str = ""
    """Of a container that is gone and whose level is in quarantine: denials at this level are meant."""

    @property
    def is_everything(self) -> bool:
        """Whether all denials are asked for."""
        return not (self.container or self.path or self.level)


def whose(denial: Denial, world: World, container: str = "") -> Somebody | None:
    """Return the container that was denied something.

    `container` is the one that the process's control group names, if the process still exists. Otherwise the
    container is found by the process's level at that time.
    """
    for one in world.containers:
        if container and one.id == container:
            return one
    return world.at_level(level_of(denial.source), denial.time)


def where(denial: Denial, who: Somebody | None) -> tuple[str, Held | None]:
    """Return a denial's path on the host, and the claim; "" if that is not known.

    A path in none of the container's mounts is in its root file system, whose place on the host mcsd does not
    know.
    """
    if who is None or not denial.path.startswith("/"):
        return "", None
    found = who.on_host(denial.path)
    return found if found is not None else ("", None)


def candidates(denial: Denial, who: Somebody | None) -> tuple[Held, ...]:
    """Return the claims in which to search for the inode, if the record has no path."""
    if who is None or denial.path or denial.inode is None or not denial.name:
        return ()
    return who.claims


def is_sought(sought: Sought, denial: Denial, who: Somebody | None, host: str) -> bool:
    """Tell whether a denial matches what was asked for."""
    if denial.time < sought.since:
        return False
    if sought.container:
        return who is not None and who.id == sought.container
    if sought.level:
        return who is None and str(level_of(denial.source)) == sought.level
    if sought.path:
        return bool(host) and _touches(host, sought.path)
    return True


def gone(name: str, world: World) -> str:
    """Return the level of a removed container of this name; "" if none is known."""
    for level, holders in world.holders.items():
        if any(one.name == name and one.state == "quarantined" for one in holders):
            return level
    return ""


def _touches(path: str, sought: str) -> bool:
    return PurePosixPath(path).is_relative_to(sought)


def claimants(path: str, containers: Iterable[Somebody]) -> tuple[Somebody, ...]:
    """Return the containers that a path of the host is mounted into."""
    return tuple(one for one in containers if one.claim_at(path) is not None)
