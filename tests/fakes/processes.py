"""Processes in memory: who runs, by number."""

from __future__ import annotations

from mcsd.core.labels import Label, read_label
from mcsd.core.processes import ProcessLevel, carrier_of
from mcsd.errors import SelinuxError


class FakeProcesses:
    """`mcsd.ports.Processes` over a table that tests fill; while `failure` is set, looking raises it."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Label, str]] = {}
        self.failure: SelinuxError | None = None

    def run(self, pid: int, context: str, *, container: str = "") -> None:
        """Let a process run in a context, in a container's control group or in none."""
        cgroup = f"0::/system.slice/docker-{container}.scope\n" if container else "0::/init.scope\n"
        self._running[pid] = read_label(context), cgroup

    def end(self, pid: int) -> None:
        """End a process."""
        del self._running[pid]

    def process_levels(self) -> tuple[ProcessLevel, ...]:
        """See `mcsd.ports.Processes`."""
        if self.failure is not None:
            raise self.failure
        found = (carrier_of(pid, *self._running[pid]) for pid in sorted(self._running))
        return tuple(process for process in found if process is not None)
