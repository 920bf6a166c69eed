"""Scanning the host's own file systems for labels with a container's level. Only reads.

A scan visits directories in the order of their names, so a path says how far it is, and an interrupted scan
continues from there. It pauses in proportion to its work, so it only takes a share of the time of a processor
and of the disks. It scans one mount at a time, and follows no links.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcsd.core.walks import Cancellation
from mcsd.relabel import kernel
from mcsd.relabel.mounts import MountEntry, mounts
from mcsd.relabel.tree import Node, Tree

_STINT = 0.01
"""Seconds of work between two pauses."""
_KEEPING_LABELS = frozenset(
    {"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "reiserfs", "tmpfs", "xfs", "zfs"}
)
"""Local file systems that store a label for each file."""
NOT_LABELLED = frozenset({errno.ENODATA, errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP})
"""There is no label: none was written, the file system has none, or the file is gone."""


def scannable(top: str = "") -> tuple[str, ...]:
    """Return the directories to scan: for each of the host's own file systems, the mount that shows most of
    it.

    A mount over a part of the same file system, at that part's own path (a service's read-only /usr), hides
    that part from a scan of the rest, so it counts separately. With `top`, that and the mounts below it.
    """
    own = [mount for mount in mounts().values() if mount.file_system in _KEEPING_LABELS]
    most: dict[str, MountEntry] = {}
    for mount in own:
        known = most.get(mount.device)
        if known is None or (len(mount.root), len(mount.point)) < (len(known.root), len(known.point)):
            most[mount.device] = mount
    points = {mount.point for mount in own if _is_in_place(mount, most[mount.device])}
    if not top:
        return tuple(sorted(points))
    return (top, *sorted(point for point in points if point != top and _is_below(point, top)))


def _is_in_place(mount: MountEntry, most: MountEntry) -> bool:
    if not _is_below(mount.root, most.root):
        return False
    below = os.path.relpath(mount.root, most.root)
    return mount.point == os.path.normpath(os.path.join(most.point, below))


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of one mount. `met` is called with each path and label that `wants` accepts; `share` as above.

    `told` is called from time to time with the current path, how many inodes were read and how many could not
    be, including directories. `after` is such a path from an earlier scan.
    """

    wants: Callable[[bytes], bool]
    met: Callable[[str, bytes], None]
    told: Callable[[str, int, int], None]
    stopped: Cancellation
    share: float
    after: str = ""

    def run(self, top: str) -> bool:
        """Scan below a directory; return whether it was completed. Raises `OSError` if that does not
        exist."""
        root = kernel.look_at_path(top)
        try:
            return self._walk(top, root)
        finally:
            os.close(root)

    def _walk(self, top: str, root: int) -> bool:
        found = kernel.stat_of(root)
        if not stat.S_ISDIR(found.mode):
            self._judge(os.fsencode(top), b"/proc/self/fd/%d" % root, follow=True)
            return True
        tree = Tree(root, found)
        after = tuple(os.fsencode(self.after.removeprefix(top)).strip(b"/").split(b"/")) if self.after else ()
        waiting: list[tuple[Node, tuple[bytes, ...]]] = [(tree.root, tuple(part for part in after if part))]
        seen = unseen = 0
        began = time.monotonic()
        unseen += not self._judge(os.fsencode(top), b"/proc/self/fd/%d" % root, follow=True)
        try:
            while waiting:
                node, skipping = waiting.pop()
                if self.stopped.is_set():
                    self.told(self._path(top, node), seen, unseen)
                    return False
                try:
                    below = self._look(top, tree, node)
                except OSError as exc:
                    unseen += exc.errno not in {errno.ENOENT, errno.ENOTDIR}
                    continue
                seen += below[0]
                unseen += below[1]
                waiting += reversed(list(_from(below[2], skipping)))
                if time.monotonic() - began > _STINT:
                    self.told(self._path(top, node), seen, unseen)
                    time.sleep((time.monotonic() - began) * (1 - self.share) / self.share)
                    began = time.monotonic()
        finally:
            tree.close()
        self.told(top, seen, unseen)
        return True

    @staticmethod
    def _path(top: str, node: Node) -> str:
        return os.path.join(top, os.fsdecode(node.path()))

    def _look(self, top: str, tree: Tree, node: Node) -> tuple[int, int, list[Node]]:
        """Read the labels in a directory; return how many were read, how many could not be, and its
        subdirectories by name."""
        listing = kernel.listing_of(tree.open(node))
        above = os.path.join(os.fsencode(top), node.path())
        place = b"/proc/self/fd/%d/" % listing
        directories = []
        count = unseen = 0
        try:
            with os.scandir(listing) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    unseen += not self._judge(os.path.join(above, name), place + name)
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(Node(node, name, entry.inode(), 0))
        finally:
            os.close(listing)
        return count, unseen, sorted(directories, key=lambda one: one.name)

    def _judge(self, path: bytes, place: bytes, *, follow: bool = False) -> bool:
        """Read one label; return whether that was possible."""
        try:
            label = os.getxattr(place, kernel.LABEL, follow_symlinks=follow)
        except OSError as exc:
            return exc.errno in NOT_LABELLED
        if self.wants(label):
            self.met(os.fsdecode(path), label)
        return True


def _from(directories: list[Node], skipping: tuple[bytes, ...]) -> Iterator[tuple[Node, tuple[bytes, ...]]]:
    """Skip directories before the path to continue from; those on the way to it are entered."""
    for one in directories:
        if skipping and one.name < skipping[0]:
            continue
        yield one, skipping[1:] if skipping and one.name == skipping[0] else ()
