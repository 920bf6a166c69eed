"""Runs, as reports: what `mcsctl run` needs to go on."""

from __future__ import annotations

from mcsd.api.reports.models import RunReport
from mcsd.core.host import Host
from mcsd.core.labels import Context
from mcsd.core.runs import Run


def run_report(run: Run, file_context: Context, host: Host) -> RunReport:
    """Report a run that was given to a process."""
    return RunReport(
        id=run.id,
        name=run.name,
        level=str(run.context.level),
        context=str(run.context) if host.selinux.enabled else None,
        file_context=str(file_context) if host.selinux.enabled else None,
    )
