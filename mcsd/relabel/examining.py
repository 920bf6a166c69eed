"""Whether a volume may be labelled at all: judged by what was opened, not by its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mcsd.core.hints import Hint
from mcsd.core.protected import PSEUDO_FILE_SYSTEMS, ProtectedPlace, ProtectionRules, is_unlabelled
from mcsd.core.walks import MayChange, RawLabel, Root, may_always
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.homes import Homes
from mcsd.relabel.mounts import MountEntry, mounts
from mcsd.relabel.opening import OpenRoot, opened
from mcsd.relabel.places import PathIndexes, judge_home, judge_name, judge_place, judge_type, location_of


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is needed to judge a root. `default_label` asks the host's policy."""

    rules: ProtectionRules
    path_indexes: PathIndexes
    homes: Homes
    default_label: Callable[[str, int], str | None]
    may_change: MayChange = may_always

    def places(self, root: OpenRoot, storage: Collection[str]) -> tuple[ProtectedPlace, ...]:
        """List further protected places: engines' storage, and homes of the owners of files here."""
        homes = self.rules.home_places(self.homes.near(root))
        return (*self.rules.storage_places(storage), *homes)


def examined(path: str, grounds: Grounds, allowed: Collection[str], storage: Collection[str]) -> Root:
    """Open a volume's root and judge it; raises `VolumeRefusedError` and `VolumeFailedError`.

    What mcsd's own sandbox hides, as its unit hides the host's devices, is judged by its name.
    """
    try:
        return _examined(path, grounds, allowed, storage)
    except VolumeFailedError:
        judge_name(path, grounds.rules)
        raise


def _examined(path: str, grounds: Grounds, allowed: Collection[str], storage: Collection[str]) -> Root:
    with opened(path) as root:
        path_index = grounds.path_indexes.latest()
        mount = path_index.mount(root.stat.mount)
        _judge_kind(root, path, mount)
        location = location_of(root.descriptor, root.parent, mount)
        judge_place(location, path, grounds.rules, allowed, path_index, grounds.places(root, storage))
        label = label_of(root, path)
        admitted = (one for one in map(path_index.location, allowed) if one is not None)
        is_allowed = any(location.is_within(one) for one in admitted)
        judge_type(label, path, is_allowed=is_allowed, may_change=grounds.may_change(label))
        if root.is_directory:
            judge_home(grounds.default_label(root.path, root.stat.mode), path, is_allowed=is_allowed)
        return Root(
            path=root.path,
            identity=root.identity,
            is_directory=root.is_directory,
            label=None if label is None else os.fsdecode(label.rstrip(b"\0")),
            file_system=mount.file_system if mount else "",
            mount_id=root.stat.mount,
            writable=mount is None or not mount.is_read_only,
        )


def _judge_kind(root: OpenRoot, path: str, mount: MountEntry | None) -> None:
    mode = root.stat.mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise VolumeRefusedError(
            f"volume {path!r} is a device node", hint=Hint.GIVE_DEVICE.say(), rule="device-node"
        )
    if mount is not None and mount.file_system in PSEUDO_FILE_SYSTEMS:
        raise VolumeRefusedError(
            f"volume {path!r} is part of the kernel's {mount.file_system!r} file system",
            rule="pseudo-file-system",
        )
    if mount is not None and mount.fixed_label:
        raise VolumeRefusedError(
            f"volume {path!r} is on a file system that is mounted with context=: all of it has the label "
            f"{mount.fixed_label!r}",
            hint=Hint.MOUNT_WITH_CONTEXT.say(),
            rule="fixed-label",
        )
    if mount is not None and is_unlabelled(mount.file_system, mount.options):
        raise _no_labels(path, mount.file_system)
    if not root.is_directory and root.stat.links > 1:
        raise VolumeRefusedError(
            f"volume {path!r} is a file with {root.stat.links} names",
            hint=Hint.GIVE_COPY.say(),
            rule="multiply-linked",
        )


def label_of(root: OpenRoot, path: str) -> RawLabel:
    """Read a root's label; raises `VolumeRefusedError` if the file system has no labels."""
    try:
        return kernel.label_of(root.descriptor)
    except OSError as exc:
        if exc.errno == errno.ENOTSUP:
            raise _no_labels(path, "") from exc
        raise VolumeFailedError(
            f"the label of volume {path!r} cannot be read: {os.strerror(exc.errno or errno.EIO).lower()}"
        ) from exc


def _no_labels(path: str, file_system: str) -> VolumeRefusedError:
    where = f"a {file_system!r} file system" if file_system else "a file system"
    return VolumeRefusedError(
        f"volume {path!r} is on {where} that keeps no labels",
        hint=Hint.MOUNT_WITH_CONTEXT.say(),
        rule="no-labels",
    )


def file_system_of(root: OpenRoot) -> str:
    """Return the type of the file system that a root is on, "" if its mount is not visible."""
    mount = mounts().get(root.stat.mount)
    return mount.file_system if mount else ""


def require_writable(root: OpenRoot, path: str) -> None:
    """Raise `VolumeFailedError` for a root on a read-only mount."""
    mount = mounts().get(root.stat.mount)
    if mount is not None and mount.is_read_only:
        raise VolumeFailedError(
            f"volume {path!r} is on a read-only mount, so its labels cannot be changed",
            hint=Hint.REMOUNT.say(),
        )
