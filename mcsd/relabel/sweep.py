"""One pass over everything below a volume's root: look, decide, record, write.

Inodes are gathered in batches, each held by a descriptor from the first look to the write, so a name that
changes hands in between changes nothing. Before a batch is written its originals are flushed to disk.

A file with one link could be somebody else's all the same: a name made in the tree for a victim outside and
removed while the link count is read. So its name, link count and time of change are read once more:
equal times say that no link came or went in between, unless they lie within one tick of the kernel's
clock. A file that changed this very moment is therefore looked at again a little later.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel
from mcsd.relabel.originals import Originals
from mcsd.relabel.tally import Tally, reason_for
from mcsd.relabel.treatments import Decision, Sight, Treatment
from mcsd.relabel.tree import Listing, Node, Tree
from mcsd.relabel.values import Label, SkipReason

BATCH = 256
_CHUNK = 256
_LISTINGS = 32
"""Directories held open half-read; in a deeper nest of large ones the rest of each is read at once."""
TICK = 20_000_000
"""Nanoseconds: two ticks of the slowest clock (CONFIG_HZ=100)."""
_PATIENCE = 3
_LINKED = 65536
"""Names of multiply linked files kept to see whether all are in the tree; the rest are left alone."""


@dataclass(slots=True, eq=False)
class Entry:
    """An inode held for writing."""

    node: Node
    name: bytes
    descriptor: int
    stat: kernel.Stat
    had: Label
    decision: Decision
    is_settled: bool = True


@dataclass(slots=True)
class _Linked:
    links: int
    names: list[tuple[Node, bytes]] = field(default_factory=list)


class Sweep:
    """A pass. `begin` is called once, before the first record or write."""

    def __init__(
        self,
        tree: Tree,
        root: str,
        treatment: Treatment,
        originals: Originals | None,
        tally: Tally,
        *,
        begin: Callable[[], None],
        links_consented: bool = False,
    ) -> None:
        self._tree, self._root = tree, root
        self._treatment, self._originals, self._tally = treatment, originals, tally
        self._begin, self._links_consented = begin, links_consented
        self._batch: list[Entry] = []
        self._stack: list[Node | Listing] = []
        self._linked: dict[int, _Linked] = {}
        self._linked_names = 0
        self._began = kernel.stamp()
        self.was_disturbed = False
        """Whether a directory changed since the pass began, so that something may have been missed."""

    def run(self) -> None:
        """Walk everything below the root; ends early when the tally says that it is cancelled."""
        self._stack.append(self._tree.root)
        try:
            self._note_change(kernel.stat_of(self._tree.root.descriptor))
            while self._stack and not self._tally.is_over:
                self._step()
            if not self._tally.is_over:
                self._flush()
                self._take_linked()
                self._flush()
        finally:
            self._release()

    def _release(self) -> None:
        for entry in self._batch:
            os.close(entry.descriptor)
        self._batch.clear()
        for one in self._stack:
            if isinstance(one, Listing):
                one.close()
        self._stack.clear()

    # -- walking

    def _step(self) -> None:
        top = self._stack[-1]
        if isinstance(top, Node):
            self._stack.pop()
            self._start(top)
            return
        crowded = sum(isinstance(one, Listing) for one in self._stack) > _LISTINGS
        children: list[Node] = []
        while names := top.names(_CHUNK):
            children += [node for name in names if (node := self._visit(top, name)) is not None]
            self._tally.report()
            if self._tally.is_over or (children and not crowded):
                self._stack += reversed(children)
                return
        self._stack.pop()
        top.close()
        self._stack += reversed(children)

    def _start(self, node: Node) -> None:
        try:
            self._stack.append(Listing(node, self._tree.open(node)))
        except OSError as exc:
            if exc.errno in {errno.EMFILE, errno.ENFILE} and self._batch:
                self._flush()
                self._stack.append(node)
                return
            self._skip(reason_for(exc.errno), node, b"")

    def _skip(self, reason: SkipReason, node: Node, name: bytes) -> None:
        self._tally.skip(reason, lambda: os.fsdecode(os.path.join(node.path(), name)))

    def _visit(self, listing: Listing, name: bytes) -> Node | None:
        try:
            descriptor, seen = self._tree.look(listing.descriptor, name)
        except OSError as exc:
            if exc.errno in {errno.EMFILE, errno.ENFILE} and self._batch:
                self._flush()
                return self._visit(listing, name)
            if exc.errno != errno.ENOENT:
                self._tally.seen += 1
                self._skip(reason_for(exc.errno), listing.node, name)
            return None
        self._tally.seen += 1
        try:
            return self._consider(listing.node, listing.descriptor, name, descriptor, seen)
        except OSError as exc:
            os.close(descriptor)
            self._skip(reason_for(exc.errno), listing.node, name)
            return None

    def _consider(
        self, node: Node, directory: int, name: bytes, descriptor: int, seen: kernel.Stat
    ) -> Node | None:
        """Decide about an inode; the descriptor is kept in the batch, or closed, unless this raises."""
        if stat.S_ISCHR(seen.mode) or stat.S_ISBLK(seen.mode):
            self._skip(SkipReason.DEVICE_NODE, node, name)
            os.close(descriptor)
            return None
        had = kernel.label_of(descriptor)
        decision = self._decide(node, name, seen, had)
        child = None
        if stat.S_ISDIR(seen.mode):
            self._note_change(seen)
            child = Node(node, name, seen.inode, decision.label if decision.writes else had)
        entry = Entry(node, name, descriptor, seen, had, decision)
        if decision.skip is not None:
            self._skip(decision.skip, node, name)
            os.close(descriptor)
        elif not (decision.writes or decision.records) or not self._may_write(entry, directory):
            os.close(descriptor)
        else:
            self._batch.append(entry)
            if len(self._batch) >= BATCH:
                self._flush()
        return child

    def _decide(self, node: Node, name: bytes, seen: kernel.Stat, had: Label) -> Decision:
        def path() -> str:
            return os.path.join(self._root, os.fsdecode(os.path.join(node.path(), name)))

        return self._treatment.decide(
            Sight(seen.inode, seen.mode, seen.born, had, seen.links), path, node.label
        )

    def _note_change(self, seen: kernel.Stat) -> None:
        self.was_disturbed = self.was_disturbed or seen.modified >= self._began - TICK

    # -- whose is it?

    def _may_write(self, entry: Entry, directory: int) -> bool:
        seen = entry.stat
        if stat.S_ISDIR(seen.mode) or entry.decision.is_known:
            return True
        if seen.links == 0:
            self._skip(SkipReason.VANISHED, entry.node, entry.name)
            return False
        if seen.links == 1:
            entry.is_settled = _is_only_here(entry, directory)
            return True
        if self._links_consented:
            return True
        self._keep_linked(entry)
        return False

    def _keep_linked(self, entry: Entry) -> None:
        if self._linked_names >= _LINKED:
            self._skip(SkipReason.MULTIPLY_LINKED, entry.node, entry.name)
            return
        linked = self._linked.setdefault(entry.stat.inode, _Linked(entry.stat.links))
        linked.names.append((entry.node, entry.name))
        self._linked_names += 1

    def _take_linked(self) -> None:
        """Deal with files of more than one link: those whose every name is in this tree are this tree's."""
        for inode, linked in self._linked.items():
            if len(linked.names) < linked.links or not self._take_one(inode, linked):
                for node, name in linked.names:
                    self._skip(SkipReason.MULTIPLY_LINKED, node, name)
        self._linked.clear()

    def _take_one(self, inode: int, linked: _Linked) -> bool:
        node, name = linked.names[0]
        try:
            descriptor, before = self._tree.look(self._tree.open(node), name)
        except OSError:
            return False
        try:
            if not self._has_all_names(descriptor, before, inode, linked):
                os.close(descriptor)
                return False
            had = kernel.label_of(descriptor)
            decision = self._decide(node, name, before, had)
        except OSError:
            os.close(descriptor)
            return False
        if decision.writes or decision.records:
            self._batch.append(Entry(node, name, descriptor, before, had, decision))
        else:
            os.close(descriptor)
        return True

    def _has_all_names(self, descriptor: int, before: kernel.Stat, inode: int, linked: _Linked) -> bool:
        for _ in range(_PATIENCE):
            found = {
                (node.inode, name)
                for node, name in linked.names
                if kernel.stat_at(self._tree.open(node), name).inode == inode
            }
            after = kernel.stat_of(descriptor)
            if _is_steady(before, after) and before.inode == inode:
                return len(found) == after.links
            time.sleep(TICK / 1e9)
            before = kernel.stat_of(descriptor)
        return False

    # -- writing

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        try:
            batch = self._settled(batch)
            if not batch:
                return
            self._begin()
            self._record([entry for entry in batch if entry.decision.records])
            inside: dict[int, bool] = {}
            for entry in batch:
                if entry.decision.writes:
                    self._write(entry, inside)
        finally:
            for entry in batch:
                os.close(entry.descriptor)
        self._tally.report()

    def _settled(self, batch: list[Entry]) -> list[Entry]:
        """Look again at files that changed when they were looked at; what stays unsure is left alone."""
        for _ in range(_PATIENCE):
            unsure = [entry for entry in batch if not entry.is_settled]
            if not unsure:
                break
            time.sleep(TICK / 1e9)
            for entry in unsure:
                self._look_again(entry)
        for entry in batch:
            if not entry.is_settled:
                self._skip(SkipReason.SWAPPED, entry.node, entry.name)
        settled = [entry for entry in batch if entry.is_settled]
        for entry in batch:
            if not entry.is_settled:
                os.close(entry.descriptor)
        return settled

    def _look_again(self, entry: Entry) -> None:
        try:
            entry.stat = kernel.stat_of(entry.descriptor)
            if entry.stat.links == 1:
                entry.is_settled = _is_only_here(entry, self._tree.open(entry.node))
        except OSError:
            entry.is_settled = False

    def _record(self, entries: list[Entry]) -> None:
        if not entries or self._originals is None:
            return
        groups: dict[Label, list[int]] = {}
        for entry in entries:
            groups.setdefault(entry.had, []).append(entry.stat.inode)
        self._originals.record(groups.items(), kernel.stamp())

    def _write(self, entry: Entry, inside: dict[int, bool]) -> None:
        node = entry.node
        if id(node) not in inside:
            inside[id(node)] = self._tree.is_inside(node)
        if not inside[id(node)]:
            self._skip(SkipReason.SWAPPED, node, entry.name)
            return
        try:
            kernel.set_label(entry.descriptor, entry.decision.label)
            self._tally.changed += 1
            if stat.S_ISDIR(entry.stat.mode):
                self._note_change(kernel.stat_of(entry.descriptor))
        except OSError as exc:
            self._skip(write_failure(exc, self._root), node, entry.name)
            if exc.errno == errno.EROFS:
                self._tally.is_ended = True  # the whole mount is, so there is no point in going on


def write_failure(exc: OSError, volume: str) -> SkipReason:
    """Give the reason to count for a label that was not written; raises where none ever can be."""
    if exc.errno == errno.EINVAL:
        raise VolumeFailedError(
            f"the kernel's policy does not know the label for volume {volume!r}",
            hint="check [labels] file_type against the loaded policy",
        ) from exc
    return reason_for(exc.errno)


def _is_steady(before: kernel.Stat, after: kernel.Stat) -> bool:
    """Tell whether no link came or went between two looks.

    A change within the clock's last tick may not show; but one that came with new content, as in a file
    that is written to all the time, was no link.
    """
    if before.changed != after.changed or before.links != after.links:
        return False
    return after.changed < kernel.stamp() - TICK or after.changed == after.modified


def _is_only_here(entry: Entry, directory: int) -> bool:
    try:
        again = kernel.stat_at(directory, entry.name)
    except OSError:
        return False
    return again.inode == entry.stat.inode and again.links == 1 and _is_steady(entry.stat, again)
