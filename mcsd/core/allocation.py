"""One allocator for the whole host: which pairs of the configured run are free, and who has the others.

The levels of separate holders form an antichain: none dominates another. So what a held level blocks is
every pair comparable to it, not the equal one only. A level with one category blocks all pairs that
contain it, one with more blocks the pairs it contains, and one without blocks nothing.

Every holder counts, each under a kind: grants, reservations, groups, the quarantine, processes that run at a
level, and what the configuration sets aside. Levels are reference-counted: a level stays taken until its
last holder gives it back. Choosing takes nothing; the caller records the choice first, then takes it.

Reuse of a pair is put off as long as possible, because files that mcsd does not know of may still carry it.
Pairs that were never used come first, then those that have been free for the longest time. Pairs that an
engine or another process chose count as used too. `remember` loads what was used before the daemon started.

An overlord's level (`mcsd.core.processes`) is comparable to every other. That it is not separate from anyone
is reported; if it blocked what it contains, nobody would get a level at all. Only the configuration may set
so much aside.

In a fleet, hosts have blocks of pairs (`mcsd.core.fleet.blocks`), and choose from their own only: `limit`. A
level that somebody holds stays taken wherever its pairs are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain, combinations

from mcsd.core.fleet.blocks import BLOCK, BLOCKS, ranks_of
from mcsd.core.groups import joint_level, member_level
from mcsd.core.holders import Counts, Holder, HolderKind
from mcsd.core.labels import CATEGORY_COUNT, CategoryPair, Level
from mcsd.core.lattice import LevelIndex
from mcsd.core.pairs import EVERY_PAIR, FreePairs, PairRun, Randomness
from mcsd.core.processes import is_overlord
from mcsd.errors import ConflictError, ExhaustedError

__all__ = ["Allocator", "Counts", "Holder", "HolderKind", "Randomness"]


_ORDER = {kind: order for order, kind in enumerate(HolderKind)}
_FREE = len(_ORDER)

_UNKNOWN = "no pair is left that never was given, and what may carry the others is lost"
_TRIES = 64
"""Random draws for a member's pair before all candidates are searched."""


def pairs_of(level: Level) -> tuple[CategoryPair, ...]:
    """List the pairs that a level consists of, which its holder uses up: one for a plain pair.

    A single category is part of a thousand pairs, and an overlord's level of all: neither uses up any.
    """
    if is_overlord(level):
        return ()
    return tuple(CategoryPair(low, high) for low, high in combinations(level.numbers(), 2))


class Allocator:
    """Which pairs are free. Mutable, for one thread, no I/O."""

    def __init__(self, *, low: int, high: int, random: Randomness) -> None:
        """Start with all pairs of `c<low>` to `c<high>` free; raise `LabelSyntaxError` for a bad run."""
        self._run = PairRun(low, high)
        self._free = FreePairs(self._run.total)
        self._random = random
        self._unsaved: set[CategoryPair] = set()
        self._holds_given = False
        self._held: dict[Level, tuple[Holder, ...]] = {}
        self._index = LevelIndex()
        self._processes: dict[Level, Holder] = {}
        self._blocks: frozenset[int] | None = None
        self._kinds = bytearray([_FREE]) * self._run.total
        self._tally = [0] * _FREE + [self._run.total]

    # --- who holds what ----------------------------------------------------------------------------

    def take(self, level: Level, holder: Holder) -> None:
        """Count one more holder of a level, and block every pair comparable to it.

        Never refuses: a level that an engine chose is a fact."""
        if _is_passed_over(level, holder):
            return
        holders = self._held.get(level, ())
        self._held[level] = (*holders, holder)
        order = _ORDER[holder.kind]
        if not holders:
            self._index.add(level)
            for rank in self._run.ranks_comparable_to(level):
                self._free.block(rank)
                self._recount(rank, min(order, self._kinds[rank]))
            if holder.kind is not HolderKind.CONFIGURED:
                self._use_up(level, holder)
        elif order < _order_of(holders):
            for rank in self._run.ranks_comparable_to(level):
                self._recount(rank, min(order, self._kinds[rank]))

    def give_back(self, level: Level, holder: Holder) -> None:
        """Count one holder less; the last one frees every pair that no other level blocks.

        Raises `ValueError` if that holder does not have that level.
        """
        if _is_passed_over(level, holder):
            return
        holders = self._held.get(level, ())
        if holder not in holders:
            raise ValueError(f"{holder} does not hold {level}")
        at = holders.index(holder)
        left = holders[:at] + holders[at + 1 :]
        if left:
            self._held[level] = left
        else:
            del self._held[level]
            self._index.remove(level)
            for rank in self._run.ranks_comparable_to(level):
                self._free.unblock(rank)
        if not left or _order_of(left) != _order_of(holders):
            self._recount_all(level, _order_of(holders))

    def replace_processes(self, levels: Mapping[Level, Holder]) -> None:
        """Replace the levels that processes hold.

        Only the differences to the last call are applied.
        """
        before, self._processes = self._processes, dict(levels)
        for level, holder in self._processes.items():
            if before.get(level) != holder:
                self.take(level, holder)
        for level, holder in before.items():
            if self._processes.get(level) != holder:
                self.give_back(level, holder)

    def _use_up(self, level: Level, holder: Holder) -> None:
        ranks = [rank for pair in pairs_of(level) if (rank := self._run.rank_of(pair)) is not None]
        if holder.kind is HolderKind.PROCESS:
            self._unsaved.update(self._run.pair_at(rank) for rank in ranks if self._free.is_fresh(rank))
        for rank in ranks:
            self._free.give(rank)

    def unsaved(self) -> tuple[CategoryPair, ...]:
        """Return the pairs that processes were seen with and that the ledger does not have yet."""
        return tuple(self._unsaved)

    def saved(self, pairs: Iterable[CategoryPair]) -> None:
        """Note that the ledger has these now."""
        self._unsaved.difference_update(pairs)

    def remember(self, given: Iterable[int]) -> None:
        """Count pairs as used before, by their ranks among all pairs, the least recent first."""
        is_whole = self._run.total == EVERY_PAIR.total
        for number in given:
            rank = number if is_whole else self._run.rank_of(EVERY_PAIR.pair_at(number))
            if rank is not None:
                self._free.give(rank)

    def hold_given(self, held: bool) -> None:
        """Choose no pair that was ever used while `held`: which files still carry one is not known."""
        self._holds_given = held

    def _recount(self, rank: int, order: int) -> None:
        self._tally[self._kinds[rank]] -= 1
        self._tally[order] += 1
        self._kinds[rank] = order

    def _recount_all(self, level: Level, former: int) -> None:
        """Recount the pairs that counted under a kind which no longer holds `level`."""
        for rank in self._run.ranks_comparable_to(level):
            if self._kinds[rank] == former:
                self._recount(rank, self._order_at(rank))

    def _order_at(self, rank: int) -> int:
        if not self._free.blocks_on(rank):
            return _FREE
        blocking = self._index.comparable_to(self._run.pair_at(rank).level)
        return min((_order_of(self._held[level]) for level in blocking), default=_ORDER[HolderKind.FLEET])

    # --- blocks of a fleet -------------------------------------------------------------------------

    def limit(self, blocks: frozenset[int]) -> None:
        """Choose pairs of these blocks only. The range must be that of all pairs.

        The first call takes all other pairs away; later ones change what differs.
        """
        assert self._run.total == EVERY_PAIR.total, "blocks are of all pairs"
        before = self._blocks
        self._blocks = blocks
        if before is None:
            before = frozenset(range(BLOCKS))
            self._close(range(BLOCKS * BLOCK, self._run.total))
        for block in sorted(before - blocks):
            self._close(ranks_of(block))
        for block in sorted(blocks - before):
            for rank in ranks_of(block):
                self._free.unblock(rank)
                self._recount(rank, self._order_at(rank))

    def _close(self, ranks: range) -> None:
        for rank in ranks:
            self._free.block(rank)
            self._recount(rank, min(_ORDER[HolderKind.FLEET], self._kinds[rank]))

    def unused(self, blocks: Iterable[int]) -> frozenset[int]:
        """Return those blocks of which nobody holds, carries or blocks a pair."""
        free = _FREE, _ORDER[HolderKind.FLEET]
        return frozenset(
            block for block in blocks if all(self._kinds[rank] in free for rank in ranks_of(block))
        )

    # --- asking ------------------------------------------------------------------------------------

    def holders_of(self, level: Level) -> tuple[Holder, ...]:
        """List the holders of exactly this level, the first one first."""
        return self._held.get(level, ())

    def why_not(self, level: Level) -> tuple[Holder, ...]:
        """List the holders of levels comparable to this one; `()` if it is separate from all."""
        return tuple(chain.from_iterable(self._held[one] for one in self._index.comparable_to(level)))

    def counts(self) -> Counts:
        """Count the pairs, in constant time."""
        tally = {kind: self._tally[order] for kind, order in _ORDER.items()}
        return Counts(
            total=self._run.total,
            free=self._tally[_FREE],
            granted=tally[HolderKind.GRANT],
            reserved=tally[HolderKind.RESERVATION],
            grouped=tally[HolderKind.GROUP],
            quarantined=tally[HolderKind.QUARANTINE],
            foreign=tally[HolderKind.PROCESS],
            configured=tally[HolderKind.CONFIGURED],
            elsewhere=tally[HolderKind.FLEET],
        )

    # --- choosing ----------------------------------------------------------------------------------

    def choose(self) -> CategoryPair:
        """Return the next free pair in constant time, without taking it.

        Raises `ExhaustedError` with the counts if none is free.
        """
        if not len(self._free):
            raise self._exhausted("no pair is free")
        if self._holds_given and not self._free.never_given:
            raise self._exhausted(_UNKNOWN)
        return self._draw()

    def choose_member(self, *groups: CategoryPair) -> CategoryPair:
        """Return a free pair with which a new member of these groups is separate from all but the groups.

        The member's level is then `member_level(pair, groups)`; see `mcsd.core.groups`. Suitable
        pairs have the order of `choose`. Takes nothing; always terminates.

        Raises `ConflictError` if no pair is suitable because somebody else holds part of the groups'
        categories, and `ExhaustedError` if none is left.
        """
        self._refuse_intruders(groups)
        fits = self._fitting(groups)
        for _ in range(_TRIES if self._free.never_given else 0):
            pair = self._draw()
            if fits(pair):
                return pair
        fitting = {rank: pair for rank, pair in self._candidates(groups) if fits(pair)}
        if not fitting:
            raise self._exhausted(f"no pair is left for a member of {_listed(groups)}")
        fresh = [pair for rank, pair in fitting.items() if self._free.is_fresh(rank)]
        if fresh:
            return fresh[self._random.randrange(len(fresh))]
        if self._holds_given:
            raise self._exhausted(_UNKNOWN)
        return next(fitting[rank] for rank in self._free.given_in_turn() if rank in fitting)

    def _candidates(self, groups: Iterable[CategoryPair]) -> list[tuple[int, CategoryPair]]:
        """List the free pairs, with their ranks, of whose categories neither one, together with the groups',
        contains a held level."""
        common, allowed = joint_level(groups), {group.level for group in groups}

        def is_clear(category: int) -> bool:
            level = common.union(Level.of(category))
            return all(one in allowed for one in self._index.dominated_by(level))

        clear = [is_clear(category) for category in range(CATEGORY_COUNT)]
        pairs = ((rank, self._run.pair_at(rank)) for rank in self._free)
        return [(rank, pair) for rank, pair in pairs if clear[pair.low] and clear[pair.high]]

    def _draw(self) -> CategoryPair:
        return self._run.pair_at(self._free.draw(self._random))

    def _fitting(self, groups: Iterable[CategoryPair]) -> Callable[[CategoryPair], bool]:
        common, allowed = joint_level(groups), {group.level for group in groups}

        def fits(pair: CategoryPair) -> bool:
            level = member_level(pair, groups)
            if len(level) != len(common) + 2:
                return False
            return allowed.issuperset(self._index.comparable_to(level))

        return fits

    def _refuse_intruders(self, groups: Iterable[CategoryPair]) -> None:
        common, allowed = joint_level(groups), {group.level for group in groups}
        for level in self._index.dominated_by(common):
            for holder in self._held[level]:
                if level not in allowed or holder.kind is not HolderKind.GROUP:
                    raise ConflictError(
                        f"no level of a member of {_listed(groups)} can be separate: {holder} holds {level}",
                        hint="remove that holder, or make the group anew under another name",
                    )

    def _exhausted(self, what: str) -> ExhaustedError:
        counts = self.counts()
        return ExhaustedError(f"{what} in {self._run}: {counts}", hint=counts.way_out)


def _is_passed_over(level: Level, holder: Holder) -> bool:
    return is_overlord(level) and holder.kind is not HolderKind.CONFIGURED


def _order_of(holders: Iterable[Holder]) -> int:
    return min(_ORDER[holder.kind] for holder in holders)


def _listed(groups: Iterable[CategoryPair]) -> str:
    return " and ".join(f"the group at {group}" for group in groups)
