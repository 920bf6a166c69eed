"""Writes tables of mcsd-recipes(7) and mcsd-audit(7) from the lists here; a test holds the pages to them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from tests.corpus import audited
from tests.corpus.compare import Listed, listed

_WHERE = {("watching", "gate"): "", ("gate",): " (with the gate)", ("watching",): " (without the gate)"}
_ON = {("debian", "fedora"): "", ("fedora",): "", ("debian",): ", on Debian's policy"}


def entries() -> Iterator[str]:
    """Return the page's entries, one for each row, as reStructuredText."""
    for row in listed():
        yield f"{row.title}\n    {_said(row)}"


def _stacks(services: Iterable[str]) -> set[str]:
    return {service.partition("/")[0] for service in services}


def open_in_stacks() -> Iterator[str]:
    """Return the lines of mcsd-audit(7): each rule, and the stacks in which it finds something."""
    everywhere = audited.listed("debian")
    for rule, services in audited.listed("fedora").items():
        common = _stacks(everywhere[rule])
        stacks = sorted(common | {f"{one} (on Fedora's policy)" for one in _stacks(services) - common})
        lead = f"    {rule:<20}"
        for line in textwrap.wrap(", ".join(stacks), width=110 - len(lead), break_on_hyphens=False):
            yield f"{lead}{line}"
            lead = " " * len(lead)


def _said(row: Listed) -> str:
    return f"{row.reason}{_WHERE[row.modes]}{_ON[row.policies]}. {row.remedy}"
