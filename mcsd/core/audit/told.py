"""An audit as it is told to the daemon, for whoever asks its socket. Pure.

The audit itself is a program of its own (`mcsctl audit --tell`), because it looks at what the daemon may not;
the daemon keeps the newest one that it was told, and judges nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from mcsd.core.audit.baseline import AuditOutcome
from mcsd.core.audit.findings import Finding
from mcsd.core.audit.telling import finding_object

MOST_FINDINGS = 1000
"""Findings that are told: the worst ones; the others are counted."""
MOST_TEXT, MOST_NAME, MOST_REASON = 8192, 256, 1024
"""Characters of a text, of a subject's name, and of a reason: what is longer is cut where it is told."""


@dataclass(frozen=True, slots=True)
class ToldFinding:
    """One finding, as `mcsctl audit --json` has it; `accepted` is why it does not count, or None."""

    key: str
    rule: str
    severity: str
    title: str
    subject: str
    container: str | None
    text: str
    seen: str
    remedy: str
    accepted: str | None = None


@dataclass(frozen=True, slots=True)
class ToldAudit:
    """An audit. `time` is when mcsd was told, in seconds since the epoch."""

    containers: int
    findings: tuple[ToldFinding, ...]
    left_out: int = 0
    time: float = 0.0

    @property
    def open(self) -> int:
        """How many findings count, of those that were told."""
        return sum(one.accepted is None for one in self.findings)


_SHOWN = tuple(field.name for field in fields(ToldFinding) if field.name != "accepted")
_LONGEST = {"subject": MOST_NAME, "accepted": MOST_REASON}


def _finding(finding: Finding, accepted: str | None) -> dict[str, Any]:
    shown = finding_object(finding, is_new=False, reason=accepted)
    told = {name: shown[name] for name in _SHOWN} | {"accepted": shown["ignored"]}
    return {
        name: value[: _LONGEST.get(name, MOST_TEXT)] if isinstance(value, str) else value
        for name, value in told.items()
    }


def telling(outcome: AuditOutcome, *, audited: int) -> dict[str, Any]:
    """Make the body of `POST /v1/audit`: what counts before what is accepted, the worst first."""
    everything: Iterable[tuple[Finding, str | None]] = (
        *((one, None) for one in outcome.open),
        *outcome.accepted,
    )
    findings = [_finding(one, accepted) for one, accepted in everything]
    return {
        "containers": audited,
        "findings": findings[:MOST_FINDINGS],
        "left_out": max(0, len(findings) - MOST_FINDINGS),
    }
