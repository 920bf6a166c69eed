"""Which denials were asked for, and where their paths are on the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.denials.facts import Held, Somebody, World
from mcsd.core.denials.values import Denial, level_of


@dataclass(frozen=True, slots=True)
class Sought:
    """What was asked for: one container's denials, those about a path of the host, or all; `since` in
    seconds."""

    since: float
    container: str = ""
    path: str = ""
    level: str = ""
    """Of a container that is gone and whose level is kept: whoever ran at it is meant."""

    @property
    def is_everything(self) -> bool:
        """Whether any denial will do, whosever it is and wherever."""
        return not (self.container or self.path or self.level)


def whose(denial: Denial, world: World, container: str = "") -> Somebody | None:
    """Return the container that was denied something.

    `container` is what its process's control group says, where the process is still there; its level says it
    otherwise, to whoever held it then.
    """
    for one in world.containers:
        if container and one.id == container:
            return one
    return world.at_level(level_of(denial.source), denial.time)


def where(denial: Denial, who: Somebody | None) -> tuple[str, Held | None]:
    """Return where a denial's path is on the host, and by which claim; "" where that is not known.

    A path that is in none of its mounts is in its own root, which has no name on the host that mcsd knows.
    """
    if who is None or not denial.path.startswith("/"):
        return "", None
    found = who.on_host(denial.path)
    return found if found is not None else ("", None)


def candidates(denial: Denial, who: Somebody | None) -> tuple[Held, ...]:
    """Return claims that something may be searched in by its inode, where the record has no path."""
    if who is None or denial.path or denial.inode is None or not denial.name:
        return ()
    return who.claims


def is_sought(sought: Sought, denial: Denial, who: Somebody | None, host: str) -> bool:
    """Tell whether a denial is one of those that were asked for."""
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
    """Return the level that a container of this name held, which is gone; "" where none is known."""
    for level, holders in world.holders.items():
        if any(one.name == name and one.state == "quarantined" for one in holders):
            return level
    return ""


def _touches(path: str, sought: str) -> bool:
    return PurePosixPath(path).is_relative_to(sought)


def claimants(path: str, containers: Iterable[Somebody]) -> tuple[Somebody, ...]:
    """Return the containers that a path of the host is mounted into."""
    return tuple(one for one in containers if one.claim_at(path) is not None)
