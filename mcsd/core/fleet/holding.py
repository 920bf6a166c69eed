"""What this host holds of its fleet's pairs, for explanations and for whoever is about to use a level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcsd.core.fleet.blocks import HIGHEST, block_of
from mcsd.core.fleet.protocol import Permission, Trouble, View
from mcsd.core.fleet.trees import FleetTree
from mcsd.core.fleet.troubles import text_of
from mcsd.core.fleet.values import FleetGroup, FleetRecord
from mcsd.core.labels import CategoryPair, Level


@dataclass(frozen=True, slots=True)
class Member:
    """A host as the store has it; `number` is that of its last operation, 0 before it has joined."""

    name: str
    blocks: int
    number: int
    generation: int
    doubt: str = ""
    trees: int = 0


@dataclass(frozen=True, slots=True)
class FleetHolding:
    """`asked` is when the store last answered, in seconds since the epoch; `detail` why it did not since."""

    name: str
    record: FleetRecord | None = None
    permission: Permission = field(default_factory=Permission)
    trouble: Trouble | None = Trouble.UNKNOWN
    detail: str = ""
    view: View | None = None
    asked: float | None = None
    requests: int = 0

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks that may be granted from."""
        return self.permission.blocks(self.record)

    @property
    def members(self) -> tuple[Member, ...]:
        """All hosts, as last read."""
        view = self.view
        if view is None:
            return ()
        found = []
        for name in sorted(view.fleet.hosts):
            fence, document = view.fences.get(name), view.documents.get(name)
            found.append(
                Member(
                    name,
                    len(document.blocks) if document is not None else 0,
                    fence.number if fence is not None else 0,
                    fence.generation if fence is not None else 0,
                    document.doubt if document is not None else "",
                    len(document.trees) if document is not None else 0,
                )
            )
        return tuple(found)

    def says(self) -> tuple[str, str] | None:
        """Return what is not as it should be and what to do; None if all is well."""
        if self.trouble is None:
            return None
        text, hint = text_of(self.trouble, self.name)
        more = f" ({self.detail})" if self.detail else ""
        return f"{text}{more}; {self._meaning()}", hint

    def _meaning(self) -> str:
        if not self.permission.is_proven:
            return "no level is granted until that is over; what runs goes on"
        if self.permission.contested:
            return "pairs that another host claims as well are not granted"
        return "levels are granted from the blocks that it holds, and no more are taken"

    @property
    def groups(self) -> Mapping[str, FleetGroup]:
        """The groups whose members may start, by name."""
        return {one.name: one for one in self.permission.groups(self.record)}

    @property
    def trees(self) -> frozenset[FleetTree]:
        """The directories on shared storage that this host may label."""
        return self.permission.trees(self.record)

    def may_hold(self, level: Level) -> bool:
        """Tell whether a container may start at a level that it has had before."""
        block = block_in(level)
        if block is None or block not in self.blocks:
            return False
        shared = tuple(number for number in level.numbers() if number > HIGHEST)
        return not shared or shared in {(one.low, one.high) for one in self.groups.values()}


def block_in(level: Level) -> int | None:
    """Return the block of a level's own pair, without a group's categories; None if that is no pair."""
    own = tuple(number for number in level.numbers() if number <= HIGHEST)
    if len(own) != 2 or level.sensitivity:
        return None
    return block_of(CategoryPair(*own))
