"""Files with several hard links: labelled if every link is in the volume, left alone otherwise.

A loop has collected the names. Each file is opened again and each of its names looked up. If as many lead to
it as it has links, and no link was added or removed meanwhile, it belongs to the volume alone.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, defaultdict
from functools import partial

from mcsd.core.walks import RawLabel, SkipReason
from mcsd.relabel import kernel
from mcsd.relabel.counters import reason_for
from mcsd.relabel.passing import TICK, Names, Pass, is_steady, write_failure
from mcsd.relabel.strategies import Decision, InodeSight, Surroundings

_BATCH = 256
_OPEN = 64
_PATIENCE = 3


class _Directories:
    """Directories below a root by their paths, the latest kept open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def of(self, path: bytes) -> tuple[int, bytes]:
        """Return a descriptor of the directory that a path is in, valid until the next call, and the name."""
        directory, _, name = path.rpartition(b"/")
        if not directory:
            return self._root, name
        if directory not in self._open:
            self._open[directory] = self._reach(directory)
            if len(self._open) > _OPEN:
                os.close(self._open.popitem(last=False)[1])
        return self._open[directory], name

    def _reach(self, directory: bytes) -> int:
        current = os.dup(self._root)
        for part in directory.split(b"/"):
            try:
                following = kernel.look_at(current, part)
            finally:
                os.close(current)
            current = following
        return current

    def close(self) -> None:
        """Close them."""
        for descriptor in self._open.values():
            os.close(descriptor)


def take_linked(names: Names, walk: Pass) -> None:
    """Decide about the files that a loop has collected; their names are counted either way."""
    by_inode: defaultdict[int, list[bytes]] = defaultdict(list)
    for inode, path in names:
        by_inode[inode].append(path)
    files = list(by_inode.items())
    directories = _Directories(walk.root.descriptor)
    try:
        for start in range(0, len(files), _BATCH):
            if walk.tally.is_over:
                return
            _take_batch(files[start : start + _BATCH], directories, walk)
            walk.tally.report()
    finally:
        directories.close()


def _take_batch(files: list[tuple[int, list[bytes]]], directories: _Directories, walk: Pass) -> None:
    held: list[tuple[int, bytes, InodeSight, Decision]] = []
    try:
        for inode, paths in files:
            reason = SkipReason.MULTIPLY_LINKED
            try:
                found = _held(inode, paths, directories, walk)
            except OSError as exc:  # which does not say where its links are
                found, reason = None, reason_for(exc.errno)
            if found is not None:
                held.append((found[0], paths[0], *found[1:]))
                continue
            for path in paths:
                walk.tally.skip(reason, partial(os.fsdecode, path))
        _write(held, walk)
    finally:
        for descriptor, *_ in held:
            os.close(descriptor)


def _held(
    inode: int, paths: list[bytes], directories: _Directories, walk: Pass
) -> tuple[int, InodeSight, Decision] | None:
    """Open a file if all its links are in the volume, else return None. Raises `OSError`."""
    descriptor = kernel.look_at(*directories.of(paths[0]))
    try:
        seen = _all_inside(descriptor, inode, paths, directories)
        if seen is not None:
            had = kernel.label_of(descriptor)
            sight = InodeSight(seen.inode, seen.mode, seen.born, had)
            host = os.path.join(walk.root.path, os.fsdecode(paths[0]))
            return descriptor, sight, walk.strategy.decide(sight, Surroundings(lambda: host))
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _all_inside(
    descriptor: int, inode: int, paths: list[bytes], directories: _Directories
) -> kernel.Stat | None:
    for _ in range(_PATIENCE):
        before = kernel.stat_of(descriptor)
        if before.inode != inode or before.links > len(paths):
            return None
        found = {
            (kernel.stat_of(directory).inode, name)
            for directory, name in map(directories.of, paths)
            if kernel.stat_at(directory, name).inode == inode
        }
        if is_steady(before, kernel.stat_of(descriptor)):
            return before if len(found) == before.links else None
        time.sleep(TICK / 1e9)
    return None


def _write(held: list[tuple[int, bytes, InodeSight, Decision]], walk: Pass) -> None:
    groups: defaultdict[RawLabel, list[int]] = defaultdict(list)
    for _, _, sight, decision in held:
        if decision.records:
            groups[sight.label].append(sight.inode)
    if any(decision.records or decision.writes for *_, decision in held):
        walk.begin()
    if groups and walk.originals is not None:
        walk.originals.record_inodes(groups.items(), max(sight.born for _, _, sight, _ in held))
    for descriptor, path, _, decision in held:
        if decision.skip is not None:
            walk.tally.skip(decision.skip, partial(os.fsdecode, path))
        elif decision.writes:
            try:
                kernel.set_label(descriptor, decision.label)
                walk.tally.changed += 1
            except OSError as exc:
                reason = write_failure(exc, walk.root.path)
                walk.tally.skip(reason, partial(os.fsdecode, path))
