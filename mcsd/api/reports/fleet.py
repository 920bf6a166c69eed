"""The fleet as a report: the answer to `GET /v1/fleet`, and the status's line about it."""

from __future__ import annotations

from mcsd.api.reports.models import CheckReport, Condition, FleetReport, StorageReport
from mcsd.core.fleet.standing import FleetStanding

SUBJECT = "Fleet"


def fleet_report(standing: FleetStanding) -> FleetReport:
    """Report how the host stands."""
    checks = tuple(_check(text, hint) for text, hint in standing.troubles())
    return FleetReport(
        condition=Condition.WARNING if checks else Condition.GOOD,
        name=standing.name,
        hosts=standing.hosts,
        range=standing.range,
        planned=str(standing.planned) if standing.planned is not None else None,
        own=standing.is_own,
        storages=tuple(
            StorageReport(
                path=use.mount.point,
                file_system=use.mount.file_system,
                source=use.mount.source,
                containers=use.containers,
            )
            for use in standing.storages
        ),
        outside=standing.outside,
        checks=checks,
    )


def fleet_check(standing: FleetStanding | None) -> CheckReport | None:
    """Return the status's line: nothing for a host that shares no labelled storage and has no plan."""
    if standing is None or not standing.is_concerned:
        return None
    troubles = standing.troubles()
    if troubles:
        return _check("; ".join(text for text, _ in troubles), "mcsctl fleet status")
    text = f"{standing.range} is this host's alone, of {len(standing.hosts)}"
    return CheckReport(subject=SUBJECT, condition=Condition.GOOD, text=text, hint="")


def _check(text: str, hint: str) -> CheckReport:
    return CheckReport(subject=SUBJECT, condition=Condition.WARNING, text=text, hint=hint)
