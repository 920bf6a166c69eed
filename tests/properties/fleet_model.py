"""A fleet in memory, with everything that can go wrong with it, and an observer that sees all.

Hosts run the decisions of `mcsd.core.fleet.protocol`, one step at a time: read, conclude, write down, send.
Between any two steps anything may happen, to them or to others; a request may arrive late, twice or never,
also in a store that has been restored meanwhile. An answer is never looked at.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from mcsd.core.fleet.administration import admit, begin_recovery, end_recovery, evict, found
from mcsd.core.fleet.blocks import MOST_HELD
from mcsd.core.fleet.protocol import (
    Judgement,
    Means,
    Permission,
    Trouble,
    View,
    Wish,
    claimable,
    disagree,
    join,
    judge,
    next_operation,
    settled,
    swap_of,
)
from mcsd.core.fleet.trees import FleetTree, SharedPlace
from mcsd.core.fleet.values import FleetGroup, FleetRecord, Reading, Swap
from mcsd.core.labels import Level
from mcsd.errors import McsdError
from tests.fakes.fleet_store import Backup, MemoryStore

NAMES = ("web", "db")
"""Groups."""
PATHS = ("/a", "/a/b", "/c")
"""Directories on the storage that all mount: one is in another."""
CROWD = 6
"""Blocks among which hosts choose: few, so that they meet."""


@dataclass
class Run:
    """What mcsd has in memory between a start and its end."""

    permission: Permission = field(default_factory=Permission)
    own: set[str] = field(default_factory=set)
    seen: int = 0
    reading: Reading | None = None
    view: View | None = None
    judgement: Judgement | None = None
    sending: Swap | None = None


@dataclass
class Machine:
    """A machine with a disk. `live` are the blocks that its containers have pairs of."""

    name: str
    identity: str
    disk: str | None = None
    """The fleet's record in its ledger."""
    live: set[int] = field(default_factory=set)
    groups: set[FleetGroup] = field(default_factory=set)
    """The groups that its containers are members of."""
    trees: set[FleetTree] = field(default_factory=set)
    """The directories that carry its labels."""
    run: Run | None = None
    is_cut_off: bool = False
    is_gone: bool = False
    """Switched off for ever, as an administrator who evicts it states."""

    @property
    def record(self) -> FleetRecord | None:
        return FleetRecord.parse(self.disk) if self.disk else None


class Fleet:
    """See the module. All choices come from `random`; `trace` says what has happened."""

    def __init__(self, seed: int, names: Sequence[str] = ("a", "b", "c")) -> None:
        self.random = random.Random(seed)
        self.store = MemoryStore()
        self.machines = [Machine(name, f"machine {name}") for name in names]
        self.late: list[Swap] = []
        self.backups: list[Backup] = []
        self.copies: list[tuple[str, str | None]] = []
        """Names, and their disks as they were."""
        self.trace: list[str] = []
        self.grants = 0
        self.members = 0
        self.labelled = 0
        self._clusters = 1
        self.store.swap(found(self.store.read(), names, self.new_id))

    def new_id(self) -> str:
        """Return 32 random hex digits."""
        return f"{self.random.getrandbits(128):032x}"

    def _choose(self, free: Sequence[int], count: int) -> Collection[int]:
        crowd = free[:CROWD]
        return self.random.sample(crowd, min(count, len(crowd)))

    @property
    def means(self) -> Means:
        return Means(self._choose, self.new_id)

    def note(self, text: str) -> None:
        """Remember what has happened."""
        self.trace.append(text)

    def check(self) -> None:
        """No block has live pairs on two machines: promise 1, across hosts."""
        holders: dict[int, str] = {}
        for machine in self.machines:
            for block in machine.live:
                assert block not in holders, (
                    f"block {block} is live on {holders[block]} and on {machine.identity}\n"
                    + "\n".join(self.trace)
                )
                holders[block] = machine.identity
        used = {group: machine.identity for machine in self.machines for group in machine.groups}
        for one, other in combinations(used, 2):
            assert not disagree(one, other), (
                f"{one} on {used[one]} and {other} on {used[other]}\n" + "\n".join(self.trace)
            )

        trees = {tree: machine.identity for machine in self.machines for tree in machine.trees}
        for first, second in combinations(trees, 2):
            assert trees[first] == trees[second] or not first.excludes(second), (
                f"{first} on {trees[first]} and {second} on {trees[second]}\n" + "\n".join(self.trace)
            )

    # --- the steps of one host ---------------------------------------------------------------------

    def start(self, machine: Machine) -> None:
        machine.run = Run()

    def kill(self, machine: Machine) -> None:
        machine.run = None

    def reboot(self, machine: Machine) -> None:
        machine.run = None
        machine.live.clear()
        machine.groups.clear()  # the labels stay on disk

    def read(self, machine: Machine) -> None:
        run = machine.run
        if run is not None and not machine.is_cut_off:
            run.reading = self.store.read()

    def conclude(self, machine: Machine) -> None:
        """Settle what the last reading tells, and judge it; the ledger is written before a grant."""
        run, record = machine.run, machine.record
        if run is None or run.reading is None:
            return
        run.view, run.reading = View.of(run.reading), None
        if record is None:
            if run.view is not None:
                joining = join(run.view, machine.name, machine=machine.identity, new_id=self.new_id)
                if not isinstance(joining, Trouble):
                    machine.disk = joining.text()
            return
        if run.view is not None:
            after = settled(record, run.view)
            if after.generation != record.generation:
                run.seen = run.view.reading.revision
            if after != record:
                record, machine.disk = after, after.text()
        run.judgement = judge(record, run.view, machine=machine.identity, seen=run.seen)
        run.permission = run.permission.after(run.judgement, record, run.own)
        if run.view is not None and run.view.reading.cluster == record.cluster:
            run.seen = max(run.seen, run.view.reading.revision)

    def plan(self, machine: Machine) -> None:
        """Decide on an operation, and write it down."""
        run, record = machine.run, machine.record
        if run is None or record is None or run.view is None or run.judgement is None:
            return
        spare = frozenset(record.held - machine.live)
        give = frozenset(block for block in spare if self.random.random() < 0.3)
        join = frozenset(self.random.choices(NAMES, k=self.random.choice([0, 1])))
        unused = {one.name for one in record.groups - machine.groups}
        leave = frozenset(name for name in sorted(unused) if self.random.random() < 0.3) - join
        wanted = [
            tree for path in PATHS if (tree := self._tree(machine, path)) and self.random.random() < 0.3
        ]
        claim = claimable(record, run.view, wanted) if run.judgement.may_take else frozenset()
        unneeded = sorted(record.trees - machine.trees)
        yield_up = frozenset(tree for tree in unneeded if self.random.random() < 0.3)
        wish = Wish(self.random.choice([0, 0, 1, 2]), give, join, leave, claim, yield_up)
        made = next_operation(record, run.view, run.judgement, wish, run.own, self.means)
        if made is not None:
            after, operation = made
            machine.disk = after.text()
            run.own.add(operation.id)
            run.sending = swap_of(after, operation, run.view)
            assert len(operation.document.blocks) <= MOST_HELD

    def send(self, machine: Machine) -> None:
        """Send what was decided: it arrives now, later, twice or never."""
        run = machine.run
        if run is None or run.sending is None:
            return
        swap, run.sending = run.sending, None
        fate = self.random.random()
        if fate < 0.75 and not machine.is_cut_off:
            self.store.swap(swap)
        if fate > 0.6:
            self.late.append(swap)

    def turn(self, machine: Machine) -> None:
        """One whole turn without a fault."""
        for step in (self.read, self.conclude, self.plan, self.send, self.read, self.conclude):
            step(machine)

    def grant(self, machine: Machine) -> None:
        """Start a container at a pair of a block that may be granted from."""
        record, run = machine.record, machine.run
        if run is None:
            return
        for block in sorted(run.permission.blocks(record)):
            if self.random.random() < 0.5:
                machine.live.add(block)
                self.grants += 1
                self.note(f"{machine.identity} grants from {block}")
        for group in sorted(run.permission.groups(record)):
            if self.random.random() < 0.5:
                machine.groups.add(group)
                self.members += 1
        for tree in sorted(run.permission.trees(record)):
            if self.random.random() < 0.5:
                machine.trees.add(tree)
                self.labelled += 1
        self.check()

    def _tree(self, machine: Machine, path: str) -> FleetTree:
        """A directory at a level of the machine's own, or at one that all its sharers have."""
        level = self.random.choice(["s0", f"s0:c1,c{100 + self.machines.index(machine)}"])
        return FleetTree(
            SharedPlace("ceph", "", path, 1000 + PATHS.index(path)), Level.parse(level), machine.name
        )

    def release(self, machine: Machine) -> None:
        """Containers end, and nothing carries their pairs."""
        for block in list(machine.live):
            if self.random.random() < 0.5:
                machine.live.discard(block)
        for group in sorted(machine.groups):
            if self.random.random() < 0.5:
                machine.groups.discard(group)
        for tree in sorted(machine.trees):
            if self.random.random() < 0.5:
                machine.trees.discard(tree)

    # --- what happens to them ----------------------------------------------------------------------

    def cut_or_join(self, machine: Machine) -> None:
        machine.is_cut_off = not machine.is_cut_off

    def arrive_late(self) -> None:
        if self.late:
            swap = self.late.pop(self.random.randrange(len(self.late)))
            self.store.swap(swap)
            if self.random.random() < 0.3:
                self.late.append(swap)

    def copy_disk(self, machine: Machine) -> None:
        self.copies.append((machine.name, machine.disk))

    def put_back(self, machine: Machine) -> None:
        """Put an old ledger back while mcsd does not run, or the whole host, with a reboot."""
        old = [disk for name, disk in self.copies if name == machine.name]
        if old:
            machine.run = None
            machine.disk = self.random.choice(old)
            if self.random.random() < 0.5:
                machine.live.clear()
                machine.groups.clear()

    def clone(self, machine: Machine) -> None:
        """A copy of a disk starts in another machine."""
        old = [disk for name, disk in self.copies if name == machine.name]
        if old and len(self.machines) < 6:
            other = Machine(
                machine.name, f"{machine.identity} (copy {len(self.machines)})", self.random.choice(old)
            )
            other.run = Run()
            self.machines.append(other)

    def back_up(self) -> None:
        self.backups.append(self.store.backup())

    def restore(self) -> None:
        """Restore the store under a new identity, as the manual says."""
        if self.backups:
            self._clusters += 1
            self.store.restore(self.random.choice(self.backups), cluster=str(self._clusters))

    # --- administrators ----------------------------------------------------------------------------

    def _administer(self, action: Callable[[View], Swap]) -> bool:
        view = View.of(self.store.read())
        if view is None:
            return False
        try:
            return self.store.swap(action(view))
        except McsdError:
            return False

    def recover(self) -> bool:
        return self._administer(lambda view: begin_recovery(view, self.new_id))

    def end_recovery(self) -> bool:
        return self._administer(lambda view: end_recovery(view, self.new_id))

    def evict(self, machine: Machine) -> None:
        """Switch a host and all copies of it off for ever, take all from it; another may come by its name."""
        for one in self.machines:
            if one.name == machine.name:
                one.run, one.is_gone = None, True
                one.live.clear()
                one.groups.clear()
                one.trees.clear()
        if (
            self._administer(lambda view: evict(view, machine.name, self.new_id))
            and self.random.random() < 0.5
        ):
            self._administer(lambda view: admit(view, machine.name, self.new_id))
            self.machines.append(Machine(machine.name, f"{machine.identity}'"))
