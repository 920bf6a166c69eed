"""The state of the disk for each volume that somebody lives on: kept here, read by whoever judges isolation.

Walks say when all of a volume was looked at, the watch says what has changed since, and nobody else writes.
States are not stored: after a start the ledger knows when each volume was labelled, and that is what counts
until it has been looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mcsd.core.disk import UNSEEN, DiskState
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import VolumeId, VolumePhase


class Disk:
    """Owned by the event loop's thread."""

    def __init__(self, cache: StateCache) -> None:
        self._cache = cache
        self._states: dict[VolumeId, DiskState] = {}
        self._listeners: list[Callable[[VolumeId], None]] = []

    def listen(self, listener: Callable[[VolumeId], None]) -> None:
        """Call `listener` with a volume whenever its state has changed in what anybody would be told."""
        self._listeners.append(listener)

    def state(self, volume: VolumeId) -> DiskState:
        """Return a volume's disk as last looked at."""
        state = self._states.get(volume, UNSEEN)
        if state.looked is not None:
            return state
        known = self._cache.volume(volume)
        if known is None or known.phase is not VolumePhase.LABELLED:
            return state
        return state.labelled_at(known.since)

    def put(self, volume: VolumeId, state: DiskState) -> None:
        """Take over what was seen of a volume."""
        before = self._states.get(volume, UNSEEN)
        self._states[volume] = state
        if before != state.labelled_at(before.looked):
            for listener in self._listeners:
                listener(volume)

    def seen_right(self, volume: VolumeId, now: float) -> None:
        """All of a volume was looked at, and is as it should be."""
        self.put(volume, self._states.get(volume, UNSEEN).seen_right(now))

    def keep(self, volumes: Iterable[VolumeId]) -> None:
        """Forget all volumes but these."""
        kept = set(volumes)
        self._states = {volume: state for volume, state in self._states.items() if volume in kept}
