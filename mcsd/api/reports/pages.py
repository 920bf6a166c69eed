"""Pages of a sorted list that stay consistent while entries are added and removed.

An entry's place is a string, and a page begins after a place, whether or not that entry still exists.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mcsd.api.reports.models import ContainerReport, PairReport, VolumeReport
from mcsd.core.labels import Level
from mcsd.errors import LabelSyntaxError, RequestError

T = TypeVar("T")

LONGEST = 1000
"""The most entries on one page."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries, how many there are on all pages, and where the next page begins."""

    items: tuple[T, ...]
    total: int
    next: str | None


def encode_place(place: str) -> str:
    """Encode a place for a URL."""
    return base64.urlsafe_b64encode(place.encode("utf-8")).decode("ascii").rstrip("=")


def decode_place(text: str) -> str:
    """Decode the result of `encode_place`; raise `RequestError` for anything else."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as exc:
        raise RequestError(
            f"after={text!r} does not come from a page's 'next'", hint="begin again without after"
        ) from exc


def page_of(items: Iterable[T], place: Callable[[T], str], *, after: str | None, limit: int) -> Page[T]:
    """Return a page of at most `limit` entries, in the order of their places."""
    everything = sorted(items, key=place)
    start = decode_place(after) if after is not None else None
    rest = everything if start is None else [item for item in everything if place(item) > start]
    shown = tuple(rest[:limit])
    more = encode_place(place(shown[-1])) if len(rest) > limit else None
    return Page(shown, len(everything), more)


def place_of_container(report: ContainerReport) -> str:
    """Sort by name."""
    return f"{report.name}\0{report.id}"


def place_of_volume(report: VolumeReport) -> str:
    """Sort by path."""
    return f"{report.path}\0{report.id or ''}"


def place_of_pair(report: PairReport) -> str:
    """Sort by the level's categories, then by holder."""
    try:
        numbers = Level.parse(report.level).numbers()
    except LabelSyntaxError:
        numbers = ()
    holder = (report.level, report.name, report.container, report.state, report.since, report.pid)
    return ",".join(f"{n:04d}" for n in numbers) + "\0" + "\0".join(str(part or "") for part in holder)
