"""Which complete volume is looked at again next.

A volume that the ledger has as complete is not walked when its container starts: that is what makes a start
quick at any size. What others did to its labels meanwhile (restorecon, a restored backup, a file moved in) is
found in the background, one volume after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Volume, VolumeId, VolumePhase

SHARE = 0.05
"""The part of the time that may be spent on looking again."""

SHORTEST = 0.05
"""Seconds between two looks, however short the first was."""


class Next(NamedTuple):
    """The volume to look at, None where none is due, and the seconds until one is; infinite without any."""

    volume: Volume | None
    wait: float


def next_to_confirm(cache: StateCache, confirmed: Mapping[VolumeId, float], now: float, every: float) -> Next:
    """Choose what was not looked at for the longest time, if that is `every` seconds ago or more.

    A volume counts as looked at when it was labelled; `confirmed` has the later times. Those that nobody who
    lives claims are given back soon, and are left alone.
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
    """Tell whether a volume is complete, and somebody who lives claims it."""
    if volume.phase is not VolumePhase.LABELLED:
        return False
    grants = (cache.grant(claim.grant) for claim in cache.claims_on(volume.id))
    return any(grant is not None and grant.state.is_living for grant in grants)


def rest_after(seconds: float) -> float:
    """Return the pause after a look that took so long, so that looks take no more than `SHARE` of the
    time."""
    return max(SHORTEST, seconds * (1 - SHARE) / SHARE)
