"""A journal in memory."""

from __future__ import annotations

from mcsd.core.notices import Kind, Notice


class MemoryJournal:
    """`mcsd.ports.Journal` that keeps everything, oldest first."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def emit(self, notice: Notice) -> None:
        """See `mcsd.ports.Journal`; a sentence that cannot be made is the test's failure."""
        assert notice.sentence
        self.notices.append(notice)

    def of(self, kind: Kind) -> list[Notice]:
        """Return the notices of a kind."""
        return [notice for notice in self.notices if notice.kind is kind]

    def kinds(self) -> list[Kind]:
        """Return the kinds, in order."""
        return [notice.kind for notice in self.notices]
