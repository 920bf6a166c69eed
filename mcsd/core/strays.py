"""Strays: files outside every volume that carry somebody's level.

Labels travel with `cp -a`, `mv`, backups and archives. A file that carries a level with categories belongs to
whoever gets that level, so while there is one nobody does: its level is held as a quarantined one is. What
explains a level on a file is a volume that the file is in and that is to carry it, or the engine's own
storage for a container that holds it. The configuration's reserved levels, and those of nobody in particular
(`is_overlord`), are never given to anybody.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcsd.core.labels import Level, level_in
from mcsd.core.processes import is_overlord

MOST_PATHS = 16
"""Paths that are kept of one level's strays; the others are counted."""
MOST_LEVELS = 10_000
"""Levels whose strays are kept by path; beyond, only that they are carried."""


@dataclass(frozen=True, slots=True)
class Stray:
    """All that carries one level and should not: the first one's label, and the first `MOST_PATHS` paths."""

    level: Level
    label: str
    count: int = 0
    paths: tuple[str, ...] = ()

    def with_path(self, path: str) -> Stray:
        """Add one more; one that is known already is no other."""
        if path in self.paths:
            return self
        paths = (*self.paths, path) if len(self.paths) < MOST_PATHS else self.paths
        return replace(self, count=self.count + 1, paths=paths)

    @property
    def example(self) -> str:
        """Name one of them; where all are known by count alone, say so."""
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
    """A look at the host's file systems. Times in seconds since the epoch, `finished` None while it runs.

    `top` is the path it was asked for, "" for everything; `done` are the mount points that are finished, and
    `at` is where it is: a directory whose like it goes on from. `unseen` counts directories that mcsd may
    not look into.
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
    """What scans have found. `complete` is when the last scan of everything began that came to its end, None
    where none has: what carried a level before then is known.

    `places` are the mount points that strays are on. `lost` says why what was known is not known any more, ""
    where it is: until everything has been scanned, any level that was ever given may be carried.
    """

    strays: Mapping[Level, Stray] = field(default_factory=dict)
    scan: ScanState | None = None
    complete: float | None = None
    places: tuple[str, ...] = ()
    lost: str = ""

    def levels(self) -> frozenset[Level]:
        """The levels that somebody's files carry."""
        return frozenset(self.strays)


def level_on(label: str) -> Level | None:
    """Return the level that a label gives to whoever holds it, None where it is nobody's in particular."""
    level = level_in(label)
    return None if level is None or not level.categories or is_overlord(level) else level


def is_at_or_below(path: str, top: str) -> bool:
    """Tell whether a path is another or lies below it: by components."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def place_of(path: str, places: Iterable[str]) -> str:
    """Return the innermost of these places that a path is in, "" where it is in none."""
    return max((one for one in places if is_at_or_below(path, one)), key=len, default="")


@dataclass(frozen=True, slots=True)
class StrayExplanation:
    """What explains a level on a file: a volume that the file is in and that is to carry it (`volumes` are
    their roots by level), or the engine's own storage, where the level is `granted` to somebody.

    What is mounted inside a volume is not this volume's content: nobody gives it back what it had. So
    `mounted` are all mount points. The engine has mounts of its own in its storage, which is "" where it is
    not known.
    """

    volumes: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    granted: frozenset[Level] = frozenset()
    storage: str = ""
    mounted: tuple[str, ...] = ()

    def covers(self, path: str, level: Level) -> bool:
        """Tell whether a level on what is at a path is explained."""
        if self.storage and level in self.granted and is_at_or_below(path, self.storage):
            return True
        tops = [top for top in self.volumes.get(level, ()) if is_at_or_below(path, top)]
        return any(place_of(top, self.mounted) == place_of(path, self.mounted) for top in tops)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a scan of everything below `top` ("" for all) has looked at: `finished` are the places that it
    came to the end of, `failed` those that it did not; none is in both."""

    top: str
    finished: Collection[str]
    failed: Collection[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything was looked at."""
        return not self.top and not self.failed

    def covers(self, path: str, known: Collection[str]) -> bool:
        """Tell whether a path was looked at; `known` are places that are mounted now, or were when strays
        were found on them. What is on a disk that is not mounted, or that failed, was not."""
        return place_of(path, {*self.finished, *self.failed, *known}) in self.finished


def joined(
    old: Catch, fresh: Iterable[Stray], looked: Looked, is_gone: Callable[[str, Level], bool]
) -> Mapping[Level, Stray]:
    """Return what is known after a scan has found `fresh`.

    What is known of places that were not looked at stays, and so does what `is_gone` cannot tell to be gone;
    where not all paths of a level are known, that it is carried does unless everything was looked at.
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
    """Tell whether a path that was known is kept beside what was found anew."""
    if not looked.covers(path, old.places):
        return True
    if new is not None and (path in new.paths or new.count > len(new.paths)):
        return False  # it is among those, or is counted with them
    return not is_gone(path, stray.level)
