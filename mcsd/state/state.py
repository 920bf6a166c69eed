"""The whole state as one value, from which the control loops are built."""

from __future__ import annotations

from dataclasses import dataclass

from mcsd.state.container_status import ContainerStatus
from mcsd.state.disk import Disk
from mcsd.state.events import EventBus
from mcsd.state.host import HostStatus
from mcsd.state.process_levels import ProcessLevels
from mcsd.state.start_tracker import StartTracker
from mcsd.state.store import Store
from mcsd.state.walk_queue import WalkQueue


@dataclass(frozen=True, slots=True)
class State:
    """Each part is owned by the event loop's thread."""

    bus: EventBus
    host: HostStatus
    store: Store
    walks: WalkQueue
    starts: StartTracker
    disk: Disk
    process_levels: ProcessLevels
    container_status: ContainerStatus
