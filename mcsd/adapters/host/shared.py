"""Labelled storage that several hosts can mount, as this host's table of mounts has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from mcsd.core.fleet.storages import NamedStorage, SharedMount, is_shared_and_labelled, root_of_source
from mcsd.relabel.mounts import MountEntry, by_point, mount_above, mounts


class MountedStorages:
    """`mcsd.ports.SharedStorages`. `table` is the text of a table of mounts, None for this host's.

    `named` is what the configuration says of storage: that is shared whatever its type, so that a server may
    name what it exports.
    """

    def __init__(self, table: bytes | None = None, named: Sequence[NamedStorage] = ()) -> None:
        self._table = table
        self._named = sorted(named, key=lambda one: len(one.path), reverse=True)

    def shared(self, paths: Collection[str]) -> Mapping[str, SharedMount]:
        """Return the paths on shared storage with their mounts; a path is compared by name."""
        points = by_point(mounts(self._table))
        if not self._named and not any(map(_is_shared, points.values())):
            return {}  # as on most hosts: it is asked after each change in the ledger
        found = {path: self._shared(path, points) for path in paths}
        return {path: mount for path, mount in found.items() if mount is not None}

    def _shared(self, path: str, points: Mapping[str, MountEntry]) -> SharedMount | None:
        mount = mount_above(path, points)
        if mount is None:
            return None
        for one in self._named:
            is_in_it = PurePosixPath(path).is_relative_to(one.path)
            if is_in_it and PurePosixPath(one.path).is_relative_to(mount.point):
                root = one.root or str(_root_of(mount) / PurePosixPath(one.path).relative_to(mount.point))
                return SharedMount(one.path, mount.file_system, mount.source, root, one.name)
        if not _is_shared(mount):
            return None
        return SharedMount(mount.point, mount.file_system, mount.source, str(_root_of(mount)))


def _root_of(mount: MountEntry) -> PurePosixPath:
    """Return where on the storage a mount point is."""
    return PurePosixPath(root_of_source(mount.file_system, mount.source)) / mount.root.lstrip("/")


def _is_shared(mount: MountEntry) -> bool:
    return is_shared_and_labelled(mount.file_system, mount.options, fixed_label=bool(mount.fixed_label))
