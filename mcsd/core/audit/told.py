"""An audit as it is sent to the daemon, which serves it on its socket. Pure.

The audit is a program of its own (`mcsctl audit --tell`), because it examines what the daemon may not. The
daemon keeps the latest result, and judges nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from mcsd.core.audit.baseline import AuditOutcome
from mcsd.core.audit.findings import Finding
from mcsd.core.audit.telling import finding_object

MOST_FINDINGS = 1000
"""Findings that are sent, the worst ones; the others are only counted."""
MOST_TEXT, MOST_NAME, MOST_REASON = 8192, 256, 1024
"""Characters of a text, of a subject's name, and of a reason; the sender cuts longer ones."""


@dataclass(frozen=True, slots=True)
class ToldFinding:
    """One finding, as in `mcsctl audit --json`; `accepted` is why it does not count, or None."""

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
    """An audit. `time` is when mcsd received it, in seconds since the epoch."""

    containers: int
    findings: tuple[ToldFinding, ...]
    left_out: int = 0
    time: float = 0.0

    @property
    def open(self) -> int:
        """How many of the findings sent count."""
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
