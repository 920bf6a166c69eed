"""Directories on shared storage that hosts have labelled, or are about to, as all hosts of a fleet know them.

Two hosts that mount one storage may have it at different paths, by different sources and device numbers. What
they have in common is where on the storage a directory is, and its inode's number, which these file systems
give every host alike. Which storage it is cannot be told by any of them for sure: a server has several names,
a device another path on each host. So two storages of one type count as one, unless administrators have named
both, and differently. What is taken for the same and is not, is refused to one of two hosts; what is the same
is never taken for two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mcsd.core.labels import Level
from mcsd.core.volumes import overlap

MOST_TREES = 1000
"""Directories that a host may have on shared storage at once."""
MOST_CHARACTERS = 256 * 1024
"""Of their paths together: a host's document has to fit into a request to the store."""


@dataclass(frozen=True, slots=True, order=True)
class SharedPlace:
    """Where a directory is, whoever mounts the storage: `path` begins at the storage's own root.

    `storage` is the name that the configuration gives it, "" for none.
    """

    file_system: str
    storage: str
    path: str
    inode: int

    def may_touch(self, other: SharedPlace) -> bool:
        """Tell whether one may be in the other, or be the other."""
        return self._may_be_on_storage_of(other) and (
            self.inode == other.inode or overlap(self.path, other.path)
        )

    def _may_be_on_storage_of(self, other: SharedPlace) -> bool:
        if self.storage and other.storage:
            return self.storage == other.storage
        return self.file_system == other.file_system


@dataclass(frozen=True, slots=True)
class FleetTree:
    """A directory with everything below it, and the level that a host gives it. `holder` is for messages.

    They are ordered, so that what is written of the same ones is the same.
    """

    place: SharedPlace
    level: Level
    holder: str

    def __lt__(self, other: FleetTree) -> bool:
        return (self.place, str(self.level), self.holder) < (other.place, str(other.level), other.holder)

    def excludes(self, other: FleetTree) -> bool:
        """Tell whether two hosts cannot both have their way: private levels are never another host's too."""
        return self.level != other.level and self.place.may_touch(other.place)


def has_room(trees: Iterable[FleetTree]) -> bool:
    """Tell whether a host may have so many."""
    paths = [len(one.place.path) + len(one.holder) for one in trees]
    return len(paths) <= MOST_TREES and sum(paths) <= MOST_CHARACTERS
