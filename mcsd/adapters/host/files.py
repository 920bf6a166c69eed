"""The host's own file systems, scanned for labels: `mcsd.ports.FileScanner` over `mcsd.relabel.scanning`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from mcsd.core.labels import Level
from mcsd.core.strays import level_on
from mcsd.relabel import kernel
from mcsd.relabel.scanning import NOT_LABELLED, Scan, scannable


class HostFiles:
    """See the port. Each label is parsed once."""

    def places(self, top: str) -> tuple[str, ...]:
        """See `mcsd.ports.FileScanner`."""
        return scannable(top)

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
        known: dict[bytes, Level | None] = {}

        def level_of(label: bytes) -> Level | None:
            if label not in known:
                known[label] = level_on(_text(label)) if b":c" in label else None
            return known[label]

        def found(path: str, label: bytes) -> None:
            level = level_of(label)
            if level is not None:
                met(path, _text(label), level)

        wants = Scan(lambda label: level_of(label) is not None, found, told, stopped, share, after)
        return wants.run(place)

    def level_at(self, path: str) -> Level | None:
        """See `mcsd.ports.FileScanner`."""
        try:
            label = os.getxattr(path, kernel.LABEL, follow_symlinks=False)
        except OSError as exc:
            if exc.errno in NOT_LABELLED:
                return None
            raise
        return level_on(_text(label))


def _text(label: bytes) -> str:
    return os.fsdecode(label.rstrip(b"\0"))
