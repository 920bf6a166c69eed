"""What a script says in TAP: claims, comments, and how many claims there should have been."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CLAIM = re.compile(r"^(not )?ok (\d+)(?: - (.*))?$")
_PLAN = re.compile(r"^1\.\.(\d+)$")


@dataclass(frozen=True, slots=True)
class Claim:
    number: int
    text: str
    holds: bool
    shown: tuple[str, ...]
    """The comments above it: the command and its output."""


@dataclass(frozen=True, slots=True)
class Story:
    claims: tuple[Claim, ...]
    planned: int | None

    def complaints(self) -> Sequence[str]:
        """Everything that keeps the story from being a success, for a person to read."""
        wrong = [
            "\n".join([f"not ok {claim.number} - {claim.text}", *claim.shown])
            for claim in self.claims
            if not claim.holds
        ]
        if self.planned is None:
            wrong.append("the script ended without a plan: it did not come to its end")
        elif self.planned != len(self.claims):
            wrong.append(f"planned {self.planned} claims, made {len(self.claims)}")
        elif not self.claims:
            wrong.append("nothing was claimed")
        numbers = [claim.number for claim in self.claims]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"the claims are not numbered in order: {numbers}")
        return wrong


def read(text: str) -> Story:
    claims: list[Claim] = []
    shown: list[str] = []
    planned = None
    for line in text.splitlines():
        if found := _CLAIM.match(line):
            claims.append(Claim(int(found[2]), found[3] or "", found[1] is None, tuple(shown)))
            shown = []
        elif found := _PLAN.match(line):
            planned = int(found[1])
        else:
            shown.append(line)
    return Story(tuple(claims), planned)
