"""Figures that are neither a state nor an event: what the daemon counts on the way, for its measurements."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often values were how large: `counts[i]` is of those up to `bounds[i]`, the last of all others."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0
    """The sum of all values."""

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> Distribution:
        """Begin one without values; the bounds rise."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    def with_value(self, value: float) -> Distribution:
        """Count one value."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Distribution(self.bounds, counts, self.total + value)

    def cumulative(self) -> tuple[tuple[str, int], ...]:
        """Return the counts as Prometheus has them: up to each bound, all smaller ones included."""
        running, found = 0, []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted since the daemon started, and what its files take up now."""

    event_lag: Distribution
    """Seconds from the time Docker gives an event until its container had been looked after."""
    resyncs: Mapping[str, int] = field(default_factory=dict)
    """How often all containers were looked at anew, by why."""
    originals_bytes: int | None = None
    """What the originals on disk take up; None where their directory cannot be read."""
    watched: Mapping[str, int] = field(default_factory=dict)
    """Volumes by how changes to them become known: see `mcsd.core.disk.Watching`."""
    watched_directories: int = 0
    stray_levels: int = 0
    """Levels that files outside every volume carry, as far as scans have found."""
