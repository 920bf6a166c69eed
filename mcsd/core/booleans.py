"""What each boolean should be, and what to change: the rules of promises 9 and 10, as pure functions.

- mcsd governs only booleans that the configuration names; of two names for one boolean only one counts.
- `on` and `off` hold the boolean there; `unmanaged` leaves it alone; `lease` holds it on exactly while at
  least one running container is known to ask for it, and off otherwise.
- As long as it is not known which containers run (`holders` is None), leases neither begin nor end.
- Both the value in force and the pending value count: anybody's next commit activates all pending values.

A decision depends only on the current state, never on what happened before. So any history of leases, crashes
and changes by others ends in the same state (promise 7).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.boolean_names import NameSource, ResolvedName, is_name, resolve
from mcsd.core.containers import Container, ContainerId

LABEL = "boolean"
"""The container label `io.mcsd.boolean`: names, separated by commas."""

MOST_REQUESTS = 16
"""Names in one container's label; further ones are ignored."""


class Wish(StrEnum):
    """What is wanted of a boolean."""

    ON = "on"
    OFF = "off"
    LEASE = "lease"
    UNMANAGED = "unmanaged"


_STRICTEST = (Wish.OFF, Wish.LEASE, Wish.ON, Wish.UNMANAGED)


class Order(StrEnum):
    """What an administrator may ask for until mcsd's next start; `CONFIGURED` ends it."""

    ON = "on"
    OFF = "off"
    CONFIGURED = "configured"


class ChangeCause(StrEnum):
    """Why a boolean's value changed; part of the API."""

    START = "start"
    OUTSIDE = "outside"
    PUT_RIGHT = "put-right"
    LEASE_GIVEN = "lease-given"
    LEASE_TAKEN = "lease-taken"
    ORDERED = "ordered"
    CONFIGURED = "configured"
    WITHDRAWN = "pending-withdrawn"


@dataclass(frozen=True, slots=True)
class Standing:
    """A boolean in the kernel: the value in force, and the pending one, which the next commit activates."""

    active: bool
    pending: bool

    @classmethod
    def at(cls, value: bool) -> Standing:
        """Both at one value."""
        return cls(value, value)


@dataclass(frozen=True, slots=True)
class Ruling:
    """One configured name, with its name in the policy. `order` overrides the configuration's `wish`."""

    asked: str
    wish: Wish
    resolved: ResolvedName
    order: Order | None = None
    shadowed_by: str = ""
    """The other configured name of the same boolean, if that one governs it."""

    @property
    def name(self) -> str | None:
        """The boolean that this ruling governs, None where it governs none."""
        return None if self.shadowed_by or self.wish is Wish.UNMANAGED else self.resolved.name

    def wanted(self, *, held: bool | None) -> bool | None:
        """Return what the boolean should be; None if it is to be left alone.

        `held` is whether a running container holds the lease, None while that is unknown.
        """
        if self.name is None:
            return None
        match self.order:
            case Order.ON:
                return True
            case Order.OFF:
                return False
        match self.wish:
            case Wish.ON:
                return True
            case Wish.OFF:
                return False
            case Wish.LEASE:
                return held
        return None


@dataclass(frozen=True, slots=True)
class BooleanLease:
    """A running container's request for a boolean. `pid` is its init process's, None if unknown."""

    container: ContainerId
    container_name: str
    asked: str
    pid: int | None = None


class Refused(StrEnum):
    """Why a request is refused; part of the API."""

    NOT_CONFIGURED = "not-configured"
    NOT_FOR_LEASE = "not-for-lease"
    UNKNOWN = "unknown-name"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not met, and what to do about it."""

    request: BooleanLease
    why: Refused
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """Requests: those granted, by the boolean's name in the policy, and those refused."""

    holders: Mapping[str, tuple[BooleanLease, ...]]
    refusals: tuple[Refusal, ...] = ()


def requests_of(container: Container) -> tuple[BooleanLease, ...]:
    """Return what a container requests: nothing unless it runs, and nothing from its image's labels."""
    text = container.label(LABEL) if container.running else None
    if not text:
        return ()
    names = dict.fromkeys(part.strip() for part in text.split(",", MOST_REQUESTS)[:MOST_REQUESTS])
    return tuple(BooleanLease(container.id, container.name, name, container.pid) for name in names if name)


def _look_up(asked: str, known: Collection[str], substitute: Callable[[str], str]) -> ResolvedName:
    return resolve(asked, known, substitute(asked) if is_name(asked) else asked)


def _rank(ruling: Ruling) -> tuple[bool, int, str]:
    return ruling.resolved.how is not NameSource.GIVEN, _STRICTEST.index(ruling.wish), ruling.asked


def rule(
    wishes: Mapping[str, Wish],
    known: Collection[str],
    substitute: Callable[[str], str],
    orders: Mapping[str, Order] | None = None,
) -> tuple[Ruling, ...]:
    """Return a ruling for each configured name, in their order.

    Of several names for one boolean, the policy's own name governs it, or else the strictest wish.
    """
    orders = orders or {}
    rulings = [
        Ruling(asked, wish, _look_up(asked, known, substitute), orders.get(asked))
        for asked, wish in wishes.items()
    ]
    ruler: dict[str, Ruling] = {}
    for ruling in sorted(rulings, key=_rank):
        if ruling.resolved.name is not None:
            ruler.setdefault(ruling.resolved.name, ruling)
    return tuple(
        ruling
        if ruling.resolved.name is None or ruler[ruling.resolved.name] is ruling
        else replace(ruling, shadowed_by=ruler[ruling.resolved.name].asked)
        for ruling in rulings
    )


def admit(
    requests: Iterable[BooleanLease],
    rulings: Sequence[Ruling],
    known: Collection[str],
    substitute: Callable[[str], str],
) -> Admitted:
    """Sort requests into holders of leases and refusals."""
    by_name = {ruling.resolved.name: ruling for ruling in rulings if not ruling.shadowed_by}
    by_asked = {ruling.asked: ruling for ruling in rulings}
    holders: dict[str, list[BooleanLease]] = {}
    refusals: list[Refusal] = []
    for request in requests:
        resolved = _look_up(request.asked, known, substitute)
        ruling = by_name.get(resolved.name) if resolved.name is not None else by_asked.get(request.asked)
        if ruling is not None and ruling.name is not None and ruling.wish is Wish.LEASE:
            holders.setdefault(ruling.name, []).append(request)
        else:
            refusals.append(_refuse(request, resolved, ruling))
    return Admitted({name: tuple(those) for name, those in holders.items()}, tuple(refusals))


def _refuse(request: BooleanLease, resolved: ResolvedName, ruling: Ruling | None) -> Refusal:
    if ruling is None:
        return Refusal(
            request,
            Refused.NOT_CONFIGURED,
            f"the configuration does not name the boolean {request.asked!r}",
            'to offer it, put it into [booleans] with the value "lease", and restart mcsd',
        )
    if resolved.name is None:
        return Refusal(request, Refused.UNKNOWN, f"{request.asked!r}: {resolved.note}", suggestion(resolved))
    return Refusal(
        request,
        Refused.NOT_FOR_LEASE,
        f"the configuration has the boolean {ruling.asked!r} as {ruling.wish.value!r}, not for lease",
        'to offer it, give it the value "lease" in [booleans], and restart mcsd',
    )


def suggestion(resolved: ResolvedName) -> str:
    """Say what to do about a name that is not in the policy."""
    if resolved.nearest:
        return f"the nearest names are {', '.join(resolved.nearest)}; semanage boolean -l lists all"
    return "semanage boolean -l lists the names it has"


def is_held(name: str | None, holders: Mapping[str, Sequence[BooleanLease]] | None) -> bool | None:
    """Tell whether somebody holds a boolean; None while it is unknown which containers run."""
    if holders is None or name is None:
        return None
    return bool(holders.get(name))


def decide(
    rulings: Iterable[Ruling],
    standings: Mapping[str, Standing],
    holders: Mapping[str, Sequence[BooleanLease]] | None,
) -> dict[str, bool]:
    """Return the values to set, by the policy's names; empty if everything is as it should be.

    A governed boolean without a standing could not be read: it is left to the next round.
    """
    changes: dict[str, bool] = {}
    for ruling in rulings:
        wanted = ruling.wanted(held=is_held(ruling.name, holders))
        if ruling.name is None or wanted is None or ruling.name not in standings:
            continue
        if standings[ruling.name] != Standing.at(wanted):
            changes[ruling.name] = wanted
    return changes


def strays(standings: Mapping[str, Standing], governed: Collection[str]) -> dict[str, bool]:
    """Return the values in force of ungoverned booleans that have a different value pending.

    A commit activates every pending value, whoever set it. Resetting these pending values first keeps a
    commit from changing a boolean that the configuration does not name (promise 10).
    """
    return {
        name: standing.active
        for name, standing in standings.items()
        if standing.active != standing.pending and name not in governed
    }


def lasting(rulings: Iterable[Ruling]) -> dict[str, bool]:
    """Return what the governed booleans should be after a reboot, before mcsd starts: leases are off then."""
    return {ruling.name: ruling.wish is Wish.ON for ruling in rulings if ruling.name is not None}


@dataclass(frozen=True, slots=True)
class Holding:
    """A container that holds a lease, and since when that is known."""

    container: ContainerId
    name: str
    since: float


@dataclass(frozen=True, slots=True)
class Changed:
    """The last change that was noticed: when, to which value, and why. Times in seconds since the epoch."""

    at: float
    value: bool
    cause: ChangeCause


@dataclass(frozen=True, slots=True)
class BooleanView:
    """One configured boolean as reports show it. None means unknown or not applicable."""

    ruling: Ruling
    wanted: bool | None = None
    present: bool | None = None
    pending: bool | None = None
    holdings: tuple[Holding, ...] = ()
    changed: Changed | None = None
    stored: bool | None = None
    """The boot value that was last written to the policy store; None if none is stored."""
    problem: str = ""
    hint: str = ""
