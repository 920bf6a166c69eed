"""Booleans, as reports: the configured and the current value, and who holds a lease."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mcsd.api.reports.answer import Answer, Count, Text
from mcsd.core.boolean_names import NameSource
from mcsd.core.booleans import BooleanView, ChangeCause, Changed, Holding, Order, Refusal, Refused, Wish
from mcsd.core.json_values import moment


class BooleanHolderReport(Answer):
    """A running container that holds a boolean's lease."""

    container: str = Field(description="its full id")
    name: Text
    since: datetime


class BooleanRefusalReport(Answer):
    """A running container whose request for a boolean is refused."""

    container: str = Field(description="its full id")
    name: Text
    asked: Text = Field(description="the boolean, as its label has it")
    why: Refused
    text: Text
    hint: Text


class BooleanChangeReport(Answer):
    """The last change that was noticed."""

    time: datetime
    value: bool
    cause: ChangeCause


class BooleanReport(Answer):
    """A boolean that the configuration names."""

    asked: Text = Field(description="the name in the configuration")
    name: str | None = Field(description="what the loaded policy calls it; null where it has none")
    how: NameSource = Field(description="how the policy's name was found")
    note: Text = Field(description="more about the name; may be empty")
    nearest: tuple[str, ...] = Field(description="for an unknown name: those most like it")
    wish: Wish = Field(description="the configuration's value")
    order: Order | None = Field(description="what root asked for until the next start of mcsd")
    shadowed_by: Text | None = Field(
        description="another configured name of the same boolean, which rules it"
    )
    wanted: bool | None = Field(
        description="what it should be now; null where it is left alone, or not known"
    )
    present: bool | None = Field(description="the value in force; null where it cannot be read")
    pending: bool | None = Field(description="the value that the next commit puts in force")
    stored: bool | None = Field(description="what the next boot begins with; null where nothing was stored")
    good: bool = Field(description="whether it is as wanted")
    holders: tuple[BooleanHolderReport, ...]
    changed: BooleanChangeReport | None
    problem: Text = Field(description="why it is not as wanted; may be empty")
    hint: Text


class BooleanPage(Answer):
    """Booleans by their name in the configuration."""

    items: tuple[BooleanReport, ...]
    total: Count
    next: str | None
    refusals: tuple[BooleanRefusalReport, ...] = Field(
        description="all requests that are not met, for booleans that the configuration does not name too"
    )


def is_good(view: BooleanView) -> bool:
    """Tell whether a boolean is as configured: governed, readable, and at its value now and after a
    commit."""
    if view.problem or (view.ruling.resolved.name is None and view.ruling.wish is not Wish.UNMANAGED):
        return False
    return view.wanted is None or view.present is view.pending is view.wanted


def _holder(holding: Holding) -> BooleanHolderReport:
    return BooleanHolderReport(container=holding.container, name=holding.name, since=moment(holding.since))


def refusal_report(refusal: Refusal) -> BooleanRefusalReport:
    """Report a refused request."""
    request = refusal.request
    return BooleanRefusalReport(
        container=request.container,
        name=request.container_name,
        asked=request.asked,
        why=refusal.why,
        text=refusal.text,
        hint=refusal.hint,
    )


def _change(changed: Changed | None) -> BooleanChangeReport | None:
    if changed is None:
        return None
    return BooleanChangeReport(time=moment(changed.at), value=changed.value, cause=changed.cause)


def boolean_report(view: BooleanView) -> BooleanReport:
    """Report one boolean."""
    ruling = view.ruling
    return BooleanReport(
        asked=ruling.asked,
        name=ruling.resolved.name,
        how=ruling.resolved.how,
        note=ruling.resolved.note,
        nearest=ruling.resolved.nearest,
        wish=ruling.wish,
        order=ruling.order,
        shadowed_by=ruling.shadowed_by or None,
        wanted=view.wanted,
        present=view.present,
        pending=view.pending,
        stored=view.stored,
        good=is_good(view),
        holders=tuple(map(_holder, view.holdings)),
        changed=_change(view.changed),
        problem=view.problem,
        hint=view.hint,
    )


def place_of_boolean(report: BooleanReport) -> str:
    """Sort by the name in the configuration."""
    return report.asked
