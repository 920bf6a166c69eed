"""The daemon with a fleet's store: what it may grant, what it takes and gives back, and what it costs."""

from __future__ import annotations

import asyncio

import pytest

from mcsd.app.wiring import FleetSide
from mcsd.control.fleet_keeper import FleetKeeper
from mcsd.core.allocation import Holder, HolderKind
from mcsd.core.fleet.administration import admit, begin_recovery, end_recovery, evict
from mcsd.core.fleet.blocks import BLOCK, GROUP_PAIRS, HIGHEST
from mcsd.core.fleet.holding import block_in
from mcsd.core.fleet.protocol import Trouble, View
from mcsd.core.fleet.values import Document, FleetGroup, Swap, document_key
from mcsd.core.hints import Hint
from mcsd.errors import ConflictError, ExhaustedError, FleetError, GateError, LedgerError
from tests.fakes.world import World
from tests.following import follows
from tests.unit.control.fleet_hosts import UnsteadyStore, booted, gated_host, host, keeper, new_id, play
from tests.unit.control.test_start_admission import level_of, start, stop


@pytest.fixture(autouse=True)
def _turns_by_hand(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Turns are taken by the tests, except by those that ask for the keeper's own loop."""
    if "own_loop" not in request.fixturenames:
        monkeypatch.setattr(FleetKeeper, "run", lambda _: asyncio.sleep(3600))


@pytest.fixture
def own_loop() -> None:
    """The keeper's own loop runs."""


def fill(world: World, left: int) -> None:
    """Have somebody hold pairs, until so many are free."""
    allocator = world.mcsd.store.allocator
    while allocator.counts().free > left:
        allocator.take(allocator.choose().level, Holder(HolderKind.PROCESS, "a process"))


def free(world: World) -> int:
    return world.mcsd.store.allocator.counts().free


def test_pairs_come_from_blocks_that_the_store_has_for_this_host() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await booted(host(store)), await booted(host(store, "beta", "dmi:b"))
        try:
            assert free(one) >= 500 and keeper(one).holding.trouble is None
            assert not keeper(one).holding.blocks & keeper(other).holding.blocks
            grants = [await world.mcsd.facade.reserve("vm", group=None) for world in (one, other)]
            for world, grant in zip((one, other), grants, strict=True):
                assert block_in(grant.level) in keeper(world).holding.blocks
        finally:
            await one.kill()
            await other.kill()

    play(story)


def test_a_start_costs_the_store_nothing_and_a_reserve_is_kept() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            before = store.requests
            for number in range(20):
                await world.mcsd.facade.reserve(f"vm-{number}", group=None)
            fill(world, 500)
            assert store.requests == before
            await world.mcsd.facade.reserve("one-more", group=None)
            await keeper(world).turn()
            assert free(world) == 499 + BLOCK and store.requests == before + 3
        finally:
            await world.kill()

    play(story)


def test_what_is_not_needed_is_given_back_and_what_is_used_is_not() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store, reserve=3000))
        try:
            used = block_in((await world.mcsd.facade.reserve("vm", group=None)).level)
            held = keeper(world).holding.blocks
            await world.kill()
            world.config = host(store).config  # the administrator has lowered the reserve
            await booted(world)
            after = keeper(world).holding.blocks
            assert len(after) < len(held) and after < held and used in after
            view = View.of(store.read())
            assert view is not None and view.documents["alpha"].blocks == after
        finally:
            await world.kill()

    play(story)


def test_a_host_that_is_cut_off_goes_on_with_what_it_holds() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            store.is_down = True
            with pytest.raises(FleetError):
                await keeper(world).turn()
            fill(world, 1)
            await world.mcsd.facade.reserve("vm", group=None)
            with pytest.raises(ExhaustedError, match="not this host's") as refused:
                await world.mcsd.facade.reserve("one-more", group=None)
            assert "mcsctl fleet status" in refused.value.hint
        finally:
            await world.kill()

    play(story)


def test_after_a_start_nothing_is_granted_before_the_store_has_answered() -> None:
    """Promise 9: the ledger may have been put back."""

    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            level = (await world.mcsd.facade.reserve("vm", group=None)).level
            assert keeper(world).may_hold(level)
            await world.kill()
            store.is_down = True
            await world.boot()
            with pytest.raises(FleetError):
                await keeper(world).turn()
            assert free(world) == 0 and not keeper(world).may_hold(level)
            with pytest.raises(ExhaustedError):
                await world.mcsd.facade.reserve("another", group=None)
            store.is_down = False
            await keeper(world).turn()
            assert free(world) >= 500 and keeper(world).may_hold(level)
        finally:
            await world.kill()

    play(story)


def test_an_answer_that_is_lost_is_no_loss() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = host(store)
        await world.boot()
        store.lies = True
        try:
            for _ in range(6):
                try:
                    await keeper(world).turn()
                except FleetError:
                    continue
            assert free(world) >= 500 and keeper(world).holding.trouble is None
        finally:
            await world.kill()

    play(story)


def test_a_ledger_that_was_put_back_is_found_out() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        old = world.tables.copy()
        await world.kill()
        await booted(world)
        await world.kill()
        vars(world.tables).update(vars(old))
        await booted(world)
        try:
            assert keeper(world).holding.trouble is Trouble.BEHIND and free(world) == 0
            standing = world.mcsd.facade.snapshot().fleet
            assert standing is not None
            ((text, hint),) = standing.troubles()
            assert "earlier state" in text and "no level is granted" in text and "evict alpha" in hint
            assert world.papers.kinds().count("FLEET_TROUBLE") == 1
        finally:
            await world.kill()

    play(story)


def test_a_copy_of_a_disk_in_another_machine_grants_nothing() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        await world.kill()
        copy = host(store, machine="dmi:c")
        copy.tables = world.tables
        await booted(copy)
        try:
            assert keeper(copy).holding.trouble is Trouble.COPIED and free(copy) == 0
        finally:
            await copy.kill()

    play(story)


def test_an_evicted_host_stops_and_another_may_have_its_blocks() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            await world.mcsd.facade.reserve("vm", group=None)
            store.administer(lambda view: evict(view, "alpha", new_id))
            await keeper(world).turn()
            assert keeper(world).holding.trouble is Trouble.EVICTED and free(world) == 0
            store.administer(lambda view: admit(view, "alpha", new_id))
            await keeper(world).turn()
            assert keeper(world).holding.trouble is Trouble.EVICTED, "what it held may be others' by now"
            await world.mcsd.facade.release("vm")
            await world.quiet()
            await keeper(world).turn()
            assert keeper(world).holding.trouble is None and free(world) >= 500
        finally:
            await world.kill()

    play(story)


def test_a_restored_store_is_recovered() -> None:
    """Blocks that were taken since the backup are written again before anybody takes any."""

    async def story(store: UnsteadyStore) -> None:
        one, other = await booted(host(store)), host(store, "beta", "dmi:b")
        backup = store.backup()
        await booted(other)
        try:
            held = keeper(other).holding.blocks
            store.revision += 10_000
            for world in (one, other):
                await keeper(world).turn()
            store.restore(backup, cluster="2")
            for world in (one, other):
                await keeper(world).turn()
                assert keeper(world).holding.trouble is Trouble.RESTORED and free(world) >= 500
            store.administer(lambda view: begin_recovery(view, new_id))
            await keeper(one).turn()
            with pytest.raises(ConflictError, match="beta"):
                store.administer(lambda view: end_recovery(view, new_id))
            await keeper(other).turn()
            assert keeper(one).holding.trouble is Trouble.RECOVERING
            store.administer(lambda view: end_recovery(view, new_id))
            for world in (one, other):
                await keeper(world).turn()
                assert keeper(world).holding.trouble is None
            assert keeper(other).holding.blocks == held
        finally:
            await one.kill()
            await other.kill()

    play(story)


def test_nothing_is_taken_that_the_ledger_does_not_have() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            before = store.backup().values
            fill(world, 400)
            world.ledger.failure = LedgerError("the disk is full")
            with pytest.raises(LedgerError):
                await keeper(world).turn()
            assert store.backup().values == before
            world.ledger.failure = None
            await keeper(world).turn()
            assert free(world) >= 500
        finally:
            await world.kill()

    play(story)


@pytest.mark.usefixtures("own_loop")
def test_the_next_block_comes_in_the_background() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = host(store)
        await world.boot()
        try:
            while free(world) < 500:
                await asyncio.sleep(0.01)
            fill(world, 500)
            await world.mcsd.facade.reserve("vm", group=None)
            while free(world) < 500:
                await asyncio.sleep(0.01)
        finally:
            await world.kill()

    play(story)


def test_a_container_keeps_its_level_only_while_that_is_certain_to_be_this_host_s() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(gated_host(store))
        try:
            await world.quiet()
            web = world.create("web", world.mount("/srv/web"), runtime="mcsd", start=False)
            await world.quiet()
            level = level_of(await start(world, web))
            assert block_in(level) in keeper(world).holding.blocks
            stop(world, web)
            await world.quiet()
            assert level_of(await start(world, web)) == level, "sticky, and proven"
            stop(world, web)
            await world.kill()
            store.is_down = True
            await world.boot()
            await world.quiet()
            with pytest.raises(GateError, match="not this host's"):
                await start(world, web)
            store.is_down = False
            await keeper(world).turn()
            assert level_of(await start(world, web)) == level
        finally:
            await world.kill()

    play(story)


@follows(Hint.ASK_FLEET)
def test_a_container_is_refused_a_reserved_level_that_may_be_another_host_s() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(gated_host(store))
        try:
            level = (await world.mcsd.facade.reserve("web", group=None)).level
            label = f"system_u:system_r:container_t:{level}"
            web = world.create("web", runtime="mcsd", start=False, process_label=label)
            option = f"label=level:{level}"
            await world.kill()
            store.is_down = True
            await world.boot()
            await world.quiet()
            with pytest.raises(GateError, match="not certain to be this host's alone") as refused:
                await start(world, web, option)
            assert "mcsctl fleet status" in refused.value.hint
            standing = world.mcsd.facade.snapshot().fleet
            assert standing is not None and "no level is granted" in standing.troubles()[0][0]
            store.is_down = False
            await keeper(world).turn()
            assert level_of(await start(world, web, option)) == level
            stop(world, web)
            await world.kill()
            store.is_down = True
            await world.boot()
            await world.quiet()
            with pytest.raises(GateError, match="not certain to be this host's alone"):
                await start(world, web, option)
        finally:
            await world.kill()

    play(story)


def test_a_group_has_one_pair_on_all_hosts() -> None:
    """A Swarm service's replicas share a volume on whatever host they run."""

    async def story(store: UnsteadyStore) -> None:
        one, other = await booted(host(store)), await booted(host(store, "beta", "dmi:b"))
        try:
            levels = []
            for world in (one, other):
                grant = await world.mcsd.facade.reserve("replica", group="web")
                levels.append(grant.level)
                (group,) = world.mcsd.store.cache.groups()
                assert grant.level.dominates(group.level) and keeper(world).may_hold(grant.level)
            (pair,) = {group.pair for world in (one, other) for group in world.mcsd.store.cache.groups()}
            assert min(pair.low, pair.high) > HIGHEST, "no pair with one of its categories is anybody's"
            assert not levels[0].is_comparable_to(levels[1]) and len(levels[0]) == 4
            before = store.requests
            await one.mcsd.facade.reserve("another", group="web")
            assert store.requests == before, "a group that has a member here needs nothing of the store"
            db = await one.mcsd.facade.reserve("db", group="db")
            (theirs,) = (group for group in one.mcsd.store.cache.groups() if group.name == "db")
            assert theirs.pair != pair and db.level.dominates(theirs.level)
        finally:
            await one.kill()
            await other.kill()

    play(story)


@pytest.mark.parametrize("rank", [0, 1], ids=["the-pair-of-another", "two-pairs"])
def test_a_group_on_which_others_do_not_agree_is_not_joined(rank: int) -> None:
    """A compromised host says what it likes of groups; a member of two would reach the volumes of both."""

    async def story(store: UnsteadyStore) -> None:
        store.administer(lambda view: admit(view, "gamma", new_id))
        first, other = GROUP_PAIRS.pair_at(0), GROUP_PAIRS.pair_at(rank)
        web = FleetGroup("web", first.low, first.high)
        said = FleetGroup("db" if rank == 0 else "web", other.low, other.high)
        for name, group in (("beta", web), ("gamma", said)):
            store.swap(Swap({}, {document_key(name): Document(groups=frozenset({group})).text()}))
        world = await booted(host(store))
        try:
            with pytest.raises(FleetError, match="do not agree on its pair"):
                await world.mcsd.facade.reserve("replica", group=said.name)
            store.administer(lambda view: evict(view, "gamma", new_id))
            await world.mcsd.facade.reserve("replica", group="web")
            assert web in groups_in(store)
        finally:
            await world.kill()

    play(story)


def test_a_group_is_left_when_its_last_member_is_gone() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            await world.mcsd.facade.reserve("replica", group="web")
            assert [one.name for one in groups_in(store)] == ["web"]
            await world.mcsd.facade.release("replica")
            await world.quiet()
            assert not world.mcsd.store.cache.groups()
            await keeper(world).turn()
            assert groups_in(store) == []
        finally:
            await world.kill()

    play(story)


def groups_in(store: UnsteadyStore) -> list[FleetGroup]:
    view = View.of(store.read())
    assert view is not None
    return sorted(view.documents["alpha"].groups)


@follows(Hint.JOIN_LATER)
def test_a_group_that_is_not_certain_is_refused() -> None:
    async def story(store: UnsteadyStore) -> None:
        world = await booted(host(store))
        try:
            store.is_down = True
            with pytest.raises(FleetError, match="nobody answers"):
                await world.mcsd.facade.reserve("replica", group="web")
            store.is_down = False
            backup = store.backup()
            store.restore(backup, cluster="2")
            with pytest.raises(FleetError, match="'web' cannot be joined: the store was restored"):
                await world.mcsd.facade.reserve("replica", group="web")
            store.administer(lambda view: begin_recovery(view, new_id))
            await keeper(world).turn()
            store.administer(lambda view: evict(view, "beta", new_id))
            store.administer(lambda view: end_recovery(view, new_id))
            await world.mcsd.facade.reserve("replica", group="web")
        finally:
            await world.kill()

    play(story)


@follows(Hint.EMPTY_GROUP)
def test_a_group_of_before_the_fleet_has_no_new_member() -> None:
    """Its categories may be in pairs of other hosts."""

    async def story(store: UnsteadyStore) -> None:
        world = host(store)
        world.fleet = None
        await world.boot()
        await world.quiet()
        await world.mcsd.facade.reserve("old", group="web")
        await world.kill()
        world.fleet = FleetSide(store, "dmi:a")
        await booted(world)
        try:
            await world.quiet()
            with pytest.raises(ConflictError, match="another pair on this host") as refused:
                await world.mcsd.facade.reserve("new", group="web")
            assert "remove its members" in refused.value.hint
            await world.mcsd.facade.release("old")
            await world.quiet()
            await world.mcsd.facade.reserve("new", group="web")
        finally:
            await world.kill()

    play(story)


def test_without_a_store_nothing_is_limited() -> None:
    async def run() -> None:
        world = World()
        await world.boot()
        try:
            assert world.mcsd.fleet_keeper is None
            assert world.mcsd.store.allocator.counts().elsewhere == 0
        finally:
            await world.kill()

    asyncio.run(run())
