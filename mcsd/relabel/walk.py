"""The order of the steps in one volume's walk.

Relabelling: record the intent on disk, label everything below the root (originals are on disk before each
batch is written), label the root, and record that the volume is complete. Restoring starts with the root, so
that from the beginning the root no longer says that the tree is complete.

If directories changed during the walk, something may have been missed, so another pass follows. Most labels
are correct by then, so it is short. A pass that finds nothing to write is the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcsd.core.walks import SkipReason
from mcsd.relabel import kernel
from mcsd.relabel.counters import Counters
from mcsd.relabel.links import take_linked
from mcsd.relabel.opening import OpenRoot
from mcsd.relabel.originals import Originals
from mcsd.relabel.passing import TICK, Effort, Gate, Loop, Pass, write_failure
from mcsd.relabel.strategies import Decision, InodeSight, Restoring, Surroundings, WalkStrategy

_PASSES = 4


@dataclass(frozen=True, slots=True)
class WalkTools:
    """What all walks of an engine share."""

    loop: Loop
    effort: Effort
    gate: Gate


class VolumeWalk:
    """One volume's walk in one direction. `originals` is None if nothing is written."""

    def __init__(
        self,
        root: OpenRoot,
        strategy: WalkStrategy,
        tally: Counters,
        means: WalkTools,
        originals: Originals | None = None,
    ) -> None:
        self._root, self._strategy, self._means = root, strategy, means
        self._originals, self._tally = originals, tally
        self._intent: tuple[str, str] | None = None

    def relabel(self, target: str) -> bool:
        """Label everything, the root last; return whether the tree is complete."""
        self._intent = ("labelling", target)
        began = kernel.stamp()
        self._sweep_until_quiet()
        if self._tally.is_broken:
            return False
        if self._take_root() and kernel.stat_of(self._root.descriptor).modified >= began - TICK:
            self._sweep_until_quiet()  # for files created in the root before it was labelled
            self._tally.seen += 1
        return not self._tally.is_broken

    def restore(self) -> bool:
        """Restore everything, the root first; return whether no label of ours is left."""
        assert self._originals is not None
        self._intent = ("restoring", self._originals.target)
        return self.give_back()

    def give_back(self) -> bool:
        """Restore a part of the volume; the volume keeps its labels, so no intent is recorded."""
        assert isinstance(self._strategy, Restoring)
        self._take_root()
        if self._tally.is_broken:
            return False
        foreign = self._tally.skipped[SkipReason.FOREIGN_LABEL]
        self._strategy = replace(self._strategy, root_label=kernel.label_of(self._root.descriptor))
        self._sweep_until_quiet()
        self._tally.seen += 1
        if foreign:
            self._tally.skip(SkipReason.FOREIGN_LABEL, lambda: ".")
        return not self._tally.is_broken

    def verify(self) -> bool:
        """Check everything; return whether all of it is correct."""
        self._sweep()
        self._take_root()
        return not self._tally.is_broken

    def begin(self) -> None:
        """Record the intent on disk, once."""
        if self._intent is not None and self._originals is not None:
            self._originals.begin(*self._intent)
        self._intent = None

    def _sweep_until_quiet(self) -> None:
        for number in range(_PASSES):
            changed = self._tally.changed
            was_disturbed = self._sweep()
            if self._tally.is_broken or not was_disturbed or (number and self._tally.changed == changed):
                return

    def _sweep(self) -> bool:
        """Walk below the root; return whether something may have been missed."""
        self._tally.start_pass()
        if not self._root.is_directory:
            return False
        walk = Pass(
            self._root,
            self._strategy,
            self._originals,
            self._tally,
            self.begin,
            self._means.effort,
            self._means.gate,
        )
        try:
            names = self._means.loop(walk)
            if not self._tally.is_over:
                take_linked(names, walk)
        finally:
            walk.leave_place()
        return walk.was_disturbed

    def _take_root(self) -> bool:
        """Treat the root like everything else; return whether it was written."""
        root = self._root
        self._tally.seen += 1
        try:
            had, decision = self._decide()
            if decision.skip is not None:
                self._tally.skip(decision.skip, lambda: ".")
            if decision.writes or decision.records:
                self.begin()
            if decision.records and self._originals is not None:
                self._originals.record_inodes([(had, [root.identity.inode])], root.stat.born)
            if decision.writes:
                kernel.set_label(root.descriptor, decision.label)
                self._tally.changed += 1
        except OSError as exc:
            self._tally.skip(write_failure(exc, root.path), lambda: ".")
            return False
        return decision.writes

    def _decide(self) -> tuple[bytes | None, Decision]:
        root = self._root
        had = kernel.label_of(root.descriptor)
        sight = InodeSight(root.identity.inode, root.stat.mode, root.stat.born, had)
        return had, self._strategy.decide(sight, Surroundings(lambda: root.path))
