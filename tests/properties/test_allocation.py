"""The allocator against a model that knows nothing but dominance. Promises 1 and 2."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcsd.core.allocation import Allocator, Counts, Holder, HolderKind
from mcsd.core.groups import member_level
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.processes import is_overlord
from mcsd.errors import ConflictError, ExhaustedError
from tests.properties.lattices import levels

LOW, HIGH = 3, 8
PAIRS = [CategoryPair(low, high) for low, high in combinations(range(LOW, HIGH + 1), 2)]
ORDER = list(HolderKind)

some_level = st.one_of(
    levels(LOW - 1, HIGH + 1),
    st.sampled_from([pair.level for pair in PAIRS]),
    st.just(Level.of(*range(20))),
)
holders = st.builds(
    Holder,
    st.sampled_from([kind for kind in HolderKind if kind not in {HolderKind.PROCESS, HolderKind.FLEET}]),
    st.sampled_from(["web", "db"]),
)


def counts(level: Level, holder: Holder) -> bool:
    """Tell whether a hold keeps others away at all."""
    return bool(level.categories) and (holder.kind is HolderKind.CONFIGURED or not is_overlord(level))


class AllocatorHistories(RuleBasedStateMachine):
    """Everybody comes and goes; after each step the allocator says what the list of holds says."""

    held: list[tuple[Level, Holder]]
    processes: dict[Level, Holder]

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.allocator = Allocator(low=LOW, high=HIGH, random=random.Random(seed))
        self.held = []
        self.processes = {}

    # --- the model -------------------------------------------------------------------------------

    def near(self, level: Level) -> list[tuple[Level, Holder]]:
        everyone = [*self.held, *self.processes.items()]
        if not level.categories:
            return []
        return [(one, who) for one, who in everyone if counts(one, who) and one.is_comparable_to(level)]

    def free(self) -> set[CategoryPair]:
        return {pair for pair in PAIRS if not self.near(pair.level)}

    def members(self, groups: tuple[CategoryPair, ...]) -> set[CategoryPair]:
        allowed = {group.level for group in groups}
        size = 2 + len({n for group in groups for n in (group.low, group.high)})
        return {
            pair
            for pair in self.free()
            if len(level := member_level(pair, groups)) == size
            and all(one in allowed for one, _ in self.near(level))
        }

    # --- what happens ----------------------------------------------------------------------------

    @rule(level=some_level, holder=holders)
    def take(self, level: Level, holder: Holder) -> None:
        self.allocator.take(level, holder)
        self.held.append((level, holder))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        level, holder = self.held.pop(at)
        self.allocator.give_back(level, holder)

    @rule(level=some_level, holder=holders)
    def give_back_what_is_not_held(self, level: Level, holder: Holder) -> None:
        overlord = is_overlord(level) and holder.kind is not HolderKind.CONFIGURED
        if (level, holder) in self.held or overlord:
            return
        try:
            self.allocator.give_back(level, holder)
        except ValueError as exc:
            assert str(level) in str(exc)
        else:
            raise AssertionError("a hold that is not there was given back")

    @rule(seen=st.dictionaries(some_level, st.sampled_from(["process 1", "process 2"]), max_size=4))
    def scan(self, seen: dict[Level, str]) -> None:
        self.processes = {level: Holder(HolderKind.PROCESS, name) for level, name in seen.items()}
        self.allocator.replace_processes(self.processes)

    @rule()
    def allocate(self) -> None:
        """Promise 1: what is chosen is separate from everyone. It ends, or says exactly why not."""
        free = self.free()
        try:
            pair = self.allocator.choose()
        except ExhaustedError as exc:
            assert not free
            assert str(self.allocator.counts()) in exc.what and exc.hint
            return
        assert pair in free
        self.take(pair.level, Holder(HolderKind.GRANT, "new"))

    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        """Promise 1, for groups: a member is separate from everyone but the groups' own pairs."""
        present = {
            level for level, holder in self.held if holder.kind is HolderKind.GROUP and len(level) == 2
        }
        pairs = sorted(pair for level in present if (pair := CategoryPair.from_level(level)) is not None)
        if not pairs:
            return
        groups = tuple(data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=2, unique=True)))
        fitting = self.members(groups)
        try:
            pair = self.allocator.choose_member(*groups)
        except ExhaustedError:
            assert not fitting
        except ConflictError:
            common = member_level(groups[0], groups)
            allowed = {group.level for group in groups}
            assert [
                one
                for one, who in self.near(common)
                if common.dominates(one) and (one not in allowed or who.kind is not HolderKind.GROUP)
            ]
        else:
            assert pair in fitting
            self.take(member_level(pair, groups), Holder(HolderKind.GRANT, "member"))

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def the_same_pairs_are_free(self) -> None:
        free = self.free()
        for pair in PAIRS:
            assert (not self.allocator.why_not(pair.level)) == (pair in free)
        assert self.allocator.counts().free == len(free)

    @invariant()
    def every_pair_is_counted_once_under_its_first_reason(self) -> None:
        tally = dict.fromkeys(ORDER, 0)
        for pair in PAIRS:
            near_by = self.near(pair.level)
            if near_by:
                tally[min((who.kind for _, who in near_by), key=ORDER.index)] += 1
        assert self.allocator.counts() == Counts(
            total=len(PAIRS),
            free=len(self.free()),
            granted=tally[HolderKind.GRANT],
            reserved=tally[HolderKind.RESERVATION],
            grouped=tally[HolderKind.GROUP],
            quarantined=tally[HolderKind.QUARANTINE],
            foreign=tally[HolderKind.PROCESS],
            configured=tally[HolderKind.CONFIGURED],
        )

    @invariant()
    def everyone_in_the_way_is_named(self) -> None:
        for level in {level for level, _ in self.held}:
            named = sorted(map(str, self.allocator.why_not(level)))
            assert named == sorted(str(who) for _, who in self.near(level))


TestAllocatorHistories = AllocatorHistories.TestCase
