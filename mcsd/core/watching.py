"""What events in a watched volume mean: what is wrong, who caused it, and what has to be corrected.

Theory of operation
-------------------
An event (`WatchEvent`) is a hint. It says where something happened and which label the file had a moment
later. `judge` compares that with the current ledger, and returns a `Judgement`: which names are wrong, who
caused it as far as labels show, and whether so much is wrong, or so little is known, that the whole volume
has to be checked.

What always holds:

- What counts is the volume's current target in the ledger, and that it has a living claim.
- What a rule excludes from a walk (a second hard link, a protected type) is left alone here.
- A label does not prove who wrote it. It names a container only if nobody else holds its level; otherwise
  it was `SOMEBODY`.
- Nobody is named if an engine relabels a volume for a container that holds it: that happens at each start.

What a failure means: a duplicate event changes nothing; a lost one is found in the next round. If an event
cannot be judged, the whole volume is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.containers import Container
from mcsd.core.disk import Drift, WatchEvent, What
from mcsd.core.grants import Grant
from mcsd.core.labels import Label, level_in, level_of
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, Volume, VolumePhase, overlap
from mcsd.core.wishes import is_claimable

SOMEBODY = "somebody"
AMENDED_ALONE = 64
"""Files that are corrected one by one; if more are wrong, the whole volume is checked."""

_SETTLED = {ClaimState.REFUSED, ClaimState.UNMANAGED}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong in one volume. `names` are paths below its root, "" for the root itself.

    `who` is who caused it: `SOMEBODY` if that cannot be known, "" if the engine did it for a container that
    holds the volume, as at each start. `is_whole` says that the whole volume has to be checked.
    """

    findings: tuple[Drift, ...] = ()
    names: tuple[str, ...] = ()
    who: str = ""
    is_whole: bool = False


NOTHING = Judgement()


_SHARING = frozenset({ClaimMode.SHARED, ClaimMode.GROUP})


def holders(volume: Volume, cache: StateCache) -> tuple[tuple[Claim, Grant], ...]:
    """Return the living claims that a volume is labelled for, with their grants."""
    found = ((claim, cache.grant(claim.grant)) for claim in cache.claims_on(volume.id))
    return tuple(
        (claim, grant)
        for claim, grant in found
        if grant is not None and grant.state.is_living and claim.state not in _SETTLED
    )


def is_watchable(volume: Volume) -> bool:
    """Tell whether a volume has labels that could be changed."""
    return volume.phase in {VolumePhase.LABELLED, VolumePhase.LABELLING}


def is_shared_by_others(volume: Volume, cache: StateCache) -> tuple[Grant, ...]:
    """Return the grants whose level differs from the volume's: they share it with others."""
    if not any(claim.mode in _SHARING for claim in cache.claims_on(volume.id)):
        return ()  # as most volumes; this is asked of all at once
    return tuple(
        grant
        for claim, grant in holders(volume, cache)
        if claim.mode in _SHARING and grant.level != volume.level
    )


def judge(
    volume: Volume,
    sights: Sequence[WatchEvent],
    cache: StateCache,
    containers: Iterable[Container],
    is_left_alone: Callable[[str], bool],
) -> Judgement:
    """Judge events in one volume; `is_left_alone` tells which labels a walk leaves alone."""
    if not holders(volume, cache):
        return NOTHING
    wrong = {sight.path: sight for sight in sights if _is_wrong(sight, volume, is_left_alone)}
    if not wrong:
        return NOTHING
    seen = tuple(wrong.values())
    who = _who(seen, volume, cache, tuple(containers))
    names = tuple(name for one in seen if (name := _below(one.path, volume)) is not None)
    return Judgement(
        findings=tuple(_finding(one, who) for one in seen),
        names=names,
        who=who,
        is_whole=len(names) > AMENDED_ALONE or "" in names or len(names) < len(seen),
    )


def _is_wrong(sight: WatchEvent, volume: Volume, is_left_alone: Callable[[str], bool]) -> bool:
    if sight.what in {What.MOVED_OUT, What.MOUNTED} or sight.label == str(volume.target):
        return False
    if sight.links > 1 and not sight.is_directory:
        return False
    return sight.label is None or not is_left_alone(sight.label)


def _below(path: str, volume: Volume) -> str | None:
    """Return a path relative to a volume's root; None if the root has another path by now."""
    here = PurePosixPath(path)
    if not here.is_relative_to(volume.path):
        return None
    name = str(here.relative_to(volume.path))
    return "" if name == "." else name


_HOW = {
    What.RELABELLED: "its label was changed",
    What.MOVED_IN: "it was moved in with its label",
    What.CREATED: "it was made with another label",
    What.DIFFERS: "it does not carry the volume's label",
}


def _finding(sight: WatchEvent, who: str) -> Drift:
    label = sight.label or ""
    return Drift(sight.path, sight.what, label, who if who != SOMEBODY else "", _HOW[sight.what])


def _who(
    seen: Sequence[WatchEvent], volume: Volume, cache: StateCache, containers: Sequence[Container]
) -> str:
    """Return who changed labels, by what they are now: an engine writes its container's label."""
    labels = {one.label for one in seen if one.what is What.RELABELLED}
    own = {grant.container for _, grant in holders(volume, cache)}
    suspects = [one for one in containers if any(_explains(label, one, volume) for label in labels)]
    if any(one.id in own for one in suspects):
        return ""
    return f"container {suspects[0].name}" if suspects else SOMEBODY


def _explains(label: str | None, container: Container, volume: Volume) -> bool:
    """Tell whether a label is what the engine writes for one of a container's mounts of a volume."""
    target = volume.target
    if label is None or label.split(":", 3)[:3] != [target.user, target.role, target.type]:
        return False
    options: set[str] = set()
    for mount in container.mounts:
        if is_claimable(mount) and overlap(mount.source, volume.path):
            options |= mount.options
    if "Z" in options and _is_at(label, container.mount_label):
        return True
    return "z" in options and ":" in label and not _categories(label)


def _categories(label: str) -> bool:
    level = level_in(label)
    return level is None or bool(level.categories)


def _is_at(label: str, other: Label | None) -> bool:
    level = level_in(label)
    return level is not None and level == level_of(other)
