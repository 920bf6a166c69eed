"""The relabel engine: labels volumes safely, and takes the labels back exactly (promises 3 to 6).

`Engine` is the door. Everything is synchronous and thread-safe; `Lanes` runs it beside an event loop.
"""

from mcsd.relabel.engine import Engine
from mcsd.relabel.lanes import Lanes
from mcsd.relabel.values import Progress, Root, SkipReason, StoredVolume, Walk

__all__ = ["Engine", "Lanes", "Progress", "Root", "SkipReason", "StoredVolume", "Walk"]
