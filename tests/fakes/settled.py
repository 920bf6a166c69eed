"""The check that a test leaves nothing behind in this process: no thread, no descriptor, no child."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return found


def _children() -> set[str]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listing:
        return set(listing.read().split())


@contextmanager
def settled(*, within: float = 5.0) -> Iterator[None]:
    """Fail unless, `within` seconds of the block's end, everything that it started is gone.

    Threads are told apart by identity, descriptors by number and target.
    """
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    children = _children()
    yield
    gc.collect()
    deadline = time.monotonic() + within
    while True:
        left = {
            "threads": [thread.name for thread in threading.enumerate() if thread not in threads],
            "descriptors": [fd for fd in _descriptors().items() if fd not in descriptors.items()],
            "children": sorted(_children() - children),
        }
        if not any(left.values()):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: { {what: those for what, those in left.items() if those} }")
        time.sleep(0.01)
