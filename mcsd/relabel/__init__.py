"""The relabel engine: labels volumes safely, and restores their labels exactly (promises 3 to 6).

`Engine` is the interface. Everything is synchronous and thread-safe.
"""

from mcsd.core.walks import Progress, Root, SkipReason, StoredVolume, Walk
from mcsd.relabel.engine import Engine

__all__ = ["Engine", "Progress", "Root", "SkipReason", "StoredVolume", "Walk"]
