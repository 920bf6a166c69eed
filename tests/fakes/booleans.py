"""A policy's booleans in memory, and processes that end when told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcsd.core.booleans import Standing
from mcsd.core.containers import ContainerId
from mcsd.errors import BooleanError
from mcsd.ports import PidWatcher


@dataclass
class FakeBooleans:
    """`mcsd.ports.BooleanSwitches` that others change too, with `setsebool`, `leave_pending` and `load`.

    `refused` are booleans the kernel lets nobody set; `failure` is raised by everything while it is set.
    `commits` are the transactions made through the port, each with all values that it put in force.
    """

    active: dict[str, bool] = field(default_factory=dict)
    substitutes: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    failure: BooleanError | None = None
    commits: list[dict[str, bool]] = field(default_factory=list)
    pending: dict[str, bool] = field(default_factory=dict)
    before_commit: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None

    def setsebool(self, name: str, value: bool) -> None:
        """Do as the program of this name does."""
        self.pending[name] = value
        self._commit()

    def leave_pending(self, name: str, value: bool) -> None:
        """Set a value and put nothing in force."""
        self.pending[name] = value

    def load(self, policy: Mapping[str, bool]) -> None:
        """Load a policy: what both have keeps its value, and nothing stays pending."""
        self.active = {name: self.active.get(name, value) for name, value in policy.items()}
        self.pending.clear()

    def _commit(self) -> dict[str, bool]:
        changed = {name: value for name, value in self.pending.items() if self.active[name] != value}
        self.active.update(changed)
        self.pending.clear()
        return changed

    def _ask(self, name: str | None = None) -> None:
        if self.failure is not None:
            raise self.failure
        if name is not None and name not in self.active:
            raise BooleanError(f"the boolean {name!r} cannot be read: no such file or directory")

    def names(self) -> frozenset[str]:
        """See `mcsd.ports.BooleanSwitches`."""
        self._ask()
        return frozenset(self.active)

    def substitute(self, name: str) -> str:
        """See `mcsd.ports.BooleanSwitches`."""
        return self.substitutes.get(name, name)

    def standing(self, name: str) -> Standing:
        """See `mcsd.ports.BooleanSwitches`."""
        self._ask(name)
        return Standing(self.active[name], self.pending.get(name, self.active[name]))

    def standings(self) -> Mapping[str, Standing]:
        """See `mcsd.ports.BooleanSwitches`."""
        return {name: self.standing(name) for name in self.names()}

    def change(self, values: Mapping[str, bool]) -> None:
        """See `mcsd.ports.BooleanSwitches`."""
        for name in values:
            self._ask(name)
        for name in values:
            if name in self.refused:
                raise BooleanError(f"the boolean {name!r} cannot be set: permission denied")
        self.before_commit()
        self.pending.update(values)
        self.commits.append(self._commit())
        self.after_commit()


class _Line:
    def __init__(self, lines: FakeLifelines, key: int, ended: Callable[[], None]) -> None:
        self._lines = lines
        self._key = key
        self.ended = ended

    def release(self) -> None:
        if self._lines.followed.get(self._key) is self:
            del self._lines.followed[self._key]


class FakeLifelines:
    """`mcsd.ports.Lifelines` over a set of process numbers that tests fill."""

    def __init__(self) -> None:
        self.living: set[int] = set()
        self.followed: dict[int, _Line] = {}

    def end(self, pid: int) -> None:
        """End a process."""
        self.living.discard(pid)
        line = self.followed.pop(pid, None)
        if line is not None:
            line.ended()

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.Lifelines`."""
        if pid not in self.living:
            return None
        self.followed[pid] = _Line(self, pid, ended)
        return self.followed[pid]
