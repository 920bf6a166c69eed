"""Writes the table of mcsd-recipes(7) from `differences.toml`; a test holds that the page has it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.compare import Listed, listed

_WHERE = {("watching", "gate"): "", ("gate",): " (with the gate)", ("watching",): " (without the gate)"}
_ON = {("debian", "fedora"): "", ("fedora",): "", ("debian",): ", on Debian's policy"}


def entries() -> Iterator[str]:
    """Return the page's entries, one for each row, as reStructuredText."""
    for row in listed():
        yield f"{row.title}\n    {_said(row)}"


def _said(row: Listed) -> str:
    return f"{row.reason}{_WHERE[row.modes]}{_ON[row.policies]}. {row.remedy}"
