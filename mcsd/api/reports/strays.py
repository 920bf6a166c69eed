"""Strays as reports: the answer to `GET /v1/strays`."""

from __future__ import annotations

from mcsd.api.reports.models import ScanReport, StrayReport, StraysReport
from mcsd.core.strays import Catch


def strays_report(catch: Catch) -> StraysReport:
    """Return what scans have found, by level."""
    scan = catch.scan
    return StraysReport(
        items=tuple(
            StrayReport(
                level=str(stray.level),
                label=stray.label,
                count=stray.count,
                paths=stray.paths,
                remedy=stray.remedy,
            )
            for stray in sorted(catch.strays.values(), key=lambda one: str(one.level))
        ),
        scan=None
        if scan is None
        else ScanReport(
            path=scan.top or None,
            began=scan.began,
            finished=scan.finished,
            at=scan.at,
            seen=scan.seen,
            unseen=scan.unseen,
        ),
        lost=catch.lost,
        complete=catch.complete,
    )
