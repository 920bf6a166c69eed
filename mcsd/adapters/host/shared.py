"""Labelled storage that several hosts can mount, as this host's table of mounts has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from mcsd.core.fleet.storages import SharedMount, is_shared_and_labelled
from mcsd.relabel.mounts import MountEntry, mounts


class MountedStorages:
    """`mcsd.ports.SharedStorages`. `table` is the text of a table of mounts, None for this host's."""

    def __init__(self, table: bytes | None = None) -> None:
        self._table = table

    def shared(self, paths: Collection[str]) -> Mapping[str, SharedMount]:
        """Return the paths on shared storage with their mounts; a path is compared by name."""
        by_point = {mount.point: mount for mount in mounts(self._table).values()}  # a later one covers it
        found = {path: _mount_of(path, by_point) for path in paths}
        return {
            path: _shared(mount) for path, mount in found.items() if mount is not None and _is_shared(mount)
        }


def _mount_of(path: str, by_point: Mapping[str, MountEntry]) -> MountEntry | None:
    pure = PurePosixPath(path)
    return next((by_point[str(one)] for one in (pure, *pure.parents) if str(one) in by_point), None)


def _is_shared(mount: MountEntry) -> bool:
    return is_shared_and_labelled(mount.file_system, mount.options, fixed_label=bool(mount.fixed_label))


def _shared(mount: MountEntry) -> SharedMount:
    return SharedMount(mount.point, mount.file_system, mount.source)
