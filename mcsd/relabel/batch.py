"""Inodes that the plain loop holds for writing, each by a descriptor from the first check to the write.

So replacing a name in between has no effect. Before a batch is written, its originals are flushed to disk.

Even a file with one link may belong outside the volume: an attacker can make a link in the tree to a victim
outside and remove it while the link count is read. So name, link count and ctime are read again: equal times
show that no link was added or removed in between, unless they are within one tick of the kernel's clock. A
file that changed just now is therefore checked again a little later.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from mcsd.core.walks import RawLabel, SkipReason
from mcsd.relabel import kernel
from mcsd.relabel.passing import TICK, Pass, is_steady, write_failure
from mcsd.relabel.strategies import Decision
from mcsd.relabel.tree import Node, Tree

_PATIENCE = 3


@dataclass(slots=True, eq=False)
class Entry:
    """An inode held for writing; a settled one has no links outside this volume."""

    node: Node
    name: bytes
    descriptor: int
    stat: kernel.Stat
    had: RawLabel
    decision: Decision
    is_settled: bool = True


def is_only_here(entry: Entry, directory: int) -> bool:
    """Tell whether the name in a directory is the only one of a file, and was so when it was examined."""
    try:
        again = kernel.stat_at(directory, entry.name)
    except OSError:
        return False
    return again.inode == entry.stat.inode and again.links == 1 and is_steady(entry.stat, again)


class Batch:
    """Entries to be written; `skip` counts those that are left alone after all."""

    def __init__(self, tree: Tree, walk: Pass, skip: Callable[[SkipReason, Node, bytes], None]) -> None:
        self._tree, self._walk, self._skip = tree, walk, skip
        self._entries: list[Entry] = []
        self.latest = 0
        """The latest change time of a directory that was seen while writing."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Hold an inode; the batch owns its descriptor from now on."""
        self._entries.append(entry)
        if len(self._entries) >= self._walk.effort.batch:
            self.flush()

    def drop(self) -> None:
        """Release everything without writing it."""
        for entry in self._entries:
            os.close(entry.descriptor)
        self._entries.clear()

    def flush(self) -> None:
        """Write the entries: originals to disk first, then labels."""
        try:
            self._settle()
            settled = [entry for entry in self._entries if entry.is_settled]
            if settled:
                self._walk.take_place()
                self._walk.begin()
                self._record(settled)
                self._write(settled)
        finally:
            self.drop()
        self._walk.tally.report()

    def _settle(self) -> None:
        """Check files again that changed while they were examined; if that stays so, they are left alone."""
        for _ in range(_PATIENCE):
            unsure = [entry for entry in self._entries if not entry.is_settled]
            if not unsure:
                return
            time.sleep(1.25 * TICK / 1e9)
            for entry in unsure:
                self._look_again(entry)
        for entry in self._entries:
            if not entry.is_settled:
                self._skip(SkipReason.SWAPPED, entry.node, entry.name)

    def _look_again(self, entry: Entry) -> None:
        try:
            entry.stat = kernel.stat_of(entry.descriptor)
            if entry.stat.links == 1 and kernel.label_of(entry.descriptor) == entry.had:
                entry.is_settled = is_only_here(entry, self._tree.open(entry.node))
        except OSError:
            entry.is_settled = False

    def _record(self, entries: list[Entry]) -> None:
        groups: defaultdict[RawLabel, list[int]] = defaultdict(list)
        for entry in entries:
            if entry.decision.records:
                groups[entry.had].append(entry.stat.inode)
        if groups and self._walk.originals is not None:
            self._walk.originals.record_inodes(groups.items(), max(entry.stat.born for entry in entries))

    def _write(self, entries: list[Entry]) -> None:
        inside: dict[int, bool] = {}
        for entry in entries:
            if self._walk.tally.is_over:
                return
            if not entry.decision.writes:
                continue
            node = entry.node
            if id(node) not in inside:
                inside[id(node)] = self._tree.is_inside(node)
            if inside[id(node)]:
                self._write_one(entry)
            else:
                self._skip(SkipReason.SWAPPED, node, entry.name)

    def _write_one(self, entry: Entry) -> None:
        tally = self._walk.tally
        try:
            kernel.set_label(entry.descriptor, entry.decision.label)
            tally.changed += 1
            if stat.S_ISDIR(entry.stat.mode):
                self.latest = max(self.latest, kernel.stat_of(entry.descriptor).modified)
        except OSError as exc:
            self._skip(write_failure(exc, self._walk.root.path), entry.node, entry.name)
            if exc.errno == errno.EROFS:
                tally.is_ended = True  # the whole mount is read-only, so there is no point in going on
