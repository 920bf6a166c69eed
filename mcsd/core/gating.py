"""Starting through the gate: which level a container gets, decided from the ledger.

The gate calls at every start, before the container's first instruction. The level is, in this order:

- with `--ipc/--pid=container:X`: X's level, because both share objects that only one level can use;
- a level that the container was created with (`label=level:…`), reserved or not;
- with `[gate] level = "docker"`: the one that Docker chose;
- with `sticky`: the last one, if it is still this container's and nobody else runs at it, so that no volume
  has to be walked;
- otherwise a fresh one, which includes the group's pair if the container names a group.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from mcsd.core.containers import PODMAN, Container, EngineInfo
from mcsd.core.daemon_json import NAME
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.host import Host
from mcsd.core.labels import Label, Level, readable
from mcsd.core.plan import Adopt, Advance, Occupy
from mcsd.core.sharing import conflicts_of, shares_with
from mcsd.core.state_cache import StateCache

PROGRAMS = frozenset({"mcsd-gate", "mcsd-gate-crun", "mcsd-gate-runc"})
"""The file names by which a runtime in an engine's list is recognized as the gate."""


def is_gated(container: Container, host: Host) -> bool:
    """Tell whether a container starts through the gate, by the runtime that its engine has for it."""
    engine = host.engines.get(container.engine)
    if engine is None:
        return False
    return (container.runtime or engine.default_runtime) in _gates(engine.runtimes)


def default_is_gated(engine: EngineInfo) -> bool:
    """Tell whether new containers of an engine start through the gate, unless they name another runtime."""
    return engine.default_runtime in _gates(engine.runtimes)


@functools.lru_cache(maxsize=8)
def _gates(runtimes: tuple[tuple[str, str], ...]) -> frozenset[str]:
    # Cached: whenever one container was observed, all are asked about.
    return frozenset(name for name, path in dict(runtimes).items() if PurePosixPath(path).name in PROGRAMS)


def may_have_passed(container: Container, host: Host) -> bool:
    """Tell whether a container's last start may have come through the gate, even if that is disabled now."""
    # Podman keeps its runtime's name with the gate and without: its containers' levels differ from what it
    # has recorded only if the gate has chosen them. Docker's runtime has a name of its own for that.
    is_podman_s = host.kind_of(container.engine) == PODMAN
    return is_gated(container, host) or container.runtime == NAME or is_podman_s


def has_passed(container: Container, process: Label | None) -> bool:
    """Tell whether a container runs at a level that the gate has chosen, by its process."""
    if process is None or container.level is None:
        return False
    return readable(process).level != container.level


class GateLevel(StrEnum):
    """`[gate] level`."""

    STICKY = "sticky"
    FRESH = "fresh"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class Fresh:
    """Assign a level that nobody holds; `group` names the group to join, "" for none."""

    container: Container
    group: str = ""


Choice = Adopt | Advance | Occupy | Fresh | None
"""None: the container holds its level already, and it is active."""


MayHold = Callable[[Level], bool]
"""Whether this host may use a level that it has used before; see `mcsd.core.fleet`."""


def choose(
    container: Container, cache: StateCache, wanted: GateLevel, may_hold: MayHold = lambda _: True
) -> Choice:
    """Decide how a starting container gets its level; `process_label` must be the engine's choice."""
    own = cache.grant_of(container.id)
    level = container.level
    assert level is not None, "what comes through the gate is labelled"
    other = _sharing(container, cache)
    if other is not None:
        return _keep(own) if own and own.level == other.level else _adopt(container, other)
    if wanted is GateLevel.DOCKER or has_own_level(container):
        if own is not None and own.level == level:
            return _keep(own)
        for grant in cache.grants_at(level):
            if not grant.container:
                return Occupy(container, grant.id)
        return Adopt(container, level)
    if own is not None and wanted is GateLevel.STICKY and _is_still_right(own, container, cache, may_hold):
        return _keep(own)
    return Fresh(container, container.label("group") or "")


def _is_still_right(own: Grant, container: Container, cache: StateCache, may_hold: MayHold) -> bool:
    if not may_hold(own.level) or own.group != (container.label("group") or ""):
        return False
    return not any(other.state.is_living for other in conflicts_of(own, cache))


def _keep(grant: Grant) -> Advance | None:
    return None if grant.state is GrantState.ACTIVE else Advance(grant.id, GrantEvent.STARTED)


def _adopt(container: Container, other: Grant) -> Adopt:
    return Adopt(container, other.level, other.container)


def _sharing(container: Container, cache: StateCache) -> Grant | None:
    wanted = shares_with(container)
    if not wanted:
        return None
    holders = (grant for grant in cache.grants() if grant.state.is_living)
    return next((grant for grant in holders if wanted in (grant.container, grant.name)), None)


def has_own_level(container: Container) -> bool:
    """Tell whether the container was created with a level, in any of Docker's spellings."""
    return any(
        option.startswith(("label=level:", "label:level:", "level:")) for option in container.security_options
    )
