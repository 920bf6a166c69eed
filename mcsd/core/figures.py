"""Figures that are neither states nor events: what the daemon counts for its metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: `counts[i]` is the number of values up to `bounds[i]`, the last that of all others."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0
    """The sum of all values."""

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> Distribution:
        """Return an empty one; the bounds rise."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    def with_value(self, value: float) -> Distribution:
        """Count one value."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Distribution(self.bounds, counts, self.total + value)

    def cumulative(self) -> tuple[tuple[str, int], ...]:
        """Return the counts as Prometheus expects them: cumulative, up to each bound."""
        running, found = 0, []
        for bound, count in zip((*map(repr, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, running))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted since the daemon started, and the size of its files."""

    event_lag: Distribution
    """Seconds from the time that Docker gives an event until its container had been handled."""
    resyncs: Mapping[str, int] = field(default_factory=dict)
    """How often all containers were inspected again, by reason."""
    originals_bytes: int | None = None
    """The size of the originals on disk; None if their directory cannot be read."""
    watched: Mapping[str, int] = field(default_factory=dict)
    """Volumes by how changes to them become known: see `mcsd.core.disk.Watching`."""
    watched_directories: int = 0
    stray_levels: int = 0
    """Levels on files outside every volume, as found by scans."""
