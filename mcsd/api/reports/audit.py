"""Audits as reports: the answer to `GET /v1/audit`."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mcsd.api.reports.answer import Answer, Count, Text
from mcsd.core.audit.told import ToldAudit
from mcsd.core.json_values import moment


class FindingReport(Answer):
    """One finding of an audit."""

    key: Text = Field(description="its stable name: RULE/CONTAINER/OBJECT")
    rule: str
    severity: str = Field(description="low, medium, high or critical")
    title: Text
    subject: Text = Field(description="the container's name, or host")
    container: str | None = Field(description="full id")
    text: Text
    seen: Text = Field(description="what was looked at")
    remedy: Text
    accepted: Text | None = Field(description="why it does not count; null where it does")


class AuditReport(Answer):
    """The latest audit that was sent to mcsd since its start."""

    time: datetime | None = Field(description="when mcsd was told; null where it was not")
    containers: Count = Field(description="how many were looked at")
    findings: tuple[FindingReport, ...] = Field(
        description="what counts before what is accepted, worst first"
    )
    left_out: Count = Field(description="findings beyond those")


def audit_report(told: ToldAudit | None) -> AuditReport:
    """Report an audit; an empty one if there was none."""
    if told is None:
        return AuditReport(time=None, containers=0, findings=(), left_out=0)
    return AuditReport(
        time=moment(told.time),
        containers=told.containers,
        findings=tuple(FindingReport.model_validate(one, from_attributes=True) for one in told.findings),
        left_out=told.left_out,
    )
