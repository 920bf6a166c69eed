"""Whether an opened volume is, contains or is inside a protected place, by device and inode, and by position.

Names are not reliable: `/etc//`, a bind mount of `/etc`, a link to it. So the volume's ancestors are followed
with `..` from its descriptor and compared by identity. A bind mount of a *part* of a protected tree has other
ancestors; it is recognized by its position inside the file system, from mountinfo.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from mcsd.blocking.patient import Patient
from mcsd.core.exposure import SHOWING, Shown, Survey, Weak
from mcsd.core.hints import Hint
from mcsd.core.protected import (
    HOME,
    PSEUDO_FILE_SYSTEMS,
    Lift,
    PlaceRule,
    ProtectedPlace,
    ProtectionRules,
    Reach,
    type_of,
    type_rule_of,
)
from mcsd.core.volumes import Identity
from mcsd.core.walks import RawLabel
from mcsd.errors import VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.mounts import MountEntry, by_point, mount_above, mount_table, mounts, position
from mcsd.relabel.real_paths import RealPaths, upwards

_IN_MEMORY = PSEUDO_FILE_SYSTEMS - {"autofs"} | {"tmpfs", "ramfs", "devtmpfs"}
_NOTHING: Mapping[str, Location | None] = {}
LASTS = 1.0
"""Seconds for which the locations of the protected places are cached."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where something is. `chain` has its identity, its parent's, and so on up to the root directory's."""

    chain: tuple[Identity, ...]
    place: tuple[str, PurePosixPath] | None

    def is_within(self, other: Location) -> bool:
        """Tell whether this is the other, or is inside it."""
        if other.chain and other.chain[0] in self.chain:
            return True
        if self.place is None or other.place is None:
            return False
        mine, above = self.place[1].parts, other.place[1].parts
        return self.place[0] == other.place[0] and mine[: len(above)] == above

    def distance(self, other: Location | None) -> int | None:
        """Return how many directories this is below the other; None if it is neither the other nor inside."""
        if other is None or not self.is_within(other):
            return None
        if other.chain and other.chain[0] in self.chain:
            return self.chain.index(other.chain[0])
        assert self.place is not None and other.place is not None, "it is inside by one or the other"
        return len(self.place[1].parts) - len(other.place[1].parts)


def location_of(descriptor: int, parent: int, mount: MountEntry | None) -> Location:
    """Return the location of an opened volume; `parent` is the descriptor of the directory it was opened
    in."""
    stat = kernel.stat_of(descriptor)
    path = kernel.path_of(descriptor)
    chain = (Identity(stat.device, stat.inode), *_ancestors(parent))
    return Location(chain, position(path, mount) if mount else None)


def _ancestors(descriptor: int) -> Iterable[Identity]:
    current = os.dup(descriptor)
    last = None
    try:
        while True:
            stat = kernel.stat_of(current)
            identity = Identity(stat.device, stat.inode)
            if (identity, stat.mount) == last:
                return
            yield identity
            last = identity, stat.mount
            above = os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = above
    finally:
        os.close(current)


class Surroundings:
    """Locations by what they are and what they are in: a volume is near a few of hundreds.

    What is not near a volume is neither it, nor in it, nor around it, by `Location.is_within`.
    """

    def __init__(self, locations: Iterable[Location | None]) -> None:
        self._at: defaultdict[object, list[int]] = defaultdict(list)
        self._inside: defaultdict[object, list[int]] = defaultdict(list)
        for number, location in enumerate(locations):
            if location is None:
                continue
            for key in _itself(location):
                self._at[key].append(number)
            for key in _around(location):
                self._inside[key].append(number)

    def near(self, volume: Location) -> list[int]:
        """Return the numbers of the locations that may be the volume, be in it or contain it, in order."""
        found = {number for key in _around(volume) for number in self._at.get(key, ())}
        found.update(number for key in _itself(volume) for number in self._inside.get(key, ()))
        return sorted(found)


def _itself(location: Location) -> Iterator[object]:
    yield from location.chain[:1]
    if location.place is not None:
        yield location.place[0], location.place[1].parts


def _around(location: Location) -> Iterator[object]:
    """List a location and everything that contains it."""
    yield from location.chain
    if location.place is not None:
        parts = location.place[1].parts
        yield from ((location.place[0], parts[:length]) for length in range(len(parts) + 1))


class PathIndex:
    """Locations by path, each determined once."""

    def __init__(self, table: bytes | None = None, patient: Patient | None = None) -> None:
        self._patient = patient or Patient()
        self._version = hash(table)
        self._mounts = mounts(table)
        self._points = by_point(self._mounts)
        self._paths = RealPaths()
        self._spots: dict[str, Location | None] = {}
        self._surroundings: tuple[tuple[ProtectedPlace, ...], Surroundings] | None = None

    def mount(self, number: int) -> MountEntry | None:
        """Return a mount by its id."""
        return self._mounts.get(number)

    def gather(self, paths: Iterable[str]) -> None:
        """Locate many paths, without waiting for file systems that do not answer.

        For those, the last known location counts, or else only the position.
        """
        groups: dict[str, list[str]] = {}
        for path in paths:
            if path not in self._spots:
                groups.setdefault(self._source(path), []).append(path)
        for source, members in groups.items():
            found = self._patient.ask(
                source,
                partial(self._look_at_all, members),
                _NOTHING,
                version=(self._version, tuple(members)),
                lasts=LASTS,
            )
            for path in members:
                self._spots[path] = found[path] if path in found else self._by_position(path)

    def _source(self, path: str) -> str:
        """Return the mount that a path is on, by its name; memory file systems count as the root's."""
        mount = mount_above(path, self._points)
        return "/" if mount is None or mount.file_system in _IN_MEMORY else mount.point

    def near(self, volume: Location, places: tuple[ProtectedPlace, ...]) -> list[ProtectedPlace]:
        """Return those of the places, in order, that may be the volume, be in it or contain it."""
        known = self._surroundings
        if known is None or known[0] is not places:
            self.gather(place.path for place in places)
            known = self._surroundings = places, Surroundings(self.location(place.path) for place in places)
        return [places[number] for number in known[1].near(volume)]

    def _look_at_all(self, paths: Iterable[str]) -> Mapping[str, Location | None]:
        return {path: self._look(path) for path in paths}

    def _by_position(self, path: str) -> Location:
        return Location((), self._position(path))

    def location(self, path: str) -> Location | None:
        """Return the location of a path, None if it does not exist."""
        if path not in self._spots:
            self._spots[path] = self._look(path)
        return self._spots[path]

    def _look(self, path: str) -> Location | None:
        real = self._paths.of(path)
        if self._paths.identity(real) is None:
            return None
        # Of a directory that cannot be looked at, the position still counts.
        chain = tuple(found for part in upwards(real) if (found := self._paths.identity(part)) is not None)
        return Location(chain, self._position(real))

    def _position(self, real: str) -> tuple[str, PurePosixPath] | None:
        mount = mount_above(real, self._points)
        return position(real, mount) if mount else None


class PathIndexes:
    """A path index that is shared while the mounts do not change, for a second at most.

    Hundreds of places are checked for each volume, and a thousand volumes are judged when mcsd starts. A
    volume may be labelled some time after it was judged anyway, so an index that is a moment old makes no
    difference. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, patient: Patient | None = None) -> None:
        self._clock = clock
        self._patient = patient or Patient()
        self._lock = threading.Lock()
        self._latest: tuple[float, bytes, PathIndex] | None = None

    def latest(self) -> PathIndex:
        """Return a current path index."""
        now, table = self._clock(), mount_table()
        with self._lock:  # nothing that may hang is asked inside
            latest = self._latest
            if latest is not None and now - latest[0] < LASTS and latest[1] == table:
                return latest[2]
            path_index = PathIndex(table, self._patient)
            self._latest = now, table, path_index
            return path_index


def judge_place(
    volume: Location,
    path: str,
    rules: ProtectionRules,
    allowed: Collection[str],
    path_index: PathIndex,
    more: Iterable[ProtectedPlace] = (),
) -> None:
    """Raise `VolumeRefusedError` if a protected place that `allowed` does not lift applies to a volume.

    `more` are further places, beside those of the rules.
    """
    more = tuple(more)
    path_index.gather((*allowed, *(place.path for place in more)))
    admitted = [
        location
        for location in map(path_index.location, allowed)
        if location is not None and volume.is_within(location)
    ]
    for place in (*path_index.near(volume, rules.places()), *more):
        location = path_index.location(place.path)
        if location is None or not _meets(volume, location, place.rule.reach):
            continue
        if not any(_lifts(one, location, place.rule) for one in admitted):
            raise VolumeRefusedError(
                f"volume {path!r} {place.rule.why} ({place.path!r})",
                hint=_way_out(place.rule.lift, path),
                rule=place.rule.name,
            )


def judge_name(path: str, rules: ProtectionRules) -> None:
    """Raise `VolumeRefusedError` if an inaccessible path names something that is never labelled."""
    here = PurePosixPath(path)
    for place in rules.places():
        is_never = place.rule.lift is Lift.NEVER and place.rule.reach is Reach.TREE
        if is_never and here.is_relative_to(place.path):
            raise VolumeRefusedError(
                f"volume {path!r} {place.rule.why} ({place.path!r})", rule=place.rule.name
            )


def _meets(volume: Location, place: Location, reach: Reach) -> bool:
    return place.is_within(volume) or (reach is Reach.TREE and volume.is_within(place))


def surveyed(
    path: str,
    rules: ProtectionRules,
    within: Sequence[str],
    path_index: PathIndex,
    more: Iterable[ProtectedPlace] = (),
) -> Survey:
    """Find out in which of the paths `within` a mount's source is, and what it shows of the host.

    The engine follows every link in the path, and so does this, because nothing is labelled here. A source
    that does not exist is in no place and shows nothing.
    """
    location = path_index.location(path)
    real = os.path.realpath(path)
    if location is None:
        return Survey(real)
    path_index.gather(within)
    around = [
        (distance, one)
        for one in within
        if (distance := location.distance(path_index.location(one))) is not None
    ]
    ruled = tuple(one for _, one in sorted(around, key=lambda pair: pair[0]))
    return Survey(real, ruled, tuple(_shown(location, rules, path_index, more)), *_root_at(real))


def within(top: str, paths: Collection[str], path_index: PathIndex) -> frozenset[str]:
    """Return those of the paths that lead to `top` or below, by identity, or by name if one is gone."""
    path_index.gather([top, *sorted(paths)])
    above = path_index.location(top)

    def is_below(path: str) -> bool:
        here = path_index.location(path)
        if here is None or above is None:
            return PurePosixPath(path).is_relative_to(top)
        return here.is_within(above)

    return frozenset(filter(is_below, paths))


def _shown(
    volume: Location, rules: ProtectionRules, path_index: PathIndex, more: Iterable[ProtectedPlace]
) -> Iterable[Shown]:
    places = [(one.what, one.reach, path) for one in SHOWING for path in one.paths]
    places += [(Weak.ENGINE_SOCKET, Reach.ITSELF, path) for path in rules.sockets]
    storage = (one for one in (*rules.places(), *more) if one.rule.name == "engine-storage")
    places += [(Weak.ENGINE_STORAGE, one.rule.reach, one.path) for one in storage]
    path_index.gather(path for _, _, path in places)
    for what, reach, path in places:
        location = path_index.location(path)
        if location is not None and _meets(volume, location, reach):
            yield Shown(what, os.path.realpath(path))


def _root_at(path: str) -> tuple[str | None, int]:
    try:
        mode = os.stat(path).st_mode
        return os.fsdecode(os.getxattr(path, kernel.LABEL).rstrip(b"\0")), mode
    except OSError:  # gone, or on a file system without labels
        return None, 0


def _lifts(admitted: Location, place: Location, rule: PlaceRule) -> bool:
    match rule.lift:
        case Lift.NEVER:
            return False
        case Lift.BY_RULE:
            return True
        case Lift.BELOW:
            return admitted.is_within(place) and not place.is_within(admitted)


def _way_out(lift: Lift, path: str) -> str:
    match lift:
        case Lift.NEVER:
            return ""
        case Lift.BY_RULE:
            return Hint.NAME_IN_RULE.say(path=path)
        case Lift.BELOW:
            return Hint.NAME_PLACE_BELOW.say()


def judge_type(label: RawLabel, path: str, *, is_allowed: bool, may_change: bool = True) -> None:
    """Raise `VolumeRefusedError` if a volume's root has a protected type.

    A type that mcsd's own domain may not relabel is refused as well; no configuration lifts that.
    """
    rule = type_rule_of(label)
    if not may_change and (rule is None or rule.lift is not Lift.NEVER):
        kind = type_of(label)
        raise VolumeRefusedError(
            f"volume {path!r} carries a type that mcsd's domain may not change ({kind!r})",
            hint=Hint.ALLOW_TYPE.say(type=kind),
            rule="system-type",
        )
    if rule is None or (rule.lift is not Lift.NEVER and is_allowed):
        return
    raise VolumeRefusedError(
        f"volume {path!r} {rule.why} ({type_of(label)!r})", hint=_way_out(rule.lift, path), rule=rule.name
    )


def judge_home(default: str | None, path: str, *, is_allowed: bool) -> None:
    """Raise `VolumeRefusedError` if the host's file contexts define a volume's root as a home directory."""
    label = None if default is None else os.fsencode(default)
    rule = type_rule_of(label)
    if rule is not None and rule.name == HOME.name and not is_allowed:
        raise VolumeRefusedError(
            f"volume {path!r} is somebody's home directory, as the policy's file contexts have it "
            f"({type_of(label)!r})",
            hint=_way_out(rule.lift, path),
            rule=rule.name,
        )
