"""Denials as reports: the answer to `GET /v1/denials`."""

from __future__ import annotations

from collections.abc import Iterable

from mcsd.api.reports.models import DenialReport, DenialsReport
from mcsd.core.denials.telling import ToldDenial
from mcsd.core.json_values import moment


def denials_report(denials: Iterable[ToldDenial]) -> DenialsReport:
    """Return the denials that were reported to mcsd, in their order."""
    return DenialsReport(
        items=tuple(
            DenialReport(
                time=moment(one.time),
                container=one.container or None,
                name=one.name,
                cause=one.cause,
                text=one.text,
                because=one.because,
                hint=one.hint,
            )
            for one in denials
        )
    )
