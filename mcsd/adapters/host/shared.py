"""Labelled storage that several hosts can mount, as this host's table of mounts has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.fleet.storages import NamedStorage, SharedMount, is_shared_and_labelled, root_of_source
from mcsd.relabel.mounts import MountEntry, by_point, mount_above, mounts, position

_ITSELF = PurePosixPath()


class MountedStorages:
    """`mcsd.ports.SharedStorages`. `table` is the text of a table of mounts, None for this host's.

    `named` is what the configuration says of storage: that is shared whatever its type, so that a server may
    name what it exports.
    """

    def __init__(self, table: bytes | None = None, named: Sequence[NamedStorage] = ()) -> None:
        self._table = table
        self._named = tuple(named)

    def shared(self, paths: Collection[str]) -> Mapping[str, SharedMount]:
        """Return the paths on shared storage with their mounts.

        A named storage is found also through a bind mount, and by a directory that it lies in.
        """
        points = by_point(mounts(self._table))
        if not self._named and not any(map(_is_shared, points.values())):
            return {}  # as on most hosts: it is asked after each change in the ledger
        known = [place for one in self._named if (place := _Place.of(one, points)) is not None]
        places = sorted(known, key=lambda one: len(one.at.parts), reverse=True)
        found = {path: self._shared(path, points, places) for path in paths}
        return {path: mount for path, mount in found.items() if mount is not None}

    def _shared(
        self, path: str, points: Mapping[str, MountEntry], places: Sequence[_Place]
    ) -> SharedMount | None:
        mount = mount_above(path, points)
        if mount is None:
            return None
        for one in places:
            if (named := one.seen_at(path, mount)) is not None:
                return named
        if not _is_shared(mount):
            return None
        return SharedMount(mount.point, mount.file_system, mount.source, str(_root_of(mount)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a named directory is: its mount, and its position in the file system, whatever shows it."""

    named: NamedStorage
    mount: MountEntry
    device: str
    at: PurePosixPath

    @classmethod
    def of(cls, named: NamedStorage, points: Mapping[str, MountEntry]) -> _Place | None:
        mount = mount_above(named.path, points)
        return None if mount is None else cls(named, mount, *position(named.path, mount))

    def seen_at(self, path: str, mount: MountEntry) -> SharedMount | None:
        """Return the storage if a path on this mount is in it, or has it in itself: then as a whole."""
        device, at = position(path, mount)
        if device != self.device:
            return None
        if mount == self.mount and PurePosixPath(path).is_relative_to(self.named.path):
            return self._shown_at(self.named.path)
        if at.is_relative_to(self.at):  # by a bind mount
            return self._shown_at(path, at.relative_to(self.at))
        return self._shown_at(path) if self.at.is_relative_to(at) else None

    def _shown_at(self, point: str, below: PurePosixPath = _ITSELF) -> SharedMount:
        inside = PurePosixPath(self.named.path).relative_to(self.mount.point)
        root = PurePosixPath(self.named.root) if self.named.root else _root_of(self.mount) / inside
        kind, source = self.mount.file_system, self.mount.source
        return SharedMount(point, kind, source, str(root / below), self.named.name)


def _root_of(mount: MountEntry) -> PurePosixPath:
    """Return where on the storage a mount point is."""
    return PurePosixPath(root_of_source(mount.file_system, mount.source)) / mount.root.lstrip("/")


def _is_shared(mount: MountEntry) -> bool:
    return is_shared_and_labelled(mount.file_system, mount.options, fixed_label=bool(mount.fixed_label))
