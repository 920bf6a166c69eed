"""Blocks of pairs: what hosts take from a common store, so that single starts need not ask it.

Theory of operation
-------------------
The pairs of c0 to c959 are cut into 959 blocks of 480, by their ranks among all pairs
(`mcsd.core.pairs.EVERY_PAIR`). These pairs come first in that order, and 960 · 959 / 2 = 959 · 480. A block
is held by one host at most, and a host chooses pairs from its own blocks only. Two different pairs are never
comparable, so the containers of different hosts are separate.

The pairs of c960 to c1021 are for groups. A member's level has its own pair and the group's
(`mcsd.core.groups`), and so dominates four more pairs, each with one category of both. If the group's came
from the same categories as others' pairs, one of the four could be another host's container. As it is,
nobody's: no block has a pair with a category above c959.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcsd.core.labels import CategoryPair
from mcsd.core.pairs import EVERY_PAIR, PairRun

HIGHEST = 959
"""The last category of pairs in blocks."""
BLOCK = 480
"""Pairs in a block."""
BLOCKS = PairRun(0, HIGHEST).total // BLOCK
MOST_HELD = 100
"""Blocks that a host may hold: 48,000 pairs. It bounds what a host can take from the others."""
GROUP_PAIRS = PairRun(HIGHEST + 1, 1021)
"""The pairs of groups."""


def block_of(pair: CategoryPair) -> int | None:
    """Return the block that a pair is in; None if it is in none."""
    rank = EVERY_PAIR.rank_of(pair)
    assert rank is not None
    return rank // BLOCK if rank < BLOCKS * BLOCK else None


def ranks_of(block: int) -> range:
    """Return the ranks of a block's pairs among all pairs."""
    return range(block * BLOCK, (block + 1) * BLOCK)


def listed(blocks: Iterable[int]) -> str:
    """Write a set of blocks, such as `0-3,7`."""
    return ",".join(f"{low}-{high}" if low < high else f"{low}" for low, high in _runs(blocks))


def _runs(blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
    run: tuple[int, int] | None = None
    for block in sorted(set(blocks)):
        if run is not None and block == run[1] + 1:
            run = run[0], block
        else:
            if run is not None:
                yield run
            run = block, block
    if run is not None:
        yield run
