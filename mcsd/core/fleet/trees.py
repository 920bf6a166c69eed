"""Directories on shared storage that hosts have labelled, or are about to, as all hosts of a fleet know them.

Two hosts that mount one storage may have it at different paths, by different sources and device numbers. What
they have in common is where on the storage a directory is, and its inode's number, which these file systems
give every host alike. Which storage it is cannot be told by any of them for sure: a server has several names,
a device another path on each host. So two storages of one type count as one, unless administrators have named
both, and differently. What is taken for the same and is not, is refused to one of two hosts; what is the same
is never taken for two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mcsd.core.labels import Level
from mcsd.core.volumes import overlap

MOST_TREES = 1000
"""Directories that a host may have on shared storage at once."""
MOST_CHARACTERS = 256 * 1024
"""Of their paths and holders together, as JSON has them: a host's document has to fit into a request to the
store."""


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
    """A directory with everything below it, and the level that a host gives it.

    `holder` is for messages, and makes no other tree of it: containers come and go while a host has one.
    They are ordered, so that what is written of the same ones is the same.
    """

    place: SharedPlace
    level: Level
    holder: str = field(compare=False)

    def __lt__(self, other: FleetTree) -> bool:
        return (self.place, str(self.level)) < (other.place, str(other.level))

    def excludes(self, other: FleetTree) -> bool:
        """Tell whether two hosts cannot both have their way: private levels are never another host's too."""
        return self.level != other.level and self.place.may_touch(other.place)


@dataclass(slots=True)
class _Node:
    """A directory of the storage, of whatever storage: what is below it, and the trees that are there."""

    below: dict[str, _Node] = field(default_factory=dict)
    here: list[tuple[str, FleetTree]] = field(default_factory=list)


class TreeIndex:
    """Trees of hosts by their places: a fleet has thousands, and each is compared with few of them."""

    def __init__(self, trees: Iterable[tuple[str, FleetTree]]) -> None:
        self._top = _Node()
        self._by_inode: dict[int, list[tuple[str, FleetTree]]] = {}
        for one in trees:
            place = one[1].place
            self._by_inode.setdefault(place.inode, []).append(one)
            node = self._top
            for part in PurePosixPath(place.path).parts:
                node = node.below.setdefault(part, _Node())
            node.here.append(one)

    def excluding(self, tree: FleetTree) -> Iterator[tuple[str, FleetTree]]:
        """Yield the trees that exclude this one, with their hosts; one may come twice."""
        return (one for one in self._near(tree.place) if tree.excludes(one[1]))

    def _near(self, place: SharedPlace) -> Iterator[tuple[str, FleetTree]]:
        yield from self._by_inode.get(place.inode, ())
        node = self._top
        for part in PurePosixPath(place.path).parts:
            if part not in node.below:
                return
            node = node.below[part]
            yield from node.here
        inside = list(node.below.values())
        while inside:
            node = inside.pop()
            yield from node.here
            inside += node.below.values()


def has_room(trees: Iterable[FleetTree]) -> bool:
    """Tell whether a host may have so many."""
    written = [len(json.dumps([one.place.path, one.holder])) for one in trees]
    return len(written) <= MOST_TREES and sum(written) <= MOST_CHARACTERS
