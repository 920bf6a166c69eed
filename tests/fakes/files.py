"""The host's files in memory, to be scanned, and what scans have found: `FileScanner` and `StrayStore`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from mcsd.core.labels import Level
from mcsd.core.strays import Catch, Stray, is_at_or_below, level_on


class FakeFiles:
    """Labels by path; each of `mounted` is a place of its own. A scan waits for `gate` before each file."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.mounted: tuple[str, ...] = ("/",)
        self.scanned: list[str] = []
        self.error: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def places(self, top: str) -> tuple[str, ...]:
        """See `mcsd.ports.FileScanner`."""
        if not top:
            return self.mounted
        return (top, *(one for one in self.mounted if one != top and is_at_or_below(one, top)))

    def scan(
        self,
        place: str,
        *,
        after: str,
        share: float,
        told: Callable[[str, int, int], None],
        met: Callable[[str, str, Level], None],
        stopped: threading.Event,
    ) -> bool:
        """See `mcsd.ports.FileScanner`."""
        if self.error is not None:
            raise self.error
        for number, (path, label) in enumerate(sorted(self.labels.items())):
            inner = max((one for one in (*self.mounted, place) if is_at_or_below(path, one)), key=len)
            if inner != place or path < after:
                continue
            while not self.gate.wait(0.005):
                if stopped.is_set():
                    return False
            told(path, number, 0)
            self.scanned.append(path)
            level = level_on(label)
            if level is not None:
                met(path, label, level)
        return True

    def level_at(self, path: str) -> Level | None:
        """See `mcsd.ports.FileScanner`."""
        return level_on(self.labels[path]) if path in self.labels else None


class FakeStrays:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.kept: tuple[Catch, Mapping[Level, Stray]] = (Catch(), {})

    def load(self) -> tuple[Catch, Mapping[Level, Stray]]:
        """See `mcsd.ports.StrayStore`."""
        return self.kept

    def save(self, catch: Catch, caught: Mapping[Level, Stray]) -> None:
        """See `mcsd.ports.StrayStore`."""
        self.kept = (catch, dict(caught))
