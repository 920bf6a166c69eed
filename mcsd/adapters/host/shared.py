"""Labelled storage that several hosts can mount, as this host's table of mounts has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mcsd.core.fleet.storages import SharedMount, is_shared_and_labelled
from mcsd.relabel.mounts import MountEntry, by_point, mount_above, mounts


class MountedStorages:
    """`mcsd.ports.SharedStorages`. `table` is the text of a table of mounts, None for this host's."""

    def __init__(self, table: bytes | None = None) -> None:
        self._table = table

    def shared(self, paths: Collection[str]) -> Mapping[str, SharedMount]:
        """Return the paths on shared storage with their mounts; a path is compared by name."""
        points = by_point(mounts(self._table))
        if not any(map(_is_shared, points.values())):
            return {}  # as on most hosts: it is asked after each change in the ledger
        found = {path: mount_above(path, points) for path in paths}
        return {
            path: _shared(mount) for path, mount in found.items() if mount is not None and _is_shared(mount)
        }


def _is_shared(mount: MountEntry) -> bool:
    return is_shared_and_labelled(mount.file_system, mount.options, fixed_label=bool(mount.fixed_label))


def _shared(mount: MountEntry) -> SharedMount:
    return SharedMount(mount.point, mount.file_system, mount.source)
