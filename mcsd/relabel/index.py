"""Which inodes have a recorded original, and which one: small and sorted.

A class is a number for one (label, time of recording). Runs of sorted inode numbers are merged like a
binary counter, so that a million inodes cost some ten bytes each and a look-up a few bisections. Where an
inode was recorded more than once the higher class, which is the later record, counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence


def encode_inodes(inodes: Sequence[int]) -> bytes:
    """Write rising inode numbers as the differences between them, seven bits to a byte."""
    out = bytearray()
    last = 0
    for inode in inodes:
        delta, last = inode - last, inode
        while delta > 0x7F:
            out.append(delta & 0x7F | 0x80)
            delta >>= 7
        out.append(delta)
    return bytes(out)


def decode_inodes(data: bytes) -> array[int]:
    """Read what `encode_inodes` wrote; raises `ValueError` for anything else."""
    inodes = array("Q")
    inode = shift = delta = 0
    for byte in data:
        delta |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        inode += delta
        if inode >= 1 << 64:
            raise ValueError("an inode number does not fit 64 bits")
        inodes.append(inode)
        shift = delta = 0
    if shift:
        raise ValueError("the list of inodes ends in the middle of a number")
    return inodes


class Index:
    """Inode number to class. Not thread-safe: one walk owns it."""

    def __init__(self) -> None:
        self._runs: list[tuple[array[int], array[int]]] = []

    def add(self, encoded: bytes, kind: int) -> None:
        """Add inodes (as `encode_inodes` gives them) under a class no lower than any before."""
        inodes = decode_inodes(encoded)
        if not inodes:
            return
        run = (inodes, array("L", [kind]) * len(inodes))
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def find(self, inode: int) -> int:
        """Give an inode's class, -1 where none is recorded."""
        for inodes, kinds in reversed(self._runs):
            place = bisect_left(inodes, inode)
            if place < len(inodes) and inodes[place] == inode:
                return kinds[place]
        return -1

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[tuple[int, int]]:
        """Give (inode, class), rising by inode."""
        return iter(zip(*_folded(self._runs), strict=True))


def _folded(runs: Iterable[tuple[array[int], array[int]]]) -> tuple[array[int], array[int]]:
    whole: tuple[array[int], array[int]] = (array("Q"), array("L"))
    for run in runs:
        whole = _merged(whole, run)
    return whole


def _merged(
    older: tuple[array[int], array[int]], newer: tuple[array[int], array[int]]
) -> tuple[array[int], array[int]]:
    inodes, kinds = array("Q"), array("L")
    (one, one_kind), (two, two_kind) = older, newer
    i = j = 0
    while i < len(one) and j < len(two):
        if one[i] < two[j]:
            inodes.append(one[i])
            kinds.append(one_kind[i])
            i += 1
            continue
        i += one[i] == two[j]
        inodes.append(two[j])
        kinds.append(two_kind[j])
        j += 1
    inodes.extend(one[i:] or two[j:])
    kinds.extend(one_kind[i:] or two_kind[j:])
    return inodes, kinds
