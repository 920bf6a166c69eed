"""Strays: files outside every volume that carry somebody's level.

Labels travel with `cp -a`, `mv`, backups and archives. Whoever gets a level can read every file that carries
it. So while there is a stray, nobody gets its level, which is held like a quarantined one. A level on a file
is explained by a volume that contains the file and should carry the level, or by the engine's own storage for
a container that holds the level. The configuration's reserved levels, and those with more categories than a
container gets (`is_overlord`), are never granted anyway.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcsd.core.labels import Level, level_in
from mcsd.core.processes import is_overlord

MOST_PATHS = 16
"""Paths that are kept of one level's strays; the others are only counted."""
MOST_LEVELS = 10_000
"""Levels whose strays are kept by path; of further levels, only that there are some."""


@dataclass(frozen=True, slots=True)
class Stray:
    """All strays at one level: the first one's label, and the first `MOST_PATHS` paths."""

    level: Level
    label: str
    count: int = 0
    paths: tuple[str, ...] = ()

    def with_path(self, path: str) -> Stray:
        """Add a path; one that is known already does not count again."""
        if path in self.paths:
            return self
        paths = (*self.paths, path) if len(self.paths) < MOST_PATHS else self.paths
        return replace(self, count=self.count + 1, paths=paths)

    @property
    def example(self) -> str:
        """Name one of them, or say that only their number is known."""
        return self.paths[0] if self.paths else "something that a scan will name again"

    @property
    def remedy(self) -> str:
        """Say what to do, with a command for the first one."""
        path = shlex.quote(self.paths[0]) if self.paths else "PATH"
        return (
            f"restorecon -F {path} gives it the policy's label, chcon -l s0 {path} takes the level off; "
            "leave it if another engine's container has it"
        )


@dataclass(frozen=True, slots=True)
class ScanState:
    """A scan of the host's file systems. Times in seconds since the epoch, `finished` None while it runs.

    `top` is the requested path, "" for everything; `done` are the finished mount points, and `at` is the
    current directory, from which a later scan continues. `unseen` counts directories that mcsd may not read.
    """

    began: float
    top: str = ""
    finished: float | None = None
    done: tuple[str, ...] = ()
    at: str = ""
    seen: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Catch:
    """What scans have found. `complete` is when the last finished scan of everything began, None if there is
    none: all strays from before that time are known.

    `places` are the mount points with strays. `lost` says why earlier results were lost, "" if they were not:
    until everything is scanned again, any level that was ever used may be on a file.
    """

    strays: Mapping[Level, Stray] = field(default_factory=dict)
    scan: ScanState | None = None
    complete: float | None = None
    places: tuple[str, ...] = ()
    lost: str = ""

    def levels(self) -> frozenset[Level]:
        """The levels that strays carry."""
        return frozenset(self.strays)


def level_on(label: str) -> Level | None:
    """Return the level of a label if it could be a container's, else None."""
    level = level_in(label)
    return None if level is None or not level.categories or is_overlord(level) else level


def is_at_or_below(path: str, top: str) -> bool:
    """Tell whether a path equals another or is below it, by components."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def place_of(path: str, places: Iterable[str]) -> str:
    """Return the innermost of these places that contains a path, "" if none does."""
    return max((one for one in places if is_at_or_below(path, one)), key=len, default="")


@dataclass(frozen=True, slots=True)
class StrayExplanation:
    """What explains a level on a file: a volume that contains the file and should carry the level (`volumes`
    are their roots by level), or an engine's own storage, if the level is `granted` to a container.

    What is mounted inside a volume is not part of it, and is not restored with it. So `mounted` are all mount
    points. Engines have mounts of their own in their `storages`.
    """

    volumes: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    granted: frozenset[Level] = frozenset()
    storages: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()

    def covers(self, path: str, level: Level) -> bool:
        """Tell whether a level on what is at a path is explained."""
        if level in self.granted and any(is_at_or_below(path, storage) for storage in self.storages):
            return True
        tops = [top for top in self.volumes.get(level, ()) if is_at_or_below(path, top)]
        return any(place_of(top, self.mounted) == place_of(path, self.mounted) for top in tops)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a scan of everything below `top` ("" for all) has covered: `finished` are the mount points that it
    completed, `failed` those that it did not; none is in both."""

    top: str
    finished: Collection[str]
    failed: Collection[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything was scanned."""
        return not self.top and not self.failed

    def covers(self, path: str, known: Collection[str]) -> bool:
        """Tell whether a path was scanned; `known` are mount points of now, or of when strays were found on
        them. What is on a disk that is not mounted, or failed, was not scanned."""
        return place_of(path, {*self.finished, *self.failed, *known}) in self.finished


def joined(
    old: Catch, fresh: Iterable[Stray], looked: Looked, is_gone: Callable[[str, Level], bool]
) -> Mapping[Level, Stray]:
    """Return what is known after a scan has found `fresh`.

    Results from places that were not scanned stay, and so do paths for which `is_gone` is False. If not all
    paths of a level are known, the level stays unless everything was scanned.
    """
    found = {stray.level: stray for stray in fresh}
    is_whole = looked.is_whole and all(place in looked.finished for place in old.places)
    for stray in old.strays.values():
        new = found.get(stray.level)
        kept = tuple(path for path in stray.paths if _stays(path, stray, new, old, looked, is_gone))
        unknown = 0 if is_whole else stray.count - len(stray.paths)
        if not (kept or unknown):
            continue
        paths = tuple(dict.fromkeys((*kept, *(new.paths if new else ()))))[:MOST_PATHS]
        count = len(kept) + unknown + (new.count if new else 0)
        found[stray.level] = replace(new or stray, paths=paths, count=count)
    return found


def _stays(
    path: str,
    stray: Stray,
    new: Stray | None,
    old: Catch,
    looked: Looked,
    is_gone: Callable[[str, Level], bool],
) -> bool:
    """Tell whether a path from an earlier scan is kept."""
    if not looked.covers(path, old.places):
        return True
    if new is not None and (path in new.paths or new.count > len(new.paths)):
        return False  # it is among the new ones, or counted with them
    return not is_gone(path, stray.level)
