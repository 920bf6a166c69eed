"""The fleet as a report: the answer to `GET /v1/fleet`, and the status's line about it."""

from __future__ import annotations

from mcsd.api.reports.models import (
    CheckReport,
    Condition,
    FleetReport,
    FleetStoreReport,
    MemberReport,
    StorageReport,
    TreeReport,
)
from mcsd.core.fleet.blocks import listed
from mcsd.core.fleet.holding import FleetHolding
from mcsd.core.fleet.standing import FleetStanding
from mcsd.core.json_values import moment

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
        store=_store(standing.holding) if standing.holding is not None else None,
        checks=checks,
    )


def fleet_check(standing: FleetStanding | None) -> CheckReport | None:
    """Return the status's line: nothing for a host that shares no labelled storage and has no plan."""
    if standing is None or not standing.is_concerned:
        return None
    troubles = standing.troubles()
    if troubles:
        return _check("; ".join(text for text, _ in troubles), "mcsctl fleet status")
    if standing.holding is not None:
        members = len(standing.holding.members)
        text = (
            f"{_blocks(standing.holding)} of pairs held, of {members} {'host' if members == 1 else 'hosts'}"
        )
        return CheckReport(subject=SUBJECT, condition=Condition.GOOD, text=text, hint="")
    text = f"{standing.range} is this host's alone, of {len(standing.hosts)}"
    return CheckReport(subject=SUBJECT, condition=Condition.GOOD, text=text, hint="")


def _blocks(holding: FleetHolding) -> str:
    count = len(holding.blocks)
    return f"{count} {'block' if count == 1 else 'blocks'}"


def _store(holding: FleetHolding) -> FleetStoreReport:
    record, view = holding.record, holding.view
    return FleetStoreReport(
        trouble=holding.trouble,
        grants=holding.permission.is_proven,
        blocks=listed(holding.blocks),
        contested=listed(holding.permission.contested),
        pending=len(record.pending) if record is not None else 0,
        fleet=record.fleet if record is not None else None,
        generation=record.generation if record is not None else None,
        cluster=record.cluster if record is not None else None,
        open=view.fleet.is_open if view is not None else None,
        answered=moment(holding.asked) if holding.asked is not None else None,
        requests=holding.requests,
        members=tuple(
            MemberReport(
                name=one.name,
                blocks=one.blocks,
                directories=one.trees,
                operations=one.number,
                generation=one.generation,
                doubt=one.doubt,
            )
            for one in holding.members
        ),
        directories=_directories(holding),
    )


def _directories(holding: FleetHolding) -> tuple[TreeReport, ...]:
    trees = holding.record.trees if holding.record is not None else ()
    return tuple(
        TreeReport(
            path=tree.place.path,
            file_system=tree.place.file_system,
            storage=tree.place.storage,
            level=str(tree.level),
            holder=tree.holder,
            disputed=tree in holding.permission.disputed,
        )
        for tree in sorted(trees, key=lambda tree: (tree.place.path, tree))
    )


def _check(text: str, hint: str) -> CheckReport:
    return CheckReport(subject=SUBJECT, condition=Condition.WARNING, text=text, hint=hint)
