"""Ratios that were reached once, and must not be lost by more than a quarter.

Only ratios of things measured in turn: times by themselves say more about the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

LOST = 1.25
"""So many times as large as it was."""


def lost(found: Mapping[str, float], reached: Mapping[str, float]) -> list[str]:
    """Name the ratios that were reached and are not any more."""
    return [
        f"lost: {name}: {found[name]:.2f}, and was {ratio}"
        for name, ratio in reached.items()
        if name in found and found[name] > LOST * ratio
    ]
