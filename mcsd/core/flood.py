"""Rate limits for messages: one token bucket for each kind, and a count of what it suppressed.

A bucket starts full with `burst` tokens and gains `rate` a second. A message takes one; without one it is
suppressed and counted. Nothing is dropped silently: the count is reported with the next message of its kind
that is admitted, or by `overdue` once the bucket has a token again, whichever is first.

Times are seconds of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class FloodDecision:
    """Whether a message is admitted; `held_back` of its kind were not since the last count."""

    admitted: bool
    held_back: int = 0


class Flood(Generic[Key]):
    """The buckets of all kinds. Not thread-safe."""

    def __init__(self, *, burst: int, rate: float) -> None:
        if burst < 1 or rate <= 0:
            raise ValueError(f"burst {burst} and rate {rate} would hold back everything for ever")
        self._burst = burst
        self._rate = rate
        self._buckets: dict[Key, _Bucket] = {}

    def admit(self, key: Key, now: float) -> FloodDecision:
        """Judge one message of a kind."""
        bucket = self._filled(key, now)
        if bucket.tokens < 1:
            bucket.held_back += 1
            return FloodDecision(False)
        bucket.tokens -= 1
        held_back, bucket.held_back = bucket.held_back, 0
        return FloodDecision(True, held_back)

    def overdue(self, now: float) -> tuple[tuple[Key, int], ...]:
        """Return, once each, the counts whose bucket has a token again; reporting one takes that token."""
        found = []
        for key in self._buckets:
            bucket = self._filled(key, now)
            if bucket.held_back and bucket.tokens >= 1:
                found.append((key, bucket.held_back))
                bucket.tokens -= 1
                bucket.held_back = 0
        return tuple(found)

    def drain(self) -> tuple[tuple[Key, int], ...]:
        """Return all counts, with or without tokens, at shutdown."""
        found = tuple((key, bucket.held_back) for key, bucket in self._buckets.items() if bucket.held_back)
        for key, _ in found:
            self._buckets[key].held_back = 0
        return found

    def is_holding(self) -> bool:
        """Whether a count has yet to be reported."""
        return any(bucket.held_back for bucket in self._buckets.values())

    def _filled(self, key: Key, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(key, _Bucket(float(self._burst), now))
        gained = max(0.0, now - bucket.filled) * self._rate
        bucket.tokens = min(float(self._burst), bucket.tokens + gained)
        bucket.filled = max(bucket.filled, now)
        return bucket
