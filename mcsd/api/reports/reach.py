"""What can reach what, as reports: cells between which the kernel allows no access."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from mcsd.api.reports.answer import Answer, Count, Text
from mcsd.api.reports.models import VolumeState
from mcsd.api.reports.volumes import volume_reports
from mcsd.core.isolation import engine_reasons, host_reasons
from mcsd.core.reach import Actor, Cell, CellKind, How, Thing, ThingKind, cells_of
from mcsd.core.snapshot import Snapshot
from mcsd.core.strays import Stray


class ActorReport(Answer):
    """A container, or a process that is not this engine's."""

    name: Text = Field(description="the container's name, or the process's context")
    container: str | None = Field(description="full id; null for a process that is not this engine's")
    pid: int | None
    level: str | None = Field(description="what its process carries; the granted one while it does not run")
    running: bool
    isolated: bool | None = Field(description="as for the container itself")
    group: Text | None
    unbounded: Text = Field(description="why no level holds it; empty where one does")
    disputed: bool = Field(description="whether it has a conflict")


class ThingReport(Answer):
    """Something that can be reached: a volume, a stray, a place of the host."""

    name: Text = Field(description="its path on the host; the first one's of strays")
    kind: ThingKind
    level: str | None = Field(description="null where mcsd labels nothing")
    open: bool = Field(description="whether every container's level lets it in")
    state: VolumeState | None = Field(description="of a volume")
    count: Count = Field(description="files that a stray stands for")


class LinkReport(Answer):
    """An actor and a thing, by their indexes in the cell's lists."""

    actor: Count
    thing: Count
    how: How = Field(
        description="mounted; level: not mounted, its level would let it in after an escape (for the first "
        "32 such things of an actor; the others are in its cell); denied: mounted, and not let in"
    )
    writable: bool


class CellReport(Answer):
    """Actors and things that no level separates from each other."""

    kind: CellKind = Field(
        description="unbounded: no level holds its container; conflict: its members should be apart; open: "
        "everybody's level lets them in; together: on purpose; unclaimed: no container's; alone: one "
        "container and what is its own; foreign: of others"
    )
    actors: tuple[ActorReport, ...]
    things: tuple[ThingReport, ...]
    links: tuple[LinkReport, ...]


class ReachPage(Answer):
    """Cells, the most urgent first."""

    items: tuple[CellReport, ...]
    total: Count
    next: str | None
    enforced: bool = Field(description="whether the kernel keeps to levels at all; if not, all reach all")
    lacking: Text = Field(description="what the host lacks for that; may be empty")


def _actor_report(actor: Actor) -> ActorReport:
    return ActorReport(
        name=actor.name,
        container=actor.container or None,
        pid=actor.pid,
        level=None if actor.level is None else str(actor.level),
        running=actor.running,
        isolated=actor.isolated,
        group=actor.group or None,
        unbounded=actor.unbounded,
        disputed=actor.disputed,
    )


def _thing_report(thing: Thing, states: dict[str, VolumeState]) -> ThingReport:
    return ThingReport(
        name=thing.name,
        kind=thing.kind,
        level=None if thing.level is None else str(thing.level),
        open=thing.is_open,
        state=states.get(thing.volume),
        count=thing.count,
    )


def _cell_report(cell: Cell, states: dict[str, VolumeState]) -> CellReport:
    return CellReport(
        kind=cell.kind,
        actors=tuple(map(_actor_report, cell.actors)),
        things=tuple(_thing_report(one, states) for one in cell.things),
        links=tuple(
            LinkReport(actor=one.actor, thing=one.thing, how=one.how, writable=one.writable)
            for one in cell.links
        ),
    )


def reach_reports(snapshot: Snapshot, strays: Iterable[Stray]) -> Iterator[CellReport]:
    """Report all cells, one by one, in no particular order."""
    states = {report.id: report.state for report in volume_reports(snapshot) if report.id is not None}
    return (_cell_report(cell, states) for cell in cells_of(snapshot, strays))


def lacking(snapshot: Snapshot) -> str:
    """Return what the host lacks for levels to be enforced, "" if nothing."""
    host = snapshot.host
    reasons = [*host_reasons(host), *(one for name in host.engines for one in engine_reasons(host, name))]
    return "; ".join(dict.fromkeys(reason.text for reason in reasons))


_ORDER = {kind: place for place, kind in enumerate(CellKind)}


def place_of_cell(report: CellReport) -> str:
    """Sort by kind, then by the first actor's or thing's name and identity."""
    first = [thing.name for thing in report.things[:1]]
    if report.actors:
        one = report.actors[0]
        first = [one.name, one.container or str(one.pid)]
    level = next((thing.level for thing in report.things), None)
    return "\0".join((str(_ORDER[report.kind]), *first, level or ""))
