"""The `DiskState` of each volume in use, from which isolation is judged.

Walks report when all of a volume was checked, the watch reports what has changed since, and nothing else
writes here. States are not persistent: after a restart, the time of labelling in the ledger counts until the
volume is checked again.
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
        """Call `listener` with a volume whenever its state has changed in a way that is reported."""
        self._listeners.append(listener)

    def state(self, volume: VolumeId) -> DiskState:
        """Return a volume's state as last checked."""
        state = self._states.get(volume, UNSEEN)
        if state.looked is not None:
            return state
        known = self._cache.volume(volume)
        if known is None or known.phase is not VolumePhase.LABELLED:
            return state
        return state.labelled_at(known.since)

    def put(self, volume: VolumeId, state: DiskState) -> None:
        """Store a volume's state."""
        before = self._states.get(volume, UNSEEN)
        self._states[volume] = state
        if before != state.labelled_at(before.looked):
            for listener in self._listeners:
                listener(volume)

    def seen_right(self, volume: VolumeId, now: float) -> None:
        """Record that all of a volume was checked and is correct."""
        self.put(volume, self._states.get(volume, UNSEEN).seen_right(now))

    def keep(self, volumes: Iterable[VolumeId]) -> None:
        """Remove all volumes except these."""
        kept = set(volumes)
        self._states = {volume: state for volume, state in self._states.items() if volume in kept}
