"""Marking the directories of a volume, through descriptors as in a walk.

A directory is marked before it is listed: entries created later cause events, earlier ones are listed. So
nothing is missed, however busy the tree is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from mcsd.adapters.fanotify import calls as calls
from mcsd.core.walks import Cancellation
from mcsd.relabel import kernel
from mcsd.relabel.tree import Node, Tree

Met = Callable[[int, bytes], None]
_PASSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ESTALE}
"""Errors for a directory that was removed, was replaced, or is on another file system by now."""


class NoRoomError(Exception):
    """There are more directories than may be marked."""


class BrokenOffError(Exception):
    """The marking was cancelled."""


@dataclass(frozen=True, slots=True)
class Marking:
    """Marks directories: `room` of them at most; `met` is called for each entry."""

    group: int
    with_files: bool
    room: int
    stopped: Cancellation
    met: Met | None = None

    def mark(self, root: int) -> int:
        """Mark a directory and all below it on the same mount, and return their number.

        Raises `NoRoomError`, `BrokenOffError`, and `OSError` if the file system does not support it.
        """
        count = 0
        for descriptor in _directories(root, self._entries_of):
            try:
                calls.mark(self.group, descriptor, with_files=self.with_files)
            except OSError as exc:
                if exc.errno == errno.EACCES and count:
                    continue  # it has a protected label, and a walk leaves it alone as well
                raise
            count += 1
            if count > self.room:
                raise NoRoomError
            if self.stopped.is_set():
                raise BrokenOffError
        return count

    def unmark(self, root: int) -> int:
        """Remove the marks, as far as there are any, and return the number of directories."""
        count = 0
        for descriptor in _directories(root, self._entries_of):
            with suppress(OSError):  # created or moved in since, and never marked
                calls.unmark(self.group, descriptor)
            count += 1
        return count

    def _entries_of(self, listing: int) -> Iterator[os.DirEntry[str]]:
        with os.scandir(listing) as entries:
            for entry in entries:
                if self.met is not None:
                    self.met(listing, os.fsencode(entry.name))
                yield entry


def _directories(root: int, entries_of: Callable[[int], Iterator[os.DirEntry[str]]]) -> Iterator[int]:
    """Yield a descriptor of each directory, before it is listed."""
    tree = Tree(root, kernel.stat_of(root))
    waiting = [tree.root]
    try:
        while waiting:
            node = waiting.pop()
            try:
                descriptor = tree.open(node)
            except OSError as exc:
                if exc.errno in _PASSING and node.parent is not None:
                    continue
                raise
            yield descriptor
            waiting += _below(node, descriptor, entries_of)
    finally:
        tree.close()


def _below(
    node: Node, descriptor: int, entries_of: Callable[[int], Iterator[os.DirEntry[str]]]
) -> list[Node]:
    try:
        listing = kernel.listing_of(descriptor)
    except OSError as exc:
        if exc.errno in _PASSING:
            return []
        raise
    try:
        return [
            Node(node, os.fsencode(entry.name), entry.inode(), 0)
            for entry in entries_of(listing)
            if _is_directory(entry)
        ]
    finally:
        os.close(listing)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # a file system on a server that is gone
        return False


def is_directory(descriptor: int) -> bool:
    """Tell whether a descriptor is a directory's."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)
