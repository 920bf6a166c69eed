"""The common store of a fleet in memory: what etcd promises, and a backup that can be restored."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcsd.core.fleet.values import Reading, Swap


@dataclass(frozen=True, slots=True)
class Backup:
    """A store as it was."""

    revision: int
    values: Mapping[str, str]


@dataclass
class MemoryStore:
    """`mcsd.ports.FleetStore`. Thread-safe."""

    cluster: str = "1"
    revision: int = 1
    values: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> Reading:
        """Everything, at one moment."""
        with self.lock:
            self.requests += 1
            return Reading(self.cluster, self.revision, dict(self.values))

    def swap(self, swap: Swap) -> bool:
        """All of it or nothing."""
        with self.lock:
            self.requests += 1
            if any(self.values.get(key) != value for key, value in swap.conditions.items()):
                return False
            self.revision += 1
            for key, value in swap.writes.items():
                if value is None:
                    self.values.pop(key, None)
                else:
                    self.values[key] = value
            return True

    def backup(self) -> Backup:
        """As `etcdctl snapshot save`."""
        return Backup(self.revision, dict(self.values))

    def restore(self, backup: Backup, *, cluster: str) -> None:
        """As `etcdctl snapshot restore`, with a new token for the cluster if `cluster` is new."""
        self.cluster, self.revision, self.values = cluster, backup.revision, dict(backup.values)
