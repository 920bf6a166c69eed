"""What a volume is, and whether it may be labelled at all: judged by what was opened, not by its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from mcsd.core.protected import PSEUDO_FILE_SYSTEMS, ProtectionRules, is_unlabelled
from mcsd.errors import VolumeFailedError, VolumeRefusedError
from mcsd.relabel import kernel
from mcsd.relabel.mounts import Mount, mounts
from mcsd.relabel.opening import Opened, opened
from mcsd.relabel.places import Atlases, judge_place, judge_type, spot_of
from mcsd.relabel.values import Label, Root


def examined(path: str, rules: ProtectionRules, allowed: Collection[str], atlases: Atlases) -> Root:
    """Open a volume's root and judge it; raises `VolumeRefusedError` and `VolumeFailedError`."""
    with opened(path) as root:
        atlas = atlases.latest()
        mount = atlas.mount(root.stat.mount)
        _judge_kind(root, path, mount)
        spot = spot_of(root.descriptor, root.parent, mount)
        judge_place(spot, path, rules, allowed, atlas)
        label = label_of(root, path)
        admitted = (one for one in map(atlas.spot, allowed) if one is not None)
        judge_type(label, path, is_allowed=any(spot.is_within(one) for one in admitted))
        return Root(
            path=root.path,
            identity=root.identity,
            is_directory=root.is_directory,
            label=None if label is None else os.fsdecode(label.rstrip(b"\0")),
            file_system=mount.file_system if mount else "",
            mount_id=root.stat.mount,
            writable=mount is None or not mount.is_read_only,
        )


def _judge_kind(root: Opened, path: str, mount: Mount | None) -> None:
    mode = root.stat.mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise VolumeRefusedError(
            f"volume {path!r} is a device node", hint="give it with --device instead", rule="device-node"
        )
    if mount is not None and mount.file_system in PSEUDO_FILE_SYSTEMS:
        raise VolumeRefusedError(
            f"volume {path!r} is part of the kernel's {mount.file_system!r} file system",
            hint="this cannot be allowed",
            rule="pseudo-file-system",
        )
    if mount is not None and is_unlabelled(mount.file_system):
        raise _no_labels(path, mount.file_system)
    if not root.is_directory and root.stat.links > 1:
        raise VolumeRefusedError(
            f"volume {path!r} is a file with {root.stat.links} names",
            hint="its other names are not this container's; copy it, or mount a directory",
            rule="multiply-linked",
        )


def label_of(root: Opened, path: str) -> Label:
    """Read a root's label; raises `VolumeRefusedError` where there are none to be had."""
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
        hint="mount that file system with context= for the container's level, or use another one",
        rule="no-labels",
    )


def require_writable(root: Opened, path: str) -> None:
    """Raise `VolumeFailedError` for a root on a read-only mount."""
    mount = mounts().get(root.stat.mount)
    if mount is not None and mount.is_read_only:
        raise VolumeFailedError(
            f"volume {path!r} is on a read-only mount, so its labels cannot be changed",
            hint="remount it read-write, or mount it with context= for the container's level",
        )
