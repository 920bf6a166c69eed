"""Which complete volume is checked again next.

A volume that is complete in the ledger is not walked when its container starts, so a start is quick whatever
the size. Changes to its labels meanwhile (restorecon, a restored backup, a file moved in) are found in the
background, one volume after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Volume, VolumeId, VolumePhase

SHARE = 0.05
"""The fraction of the time that may be spent on checking."""

SHORTEST = 0.05
"""The least number of seconds between two checks."""


class Next(NamedTuple):
    """The volume to check, None if none is due, and the seconds until one is; infinite without any."""

    volume: Volume | None
    wait: float


def next_to_confirm(cache: StateCache, confirmed: Mapping[VolumeId, float], now: float, every: float) -> Next:
    """Choose the volume whose last check is the longest ago, if that is `every` seconds or more.

    Labelling counts as a check; `confirmed` has the times of later ones. Volumes without a living claim are
    restored soon, and are skipped.
    """
    due = [
        (max(volume.since, confirmed.get(volume.id, 0.0)) + every, volume)
        for volume in cache.volumes()
        if is_confirmable(volume, cache)
    ]
    if not due:
        return Next(None, float("inf"))
    when, volume = min(due, key=lambda one: (one[0], one[1].id))
    return Next(volume, 0.0) if when <= now else Next(None, when - now)


def is_confirmable(volume: Volume, cache: StateCache) -> bool:
    """Tell whether a volume is complete and has a living claim."""
    if volume.phase is not VolumePhase.LABELLED:
        return False
    grants = (cache.grant(claim.grant) for claim in cache.claims_on(volume.id))
    return any(grant is not None and grant.state.is_living for grant in grants)


def rest_after(seconds: float) -> float:
    """Return the pause after a check that took `seconds`, so that checks take at most `SHARE` of the time."""
    return max(SHORTEST, seconds * (1 - SHARE) / SHARE)
