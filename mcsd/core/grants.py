"""Grants: a container's hold on a level, and the table of its states.

Theory of operation
-------------------
Docker keeps a stopped container's label, so without the gate an exit frees nothing. With the gate mcsd chose
the level, and an exit puts it into quarantine at once. Free grants are archived rows: the pair can be granted
again, and the history stays readable.

What always holds:

- `TRANSITIONS` is complete: nothing else sets a grant's state.
- Every state but FREE holds the level in the allocator. FREE is reached from QUARANTINED alone, with proof
  that no claim, no file that mcsd labelled and no process carries the level (`mcsd.core.reclaim`).
- A container has at most one grant that holds. Two grants at one level are a conflict, unless sharing was
  asked for.
- A container that reappears while its level is in quarantine gets it back: STARTED leads to ACTIVE from there
  too.

What a failure means: a step that is not in the table raises `KeyError`. That is a bug, never a state of the
host; the level stays taken.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.containers import DOCKER, RUN, ContainerId, full_name
from mcsd.core.labels import Level
from mcsd.core.lives import Life
from mcsd.core.volumes import GrantId


class GrantState(StrEnum):
    """The state of a grant."""

    RESERVED = "reserved"
    ACTIVE = "active"
    IDLE = "idle"
    QUARANTINED = "quarantined"
    FREE = "free"

    @property
    def holds(self) -> bool:
        """Whether the level is still taken."""
        return self is not GrantState.FREE

    @property
    def is_living(self) -> bool:
        """Whether it is in use, or may be again: not on its way to FREE."""
        return self not in {GrantState.QUARANTINED, GrantState.FREE}


class Origin(StrEnum):
    """Who chose the level."""

    ADOPTED = "adopted"
    """The engine, or whoever created the container."""
    ASSIGNED = "assigned"
    """mcsd."""


class GrantEvent(StrEnum):
    """What happens to a grant."""

    STARTED = "started"
    EXITED = "exited"
    RECLAIMED = "reclaimed"
    """The container exited and the level is mcsd's to take back (gate)."""
    REMOVED = "removed"
    PROVEN = "proven"
    """Nothing carries the level any more."""
    VACATED = "vacated"
    """The container is gone, and a reservation keeps the level for the next one."""
    RELEASED = "released"
    """The reservation was given up."""


TRANSITIONS: dict[tuple[GrantState, GrantEvent], GrantState] = {
    (GrantState.RESERVED, GrantEvent.STARTED): GrantState.ACTIVE,
    (GrantState.RESERVED, GrantEvent.EXITED): GrantState.IDLE,
    (GrantState.RESERVED, GrantEvent.RELEASED): GrantState.QUARANTINED,
    (GrantState.ACTIVE, GrantEvent.STARTED): GrantState.ACTIVE,
    (GrantState.ACTIVE, GrantEvent.EXITED): GrantState.IDLE,
    (GrantState.ACTIVE, GrantEvent.RECLAIMED): GrantState.QUARANTINED,
    (GrantState.ACTIVE, GrantEvent.REMOVED): GrantState.QUARANTINED,
    (GrantState.ACTIVE, GrantEvent.VACATED): GrantState.RESERVED,
    (GrantState.IDLE, GrantEvent.STARTED): GrantState.ACTIVE,
    (GrantState.IDLE, GrantEvent.VACATED): GrantState.RESERVED,
    (GrantState.IDLE, GrantEvent.EXITED): GrantState.IDLE,
    (GrantState.IDLE, GrantEvent.RECLAIMED): GrantState.QUARANTINED,
    (GrantState.IDLE, GrantEvent.REMOVED): GrantState.QUARANTINED,
    (GrantState.QUARANTINED, GrantEvent.STARTED): GrantState.ACTIVE,
    (GrantState.QUARANTINED, GrantEvent.EXITED): GrantState.QUARANTINED,
    (GrantState.QUARANTINED, GrantEvent.RECLAIMED): GrantState.QUARANTINED,
    (GrantState.QUARANTINED, GrantEvent.REMOVED): GrantState.QUARANTINED,
    (GrantState.QUARANTINED, GrantEvent.PROVEN): GrantState.FREE,
}
"""All valid steps; any other is a bug."""


def next_state(state: GrantState, event: GrantEvent) -> GrantState:
    """Return the state that follows; raise `KeyError` for a step that is not in the table."""
    return TRANSITIONS[state, event]


@dataclass(frozen=True, slots=True)
class Grant:
    """A container's hold on a level.

    `container` is "" for an unused reservation. `since` is when the present state began, in seconds since the
    epoch. `shares_with` names the container whose level this one holds on purpose
    (`--ipc/--pid=container:X`). `group` and `reservation` are names the administrator gave. `life` is what
    the reservation lasts as long as; None for one that lasts until it is released. `engine` is the name in
    the configuration of the engine that has the container, "" if there is no container, or if an older mcsd
    wrote the grant and the container has not been seen since.
    """

    id: GrantId
    container: ContainerId
    name: str
    level: Level
    origin: Origin
    state: GrantState
    since: float
    shares_with: str = ""
    group: str = ""
    reservation: str = ""
    life: Life | None = None
    engine: str = ""

    @property
    def full_name(self) -> str:
        """The name, with the container's engine before it (`podman/web`) as `Container.full_name` has it."""
        return full_name(self.name, self.engine) if self.engine else self.name

    def without_reservation(self, now: float) -> Grant:
        """Return the grant when its reservation has ended.

        A container that has the level keeps it, as an ordinary grant; otherwise it goes into quarantine.
        """
        left = self if self.container else self.after(GrantEvent.RELEASED, now)
        return replace(left, reservation="", life=None)

    def is_left_behind(self, engines: Collection[str]) -> bool:
        """Tell whether it is a container's of an engine that is not among the configured `engines`.

        A ledger without engines was written when Docker was the only one.
        """
        is_container_s = bool(self.container) and self.state.is_living and self.engine != RUN
        return is_container_s and (self.engine or DOCKER) not in engines

    def given_up(self, now: float) -> Grant:
        """Return the grant of a container that counts as gone without its engine having said so."""
        return self.after(GrantEvent.VACATED if self.reservation else GrantEvent.REMOVED, now)

    def after(self, event: GrantEvent, now: float) -> Grant:
        """Return the grant one step on; raise `KeyError` for a step that is not in the table."""
        following = replace(self, state=next_state(self.state, event), since=now)
        if event is GrantEvent.VACATED:
            return replace(following, container=ContainerId(""), name=self.reservation, engine="")
        return following
