"""Reports about booleans: journal entries, each once, and the state behind the report.

Nothing here decides what a boolean should be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from mcsd.core.boolean_names import NameSource, ResolvedName
from mcsd.core.booleans import (
    Admitted,
    BooleanLease,
    BooleanView,
    ChangeCause,
    Changed,
    Holding,
    Refusal,
    Ruling,
    Standing,
    Wish,
    suggestion,
)
from mcsd.core.notices import Kind, Notice
from mcsd.errors import BooleanError
from mcsd.ports import Clock
from mcsd.state.events import EventBus

_REASONS = {
    ChangeCause.START: "the configuration wants it so",
    ChangeCause.CONFIGURED: "the configuration wants it so",
    ChangeCause.ORDERED: "an administrator asked for it",
    ChangeCause.LEASE_GIVEN: "a running container needs it",
    ChangeCause.LEASE_TAKEN: "no running container needs it any more",
    ChangeCause.WITHDRAWN: "a change that was pending is withdrawn",
}

_Key = tuple[str, str]


class BooleanReporter:
    """Remembers what was observed and reported. Owned by the event loop's thread."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._values: dict[str, bool] = {}
        self._changes: dict[str, Changed] = {}
        self._since: dict[_Key, tuple[BooleanLease, float]] = {}
        self._refused: dict[_Key, Refusal] = {}
        self._unknown: dict[str, str] = {}
        self._failures: frozenset[str] = frozenset()

    def seen(
        self, rulings: Iterable[Ruling], standings: Mapping[str, Standing], wanted: Mapping[str, bool]
    ) -> dict[str, ChangeCause]:
        """Record the values in force, report changes by others, and return the cause of each change."""
        causes = {}
        for ruling in rulings:
            name = ruling.resolved.name
            if name is None or ruling.shadowed_by or name not in standings:
                continue
            now = standings[name].active
            before = self._values.get(name)
            self._values[name] = now
            if before is not None and before != now:
                self._remember(name, now, ChangeCause.OUTSIDE)
                if wanted.get(name, now) == now:
                    self._emit(Kind.BOOLEAN_CHANGED, boolean=name, value=_word(now))
            if name in wanted:
                causes[name] = _cause(ruling, standings[name], wanted[name], before)
        return causes

    def changed(self, values: Mapping[str, bool], causes: Mapping[str, ChangeCause]) -> None:
        """Report changes that are in force now."""
        for name, value in values.items():
            self._values[name] = value
            self._remember(name, value, causes[name])
            if causes[name] is ChangeCause.PUT_RIGHT:
                found = _word(not value)
                self._emit(Kind.BOOLEAN_PUT_RIGHT, boolean=name, value=_word(value), found=found)
            else:
                self._emit(Kind.BOOLEAN_SET, boolean=name, value=_word(value), reason=_REASONS[causes[name]])

    def withdrew(self, values: Mapping[str, bool]) -> None:
        """Report pending changes by others that were withdrawn."""
        for name, value in values.items():
            self._emit(Kind.BOOLEAN_STRAY, boolean=name, value=_word(value))

    def judged(self, rulings: Iterable[Ruling], admitted: Admitted | None, failed: Collection[str]) -> None:
        """Report news about names, leases and refusals; `failed` are booleans that could not be set."""
        self._tell_names(rulings)
        if admitted is not None:
            self._tell_refusals(admitted.refusals)
            self._tell_leases({name: those for name, those in admitted.holders.items() if name not in failed})

    def _tell_names(self, rulings: Iterable[Ruling]) -> None:
        now = {}
        for ruling in rulings:
            reason, hint = name_trouble(ruling)
            if reason:
                now[ruling.asked] = reason
                if self._unknown.get(ruling.asked) != reason:
                    self._emit(Kind.BOOLEAN_UNKNOWN, boolean=ruling.asked, reason=reason, hint=hint)
        self._unknown = now

    def _tell_refusals(self, refusals: Sequence[Refusal]) -> None:
        now: dict[_Key, Refusal] = {(one.request.container, one.request.asked): one for one in refusals}
        for key, one in now.items():
            if key not in self._refused or self._refused[key].why is not one.why:
                self._emit(
                    Kind.BOOLEAN_REFUSED,
                    one.request.container,
                    name=one.request.container_name,
                    boolean=one.request.asked,
                    reason=one.text,
                    hint=one.hint,
                )
        self._refused = now

    def _tell_leases(self, holders: Mapping[str, Sequence[BooleanLease]]) -> None:
        now = {(one.container, name): one for name, those in holders.items() for one in those}
        for (container, name), (request, _) in list(self._since.items()):
            if (container, name) not in now:
                del self._since[container, name]
                self._emit(Kind.BOOLEAN_RETURNED, container, boolean=name, name=request.container_name)
        for (container, name), request in now.items():
            if (container, name) not in self._since:
                self._since[container, name] = request, self._clock.now()
                self._emit(Kind.BOOLEAN_LEASED, container, boolean=name, name=request.container_name)

    def failing(self, errors: Iterable[BooleanError]) -> None:
        """Report errors, each once until it is gone."""
        now = {error.what: error for error in errors}
        for what in now.keys() - self._failures:
            self._emit(Kind.BOOLEAN_FAILED, reason=what, hint=now[what].hint)
        self._failures = frozenset(now)

    def view(
        self,
        ruling: Ruling,
        *,
        wanted: bool | None,
        standing: Standing | None,
        stored: bool | None,
        error: BooleanError | None,
    ) -> BooleanView:
        """Return one line of the report."""
        reason, hint = (error.what, error.hint) if error else name_trouble(ruling)
        name = ruling.name or ""
        return BooleanView(
            ruling,
            wanted=wanted,
            present=standing.active if standing else None,
            pending=standing.pending if standing else None,
            holdings=tuple(
                Holding(request.container, request.container_name, since)
                for (_, held), (request, since) in self._since.items()
                if held == name
            ),
            changed=self._changes.get(ruling.resolved.name or ""),
            stored=stored,
            problem=reason,
            hint=hint,
        )

    def refusals(self) -> tuple[Refusal, ...]:
        """Return the requests of running containers that are refused."""
        return tuple(self._refused.values())

    def _remember(self, name: str, value: bool, cause: ChangeCause) -> None:
        self._changes[name] = Changed(self._clock.now(), value, cause)

    def _emit(self, kind: Kind, container: str = "", /, **fields: object) -> None:
        self._bus.emit(Notice(kind, fields, container))


def blank_view(asked: str, wish: Wish, error: BooleanError | None) -> BooleanView:
    """Return the line of a boolean that could not be read."""
    ruling = Ruling(asked, wish, ResolvedName(asked, None, NameSource.UNKNOWN, "not looked up yet"))
    return BooleanView(
        ruling, problem=error.what if error else ruling.resolved.note, hint=error.hint if error else ""
    )


def name_trouble(ruling: Ruling) -> tuple[str, str]:
    """Return why a configured name governs nothing although it should, and what to do; "" if it does."""
    if ruling.shadowed_by:
        return (
            f"it is another name of {ruling.shadowed_by!r}, which the configuration names too",
            "remove one of the two from [booleans]",
        )
    if ruling.resolved.name is None:
        return ruling.resolved.note, suggestion(ruling.resolved)
    return "", ""


def _cause(ruling: Ruling, standing: Standing, value: bool, before: bool | None) -> ChangeCause:
    if standing.active == value:
        return ChangeCause.WITHDRAWN
    if before is None:
        return ChangeCause.START
    if before != standing.active:
        return ChangeCause.PUT_RIGHT
    if ruling.order is not None:
        return ChangeCause.ORDERED
    if ruling.wish is Wish.LEASE:
        return ChangeCause.LEASE_GIVEN if value else ChangeCause.LEASE_TAKEN
    return ChangeCause.CONFIGURED


def _word(value: bool) -> str:
    return "on" if value else "off"
