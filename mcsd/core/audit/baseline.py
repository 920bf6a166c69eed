"""The baseline: findings that are accepted for a reason, and those that were known before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcsd.core.audit.findings import RULES, Finding, Severity
from mcsd.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Ignored:
    """An entry of the baseline: findings that do not count.

    `target` is a rule's id, or the first parts of a key.
    """

    target: str
    reason: str

    @classmethod
    def parse(cls, text: str) -> Ignored:
        """Read `ID=reason`; raise `ConfigurationError` for an unknown rule or a missing reason."""
        target, _, reason = (part.strip() for part in text.partition("="))
        rule = target.split("/", 1)[0]
        if rule not in RULES:
            raise ConfigurationError(
                f"{text!r}: there is no rule {rule!r}",
                hint="mcsd-audit(7) lists the rules",
            )
        if not reason:
            raise ConfigurationError(
                f"{text!r}: there is no reason", hint=f"write '{target}=why that is accepted'"
            )
        return cls(target, reason)

    def covers(self, finding: Finding) -> bool:
        """Tell whether the entry covers a finding; only whole parts of the key match."""
        return finding.key == self.target or finding.key.startswith(f"{self.target}/")


@dataclass(frozen=True, slots=True)
class AuditOutcome:
    """An audit after its baseline: what counts (the worst first), what is accepted and why, and the entries
    that match nothing."""

    open: tuple[Finding, ...]
    accepted: tuple[tuple[Finding, str], ...] = ()
    idle: tuple[Ignored, ...] = ()
    """Entries that cover no finding: what they were for may have been fixed."""

    def worst(self) -> Severity | None:
        """Return the highest severity that counts."""
        return max((one.weight for one in self.open), default=None)


def settle(
    findings: Sequence[Finding], ignored: Iterable[Ignored], *, least: Severity = Severity.LOW
) -> AuditOutcome:
    """Split findings into those that count and those that are accepted; none below `least` counts."""
    wishes = tuple(ignored)
    counted, accepted = [], []
    used: set[Ignored] = set()
    for finding in findings:
        meant = [one for one in wishes if one.covers(finding)]
        used |= set(meant)
        if meant:
            accepted.append((finding, meant[0].reason))
        elif finding.weight >= least:
            counted.append(finding)
    return AuditOutcome(tuple(counted), tuple(accepted), tuple(one for one in wishes if one not in used))


def news(findings: Sequence[Finding], known: Iterable[str]) -> tuple[Finding, ...]:
    """Return those findings whose keys were not known before."""
    before = frozenset(known)
    return tuple(one for one in findings if one.key not in before)
