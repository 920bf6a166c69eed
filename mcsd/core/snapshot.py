"""A consistent view of everything mcsd knows, for the socket, the metrics and mcsctl.

The daemon makes a `Snapshot` in one step of the event loop, so its parts are consistent. Reports are pure
functions of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcsd.core.blocked import Blocked
from mcsd.core.booleans import BooleanView, Refusal
from mcsd.core.containers import DOCKER, Container
from mcsd.core.denials.telling import ToldDenial
from mcsd.core.disk import DiskState
from mcsd.core.exposure import Weakness
from mcsd.core.fleet.standing import FleetStanding
from mcsd.core.host import Host
from mcsd.core.interfaces import Network
from mcsd.core.isolation import Conflict, Verdict
from mcsd.core.labels import Context, Label, Level
from mcsd.core.processes import Stage
from mcsd.core.selinux_state import HostFinding
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import VolumeId

Work = Literal["relabel", "restore", "verify"]
"""What a walk is for."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A container as last observed. `process` is its init process's context, if it has one.

    `error` is why it could not be handled, "" if it could. `seen` is in seconds since the epoch.
    """

    container: Container
    verdict: Verdict
    seen: float
    conflicts: tuple[Conflict, ...] = ()
    process: Label | None = None
    error: str = ""
    error_hint: str = ""
    settled: bool = False
    """Whether nothing was left to do for it when it was last observed."""
    network: Network | None = None
    """None if it does not run, or was not observed yet."""
    weaknesses: tuple[Weakness, ...] = ()
    stage: Stage | None = None
    """Whether a running one is starting or ending; None for the others."""


@dataclass(frozen=True, slots=True)
class WalkProgress:
    """A running walk. `expected` is the last walk's count of inodes, 0 if unknown."""

    volume: VolumeId
    path: str
    work: Work
    started: float
    seen: int = 0
    changed: int = 0
    skipped: int = 0
    expected: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One notice as the API's stream shows it. `sequence` rises by one each."""

    sequence: int
    time: float
    kind: str
    message: str
    priority: int
    container: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignHolder:
    """A process outside the engines' containers that runs at a level with categories.

    `holder` is who its control group belongs to, by the group's name; "" if that does not tell."""

    level: Level
    context: Context
    pid: int
    holder: str = ""


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How many pairs of the configured range are in which state."""

    total: int
    free: int
    granted: int = 0
    reserved: int = 0
    quarantined: int = 0
    foreign: int = 0
    configured: int = 0
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, at one moment. Times are seconds since the epoch; `started` is the daemon's."""

    now: float
    version: str
    started: float
    host: Host
    cache: StateCache
    engines: tuple[str, ...] = (DOCKER,)
    """The names of the configured engines."""
    engine_errors: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Why an engine cannot be reached, and what to do, by its name."""
    synced: bool = False
    """Whether all containers have been inspected since the engines were last reached."""
    ledger_error: str = ""
    container_status: tuple[Sighting, ...] = ()
    disks: Mapping[VolumeId, DiskState] = field(default_factory=dict)
    """Each volume's labels as last checked, as far as that is known."""
    walks: tuple[WalkProgress, ...] = ()
    pairs: PairCounts | None = None
    foreign: tuple[ForeignHolder, ...] = ()
    problems: tuple[Event, ...] = ()
    """The latest notices of priority warning and worse, newest first."""
    booleans: tuple[BooleanView, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """Containers' requests for booleans that are refused."""
    findings: tuple[HostFinding, ...] = ()
    """What is wrong with the policy or the kernel's mode."""
    denials: tuple[ToldDenial, ...] = ()
    """Denials that were reported to mcsd, the newest first."""
    fleet: FleetStanding | None = None
    """How the host stands among those it shares storage with."""
    blocked: tuple[Blocked, ...] = ()
    """Calls that do not return, the longest first."""
