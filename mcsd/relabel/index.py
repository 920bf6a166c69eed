"""Which inodes have a recorded original, and which one, as intervals.

Trees are created file by file, so neighbouring inode numbers mostly have the same original: a million files
are some thousand intervals. `Intervals` is the Python version of what the C extension keeps; both pass the
same tests. If an inode was recorded more than once, the last record counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mcsd.core.walks import RawLabel


@dataclass(frozen=True, slots=True)
class OriginalLabel:
    """The label that some inodes had when they were read, at `time` (ns since the epoch)."""

    label: RawLabel
    time: int


class Index(Protocol):
    """A map from inode numbers to originals."""

    def add(self, encoded: bytes, time: int, label: RawLabel) -> None:
        """Add inodes, encoded by `encode_inodes`; raises `ValueError` for anything else."""
        ...

    def find(self, inode: int) -> tuple[int, RawLabel] | None:
        """Return the time and the label of an inode's original, None if none is recorded."""
        ...

    def groups(self) -> list[tuple[int, RawLabel, bytes]]:
        """Return everything as `add` takes it: time, label, encoded inodes, in the order of adding."""
        ...


class Span(NamedTuple):
    """Inodes from `first` up to but not including `end`; `origin` rises with the order of recording."""

    first: int
    end: int
    origin: int


def encode_inodes(inodes: Iterable[int]) -> bytes:
    """Encode rising inode numbers as runs of neighbours: see `encode_spans`."""
    return encode_spans(_neighbours(inodes))


def encode_spans(spans: Iterable[tuple[int, int]]) -> bytes:
    """Encode rising (first, end) pairs: the gap before each, and its length.

    Numbers are written seven bits to a byte, the lowest first, with the eighth bit set on all but the last.
    """
    out = bytearray()
    last = 0
    for first, end in spans:
        for number in (first - last, end - first):
            while number > 0x7F:
                out.append(number & 0x7F | 0x80)
                number >>= 7
            out.append(number)
        last = end
    return bytes(out)


def _neighbours(inodes: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = end = -1
    for inode in inodes:
        if first >= 0 and inode <= end:
            end = max(end, inode + 1)
            continue
        if first >= 0:
            yield first, end
        first, end = inode, inode + 1
    if first >= 0:
        yield first, end


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if number >= 1 << 64:
            raise ValueError("a number in the list of inodes does not fit 64 bits")
        if byte & 0x80:
            shift += 7
            continue
        yield number
        number = shift = 0
    if shift:
        raise ValueError("the list of inodes ends in the middle of a number")


def decode_inodes(data: bytes) -> list[tuple[int, int]]:
    """Decode `encode_inodes`' output to pairs of (first, end); raises `ValueError` for anything else."""
    spans: list[tuple[int, int]] = []
    end = 0
    numbers = _numbers(data)
    for gap in numbers:
        count = next(numbers, 0)
        first, end = end + gap, end + gap + count
        if not 0 < count < 1 << 32 or end >= 1 << 64:
            raise ValueError("the list of inodes has a run of impossible length")
        spans.append((first, end))
    return spans


class Intervals:
    """An `Index` in plain Python. Not thread-safe: one walk owns it."""

    def __init__(self) -> None:
        self._runs: list[list[Span]] = []
        self._origins: list[tuple[int, RawLabel]] = []

    def add(self, encoded: bytes, time: int, label: RawLabel) -> None:
        """See `Index`."""
        run = list(_joined(Span(first, end, len(self._origins)) for first, end in decode_inodes(encoded)))
        self._origins.append((time, label))
        if not run:
            return
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = list(_joined(_merged(self._runs.pop(), run)))
        self._runs.append(run)

    def find(self, inode: int) -> tuple[int, RawLabel] | None:
        """See `Index`."""
        for run in reversed(self._runs):
            place = bisect_right(run, inode, key=lambda span: span.first)
            if place and inode < run[place - 1].end:
                return self._origins[run[place - 1].origin]
        return None

    def groups(self) -> list[tuple[int, RawLabel, bytes]]:
        """See `Index`."""
        whole: list[Span] = []
        for run in self._runs:
            whole = list(_merged(whole, run))
        spans: dict[int, list[tuple[int, int]]] = {}
        for span in whole:
            spans.setdefault(span.origin, []).append((span.first, span.end))
        return [(*self._origins[one], encode_spans(spans[one])) for one in sorted(spans)]


def _merged(older: list[Span], newer: list[Span]) -> Iterator[Span]:
    """Merge two runs; where they overlap, `newer` counts."""
    i = 0
    start = older[0].first if older else 0
    for new in newer:
        while i < len(older) and start < new.end:
            old = older[i]
            if start < new.first:
                yield Span(start, min(old.end, new.first), old.origin)
            if old.end > new.end:
                start = new.end
                break
            i += 1
            start = older[i].first if i < len(older) else 0
        yield new
    if i < len(older):
        yield Span(start, older[i].end, older[i].origin)
        yield from older[i + 1 :]


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for span in spans:
        if last is not None and (last.end, last.origin) == (span.first, span.origin):
            last = Span(last.first, span.end, last.origin)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last
