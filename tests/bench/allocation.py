"""How long an allocation takes at any fill, and what the allocator weighs.

    python -m tests.bench.allocation [--json]

An allocation is a choice and its taking, over all pairs of 1024 categories but the reserved one, with the
randomness of production. At each fill small batches are allocated and, off the clock, given back. To reach:
20 µs at any fill.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
from pathlib import Path
from statistics import median
from time import perf_counter

from mcsd.core.allocation import Allocator, Holder, HolderKind
from mcsd.core.labels import CategoryPair, Level
from mcsd.errors import ExhaustedError

FILLS = (0.0, 50.0, 99.0, 99.99)
ROUNDS = 2_000
BATCH = 20
TARGET = 20.0
"""Microseconds."""

RESERVED = CategoryPair(1022, 1023).level


def resident() -> int:
    """Bytes of memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _allocate(allocator: Allocator, number: int) -> tuple[Level, Holder]:
    level = allocator.choose().level
    holder = Holder(HolderKind.GRANT, f"container {number}")
    allocator.take(level, holder)
    return level, holder


def _fill(allocator: Allocator, percent: float) -> None:
    counts = allocator.counts()
    for number in range(int(counts.total * percent / 100) - (counts.total - counts.free)):
        _allocate(allocator, number)


def _time_at_this_fill(allocator: Allocator) -> float:
    """Microseconds of an allocation in the median batch: what else the machine does is not counted."""
    batches = []
    for _ in range(ROUNDS):
        began = perf_counter()
        taken = [_allocate(allocator, number) for number in range(BATCH)]
        batches.append(perf_counter() - began)
        for level, holder in taken:
            allocator.give_back(level, holder)
    return median(batches) / BATCH * 1e6


def _exhaust() -> tuple[int, float]:
    allocator = _empty()
    began = perf_counter()
    number = 0
    while True:
        try:
            _allocate(allocator, number)
        except ExhaustedError:
            return number, perf_counter() - began
        number += 1


def _empty() -> Allocator:
    allocator = Allocator(low=0, high=1023, random=random.SystemRandom())
    allocator.take(RESERVED, Holder(HolderKind.CONFIGURED, str(RESERVED)))
    return allocator


def measure() -> dict[str, object]:
    """Run it all; about half a minute."""
    gc.collect()
    before = resident()
    allocator = _empty()
    empty = resident() - before
    for number in range(1_000):
        _allocate(allocator, number)
    thousand = resident() - before
    allocator = _empty()
    times = {}
    for percent in FILLS:
        _fill(allocator, percent)
        times[f"{percent:g}"] = round(_time_at_this_fill(allocator), 2)
    del allocator
    gc.collect()
    number, seconds = _exhaust()
    return {
        "microseconds_at_percent_full": times,
        "exhausted_after": number,
        "exhausted_seconds": round(seconds, 2),
        "microseconds_until_exhausted": round(seconds / number * 1e6, 2),
        "bytes_empty": empty,
        "bytes_with_1000_holders": thousand,
        "target_microseconds": TARGET,
        "reached": all(time <= TARGET for time in times.values()),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.allocation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found = measure()
    if asked.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:32} {value}")


if __name__ == "__main__":
    main()
