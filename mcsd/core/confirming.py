"""Which complete volume is looked at again next.

A volume that the ledger has as complete is not walked when its container starts: that is what makes a start
quick at any size. What others did to its labels meanwhile (restorecon, a restored backup, a file moved in) is
found in the background, one volume after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcsd.core.book import Book
from mcsd.core.volumes import Volume, VolumeId, VolumePhase

SHARE = 0.05
"""The part of the time that may be spent on looking again."""


class Next(NamedTuple):
    """The volume to look at, None where none is due, and the seconds until one is; infinite without any."""

    volume: Volume | None
    wait: float


def next_to_confirm(book: Book, confirmed: Mapping[VolumeId, float], now: float, every: float) -> Next:
    """Choose what was not looked at for the longest time, if that is `every` seconds ago or more.

    A volume counts as looked at when it was labelled; `confirmed` has the later times. Those that nobody who
    lives claims are given back soon, and are left alone.
    """
    due = [
        (max(volume.since, confirmed.get(volume.id, 0.0)) + every, volume)
        for volume in book.volumes()
        if volume.phase is VolumePhase.LABELLED and _is_claimed(volume.id, book)
    ]
    if not due:
        return Next(None, float("inf"))
    when, volume = min(due, key=lambda one: (one[0], one[1].id))
    return Next(volume, 0.0) if when <= now else Next(None, when - now)


def _is_claimed(volume: VolumeId, book: Book) -> bool:
    grants = (book.grant(claim.grant) for claim in book.claims_on(volume))
    return any(grant is not None and grant.state.is_living for grant in grants)


def rest_after(seconds: float) -> float:
    """Give the pause after a look that took so long, so that looks take no more than `SHARE` of the time."""
    return max(1.0, seconds * (1 - SHARE) / SHARE)
