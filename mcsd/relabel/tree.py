"""The directories of a volume, reached through descriptors, with few of them open at a time.

A directory that was closed is opened again from the nearest open one above it, name by name, and each must be
the same inode as before; if not, everything below it is left alone and counted.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from mcsd.relabel import kernel

_OPEN = 64


@dataclass(slots=True, eq=False)
class Node:
    """A directory below the root, or the root itself; `born` as in `kernel.Stat`."""

    parent: Node | None
    name: bytes
    inode: int
    born: int
    descriptor: int = -1

    def path(self) -> bytes:
        """The path below the root, b"" for the root."""
        parts: list[bytes] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return b"/".join(reversed(parts))

    def upwards(self) -> Iterator[tuple[int, int]]:
        """Return inode and time of birth of this and of the directories above it."""
        node: Node | None = self
        while node is not None:
            yield node.inode, node.born
            node = node.parent


class SwappedError(OSError):
    """A name no longer leads to the same inode."""

    def __init__(self, name: bytes) -> None:
        super().__init__(errno.ENOTDIR, "is another directory now", os.fsdecode(name))


class Tree:
    """Opens directories of one volume and keeps the latest open. The caller owns `root`."""

    def __init__(self, root: int, stat: kernel.Stat) -> None:
        self.root = Node(None, b"", stat.inode, stat.born, root)
        self._device, self._mount = stat.device, stat.mount
        self._open: OrderedDict[int, Node] = OrderedDict()

    def look(self, directory: int, name: bytes) -> tuple[int, kernel.Stat]:
        """Open a name in a directory; raises `OSError`, EXDEV at a mount point."""
        descriptor = kernel.look_at(directory, name)
        try:
            stat = kernel.stat_of(descriptor)
            if (stat.device, stat.mount) != (self._device, self._mount):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(name))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, stat

    def open(self, node: Node) -> int:
        """Return a descriptor of a directory, valid until 64 others have been requested."""
        missing: list[Node] = []
        nearest: Node | None = node
        while nearest is not None and nearest.descriptor < 0:
            missing.append(nearest)
            nearest = nearest.parent
        for one in reversed(missing):
            self._reopen(one)
        if node.parent is not None:
            self._open.move_to_end(id(node))
        return node.descriptor

    def adopt(self, node: Node, descriptor: int) -> None:
        """Take over a directory's descriptor."""
        node.descriptor = descriptor
        self._open[id(node)] = node
        while len(self._open) > _OPEN:
            self._drop(next(iter(self._open.values())))

    def _reopen(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None  # the root is never closed
        descriptor, stat = self.look(parent.descriptor, node.name)
        if stat.inode != node.inode:
            os.close(descriptor)
            raise SwappedError(node.name)
        self.adopt(node, descriptor)

    def _drop(self, node: Node) -> None:
        del self._open[id(node)]
        os.close(node.descriptor)
        node.descriptor = -1

    def is_inside(self, node: Node) -> bool:
        """Tell whether a directory is still below the root, wherever both are now, according to the
        kernel."""
        if node.parent is None:
            return True
        try:
            root, path = kernel.path_of(self.root.descriptor), kernel.path_of(self.open(node))
        except OSError as exc:
            if exc.errno != errno.ENAMETOOLONG:
                return False
            return self._is_where_it_was(node)
        return path.startswith(root.rstrip("/") + "/")

    def _is_where_it_was(self, node: Node) -> bool:
        """Tell whether a directory is still in its parent, for paths that are too long for the kernel."""
        above = os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=self.open(node))
        try:
            return node.parent is not None and kernel.stat_of(above).inode == node.parent.inode
        finally:
            os.close(above)

    def close(self) -> None:
        """Close every descriptor but the root's."""
        for node in list(self._open.values()):
            self._drop(node)


class Listing:
    """A directory being read. Its names are opened relative to its own descriptor; close it when done."""

    def __init__(self, node: Node, descriptor: int) -> None:
        self.node = node
        self.descriptor = kernel.listing_of(descriptor)
        try:
            self._entries = os.scandir(self.descriptor)
        except BaseException:
            os.close(self.descriptor)
            raise

    def names(self, limit: int) -> list[bytes]:
        """Return the next names; an empty list at the end."""
        return [os.fsencode(entry.name) for entry in islice(self._entries, limit)]

    def close(self) -> None:
        """Release both descriptors."""
        self._entries.close()
        os.close(self.descriptor)
