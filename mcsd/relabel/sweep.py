"""The plain loop: one pass over everything below a volume's root, in one thread.

Each inode is examined through a descriptor, decided about, and held in a batch if it has to be written.
"""

from __future__ import annotations

import errno
import os
import stat

from mcsd.core.walks import SkipReason
from mcsd.relabel import kernel
from mcsd.relabel.batch import Batch, Entry, is_only_here
from mcsd.relabel.counters import reason_for
from mcsd.relabel.passing import TICK, Names, Pass
from mcsd.relabel.strategies import Decision, InodeSight, Surroundings
from mcsd.relabel.tree import Listing, Node, Tree

_CHUNK = 256
_LISTINGS = 32
"""Directories kept open while partly read; beyond that depth, the rest of each is read at once."""
_LINKED = 65536
"""Names of files with several links that are kept to check whether all are in the tree; further ones are left
alone."""
_FULL = frozenset({errno.EMFILE, errno.ENFILE})


def python_loop(walk: Pass) -> Names:
    """Run as a `Loop` without the extension."""
    tree = Tree(walk.root.descriptor, walk.root.stat)
    sweep = _Sweep(tree, walk)
    try:
        sweep.run()
        return sweep.linked
    finally:
        sweep.release()
        tree.close()


class _Sweep:
    def __init__(self, tree: Tree, walk: Pass) -> None:
        self._tree, self._walk, self._tally = tree, walk, walk.tally
        self._batch = Batch(tree, walk, self._skip)
        self._stack: list[Node | Listing] = []
        self._latest = 0
        self.linked: Names = []

    def run(self) -> None:
        """Walk everything below the root; ends early if the tally says so."""
        began = kernel.stamp()
        self._stack.append(self._tree.root)
        self._latest = kernel.stat_of(self._tree.root.descriptor).modified
        while self._stack and not self._tally.is_over:
            self._step()
        if not self._tally.is_over:
            self._batch.flush()
        self._walk.was_disturbed = max(self._latest, self._batch.latest) >= began - TICK

    def release(self) -> None:
        """Close whatever is open."""
        self._batch.drop()
        for one in self._stack:
            if isinstance(one, Listing):
                one.close()
        self._stack.clear()

    # -- directories

    def _step(self) -> None:
        top = self._stack[-1]
        if isinstance(top, Node):
            self._stack.pop()
            self._start(top)
            return
        crowded = sum(isinstance(one, Listing) for one in self._stack) > _LISTINGS
        children: list[Node] = []
        while names := self._names(top):
            children += [node for name in names if (node := self._visit(top, name)) is not None]
            self._tally.report()
            self._walk.give_way()
            if self._tally.is_over or (children and not crowded):
                self._stack += reversed(children)
                return
        self._stack.pop()
        top.close()
        self._stack += reversed(children)

    def _names(self, listing: Listing) -> list[bytes]:
        try:
            return listing.names(_CHUNK)
        except OSError as exc:
            self._skip(reason_for(exc.errno), listing.node, b"")
            return []

    def _start(self, node: Node) -> None:
        try:
            self._stack.append(Listing(node, self._tree.open(node)))
        except OSError as exc:
            if exc.errno in _FULL and len(self._batch):
                self._batch.flush()
                self._stack.append(node)
                return
            self._skip(reason_for(exc.errno), node, b"")

    def _skip(self, reason: SkipReason, node: Node, name: bytes) -> None:
        def path() -> str:
            below = node.path()
            return os.fsdecode(os.path.join(below, name) if name else below or b".")

        self._tally.skip(reason, path)

    # -- what they hold

    def _visit(self, listing: Listing, name: bytes) -> Node | None:
        try:
            descriptor, seen = self._tree.look(listing.descriptor, name)
        except OSError as exc:
            if exc.errno in _FULL and len(self._batch):
                self._batch.flush()
                return self._visit(listing, name)
            if exc.errno != errno.ENOENT:
                self._tally.seen += 1
                self._skip(reason_for(exc.errno), listing.node, name)
            return None
        self._tally.seen += 1
        try:
            child, entry = self._consider(listing, name, descriptor, seen)
        except BaseException as exc:
            os.close(descriptor)
            if not isinstance(exc, OSError):
                raise
            self._skip(reason_for(exc.errno), listing.node, name)
            return None
        if entry is None:
            os.close(descriptor)
        else:
            self._batch.add(entry)
        return child

    def _consider(
        self, listing: Listing, name: bytes, descriptor: int, seen: kernel.Stat
    ) -> tuple[Node | None, Entry | None]:
        """Decide about an inode: return the directory to walk, if it is one, and the entry to hold, if
        any."""
        node = listing.node
        if stat.S_ISCHR(seen.mode) or stat.S_ISBLK(seen.mode):
            self._skip(SkipReason.DEVICE_NODE, node, name)
            return None, None
        child = None
        if stat.S_ISDIR(seen.mode):
            self._latest = max(self._latest, seen.modified)
            child = Node(node, name, seen.inode, seen.born)
        had = kernel.label_of(descriptor)
        decision = self._decide(node, name, seen, had)
        entry = Entry(node, name, descriptor, seen, had, decision)
        if decision.skip is not None:
            self._skip(decision.skip, node, name)
        elif (decision.writes or decision.records) and self._may_write(entry, listing.descriptor):
            return child, entry
        return child, None

    def _decide(self, node: Node, name: bytes, seen: kernel.Stat, had: bytes | None) -> Decision:
        def path() -> str:
            return os.path.join(self._walk.root.path, os.fsdecode(os.path.join(node.path(), name)))

        sight = InodeSight(seen.inode, seen.mode, seen.born, had, seen.links)
        return self._walk.strategy.decide(sight, Surroundings(path, node.upwards))

    def _may_write(self, entry: Entry, directory: int) -> bool:
        seen = entry.stat
        if stat.S_ISDIR(seen.mode) or entry.decision.is_known:
            return True
        if seen.links == 0:
            self._skip(SkipReason.VANISHED, entry.node, entry.name)
            return False
        if seen.links == 1:
            entry.is_settled = is_only_here(entry, directory)
            return True
        self._keep_linked(entry)
        return False

    def _keep_linked(self, entry: Entry) -> None:
        if len(self.linked) < _LINKED:
            self.linked.append((entry.stat.inode, os.path.join(entry.node.path(), entry.name)))
        else:
            self._skip(SkipReason.MULTIPLY_LINKED, entry.node, entry.name)
