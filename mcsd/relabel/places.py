"""Whether an opened volume meets a protected place: by device and inode, and by position.

Names deceive: `/etc//`, a bind mount of `/etc`, a link to it. So the volume's ancestors are walked with
`..` from its descriptor and compared by identity. A bind mount of a *part* of a protected tree has other
ancestors; there the position inside the file system, which mountinfo tells, gives it away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from mcsd.core.protected import TYPES, Lift, PlaceRule, ProtectionRules, Reach, TypeRule
from mcsd.core.volumes import Identity
from mcsd.errors import VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.mounts import Mount, mount_table, mounts, position
from mcsd.relabel.values import Label

LASTS = 1.0
"""Seconds for which a view of the protected places will do."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something is. `chain` is its identity, its parent's, and so on up to the root directory's."""

    chain: tuple[Identity, ...]
    place: tuple[str, PurePosixPath] | None

    def is_within(self, other: Spot) -> bool:
        """Whether this is the other, or lies inside it."""
        if other.chain and other.chain[0] in self.chain:
            return True
        if self.place is None or other.place is None:
            return False
        mine, above = self.place[1].parts, other.place[1].parts
        return self.place[0] == other.place[0] and mine[: len(above)] == above


def spot_of(descriptor: int, parent: int, mount: Mount | None) -> Spot:
    """Find out where an opened volume is; `parent` is the descriptor of the directory it was opened in."""
    stat = kernel.stat_of(descriptor)
    path = kernel.path_of(descriptor)
    chain = (Identity(stat.device, stat.inode), *_ancestors(parent))
    return Spot(chain, position(path, mount) if mount else None)


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


class Atlas:
    """Places by path, looked at once each."""

    def __init__(self, table: bytes | None = None) -> None:
        self._mounts = mounts(table)
        self._points = {mount.point: mount for mount in self._mounts.values()}  # the last one is on top
        self._seen: dict[str, Identity | None] = {}
        self._spots: dict[str, Spot | None] = {}

    def mount(self, number: int) -> Mount | None:
        """Give a mount by its id."""
        return self._mounts.get(number)

    def spot(self, path: str) -> Spot | None:
        """Find out where a path leads, None where there is nothing."""
        if path not in self._spots:
            self._spots[path] = self._look(path)
        return self._spots[path]

    def _look(self, path: str) -> Spot | None:
        real = os.path.realpath(path)
        parts = [real, *map(str, PurePosixPath(real).parents)]
        if not os.path.lexists(real):
            return None
        found = (self._identity(part) for part in parts)
        chain = tuple(identity for identity in found if identity is not None)
        return Spot(chain, self._position(real, parts))

    def _identity(self, path: str) -> Identity | None:
        if path not in self._seen:
            try:
                stat = kernel.stat_path(path)
                self._seen[path] = Identity(stat.device, stat.inode)
            except OSError:  # no right to look, or gone: its position still counts
                self._seen[path] = None
        return self._seen[path]

    def _position(self, real: str, parts: list[str]) -> tuple[str, PurePosixPath] | None:
        mount = next((self._points[part] for part in parts if part in self._points), None)
        return position(real, mount) if mount else None


class Atlases:
    """One atlas for many looks: while the mounts are what they were, and for a second at most.

    Hundreds of places are looked at for each volume, and a thousand volumes are judged when mcsd starts. What
    is judged may be labelled only a while later, so that the view was a moment old makes no difference.
    Thread-safe: two threads at once may make two.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest: tuple[float, bytes, Atlas] | None = None

    def latest(self) -> Atlas:
        """Give an atlas that is as good as a new one."""
        now, table = self._clock(), mount_table()
        latest = self._latest
        if latest is not None and now - latest[0] < LASTS and latest[1] == table:
            return latest[2]
        atlas = Atlas(table)
        self._latest = now, table, atlas
        return atlas


def judge_place(
    volume: Spot, path: str, rules: ProtectionRules, allowed: Collection[str], atlas: Atlas
) -> None:
    """Raise `VolumeRefusedError` where a volume meets a protected place that nothing in `allowed` lifts."""
    admitted = [spot for spot in map(atlas.spot, allowed) if spot is not None and volume.is_within(spot)]
    for place in rules.places():
        spot = atlas.spot(place.path)
        if spot is None or not _meets(volume, spot, place.rule):
            continue
        if not any(_lifts(one, spot, place.rule) for one in admitted):
            raise VolumeRefusedError(
                f"volume {path!r} {place.rule.why} ({place.path!r})",
                hint=_way_out(place.rule.lift),
                rule=place.rule.name,
            )


def _meets(volume: Spot, place: Spot, rule: PlaceRule) -> bool:
    return place.is_within(volume) or (rule.reach is Reach.TREE and volume.is_within(place))


def _lifts(admitted: Spot, place: Spot, rule: PlaceRule) -> bool:
    match rule.lift:
        case Lift.NEVER:
            return False
        case Lift.BY_RULE:
            return True
        case Lift.BELOW:
            return admitted.is_within(place) and not place.is_within(admitted)


def _way_out(lift: Lift) -> str:
    match lift:
        case Lift.NEVER:
            return "this cannot be allowed; mount a directory of the container's own instead"
        case Lift.BY_RULE:
            return "name it in a [[volumes.rule]] of the configuration to allow it"
        case Lift.BELOW:
            return "only a [[volumes.rule]] for a path inside that place can allow it"


def type_of(label: Label) -> str:
    """Give the type in a label, "" where there is none."""
    parts = os.fsdecode((label or b"").rstrip(b"\0")).split(":", 3)
    return parts[2] if len(parts) >= 3 else ""


def type_rule_of(label: Label) -> TypeRule | None:
    """Give the rule that protects a label's type."""
    kind = type_of(label)
    return next((rule for rule in TYPES if any(fnmatchcase(kind, one) for one in rule.patterns)), None)


def is_left_alone(label: Label) -> bool:
    """Tell whether an inode found inside a volume keeps this label, whatever the target."""
    rule = type_rule_of(label)
    return rule is not None and rule.inside


def judge_type(label: Label, path: str, *, is_allowed: bool) -> None:
    """Raise `VolumeRefusedError` where a volume's root carries a protected type."""
    rule = type_rule_of(label)
    if rule is None or (rule.lift is not Lift.NEVER and is_allowed):
        return
    raise VolumeRefusedError(
        f"volume {path!r} {rule.why} ({type_of(label)!r})", hint=_way_out(rule.lift), rule=rule.name
    )
