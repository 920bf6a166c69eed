"""An audit as documents: our own JSON, and SARIF 2.1.0 for programs that collect findings of many tools.

Neither contains a time: the same findings give the same bytes, so two runs can be compared.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mcsd.core.audit.baseline import AuditOutcome
from mcsd.core.audit.findings import RULES, AuditRule, Finding, Severity
from mcsd.core.json_values import encodable

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "mcsdKey/v1"

_LEVELS = {
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORES = {Severity.LOW: "3.0", Severity.MEDIUM: "5.5", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}
"""`security-severity`, by which readers of SARIF sort: like a CVSS score."""


def finding_object(finding: Finding, *, is_new: bool, reason: str | None = None) -> dict[str, Any]:
    """Return a finding as in JSON; `reason` is why it is accepted, None if it counts."""
    told = {
        "key": finding.key,
        "rule": finding.rule.id,
        "severity": finding.weight.word,
        "title": finding.rule.title,
        "subject": finding.subject,
        "container": finding.container or None,
        "object": finding.object or None,
        "text": finding.text,
        "seen": finding.seen,
        "remedy": finding.remedy,
        "guide": finding.rule.guide or None,
        "cis": finding.rule.cis or None,
        "new": is_new,
        "ignored": reason,
    }
    return {key: encodable(value) for key, value in told.items()}


def as_json(outcome: AuditOutcome, *, new: Iterable[str], audited: int) -> dict[str, Any]:
    """Return an audit as JSON; `new` are the keys that were not known before, `audited` the number of
    containers examined."""
    keys = frozenset(new)
    counts = Counter(one.weight.word for one in outcome.open)
    return {
        "version": 1,
        "containers": audited,
        "counts": {severity.word: counts[severity.word] for severity in reversed(Severity)},
        "findings": [finding_object(one, is_new=one.key in keys) for one in outcome.open],
        "ignored": [finding_object(one, is_new=False, reason=reason) for one, reason in outcome.accepted],
        "idle": [{"id": one.target, "reason": one.reason} for one in outcome.idle],
    }


def _rule(rule: AuditRule) -> dict[str, Any]:
    tags = ["security", "containers"]
    tags += [f"guide/{rule.guide}"] if rule.guide else []
    tags += [f"cis-docker-1.6/{rule.cis}"] if rule.cis else []
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": tags, "security-severity": _SCORES[rule.severity]},
    }


def _result(finding: Finding, host: str, index: int, reason: str | None) -> dict[str, Any]:
    where = f"{host}/{finding.subject}"
    told: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.weight],
        "message": {
            "text": encodable(
                f"{finding.subject}: {finding.text}. Seen: {finding.seen}. To mend: {finding.remedy}"
            )
        },
        "locations": [
            {
                "logicalLocations": [
                    {
                        "name": encodable(finding.subject),
                        "fullyQualifiedName": encodable(where),
                        "kind": "resource",
                    }
                ]
            }
        ],
        "partialFingerprints": {
            FINGERPRINT: hashlib.sha256(finding.key.encode("utf-8", "backslashreplace")).hexdigest()
        },
        "properties": {"key": encodable(finding.key), "security-severity": _SCORES[finding.weight]},
    }
    if reason is not None:
        told["suppressions"] = [{"kind": "external", "justification": encodable(reason)}]
    return told


def as_sarif(outcome: AuditOutcome, *, host: str, version: str) -> dict[str, Any]:
    """Return an audit as SARIF 2.1.0; accepted findings are included, suppressed."""
    places = {name: index for index, name in enumerate(RULES)}
    told = [*((one, None) for one in outcome.open), *outcome.accepted]
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mcsctl audit",
                        "version": version,
                        "rules": [_rule(rule) for rule in RULES.values()],
                    }
                },
                "automationDetails": {"id": encodable(f"mcsctl-audit/{host}/")},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, host, places[one.rule.id], reason) for one, reason in told],
            }
        ],
    }
