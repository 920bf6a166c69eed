"""Over fakes: who comes to be at a gone container's level, and what was left there. Promises 1, 2 and 6."""

from __future__ import annotations

from mcsd.core.grants import GrantState
from mcsd.core.labels import Context, Level
from mcsd.core.processes import ProcessLevel
from mcsd.core.volumes import ClaimState
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world

FIXED = "system_u:system_r:container_t:s0:c1,c2"


def test_a_container_re_created_at_a_level_of_its_own_is_isolated_without_waiting() -> None:
    """`docker rm` and `docker run` with the same `label=level:…`, as compose does it."""

    async def story(world: World) -> None:
        first = world.create("web", world.mount("/srv/a"), world.mount("/srv/b", "/b"), process_label=FIXED)
        await world.quiet()
        world.docker.remove(first)
        await world.quiet()
        second = world.create("web", world.mount("/srv/a"), process_label=FIXED)
        await world.quiet()
        sighting = world.sighting(second)
        assert sighting.conflicts == () and sighting.verdict.isolated is True
        assert world.level_on("/srv/a") == Level.of(1, 2)
        assert world.label("/srv/b") == BORN, "what it does not claim is not left at its level"
        states = [grant.state for grant in world.mcsd.store.cache.grants()]
        assert states == [GrantState.ACTIVE], "one holder that goes does not keep the other from being sound"
        assert world.mcsd.store.allocator.why_not(Level.of(1, 2)), "nor does it free the level"

    with_world(story)


def test_a_process_that_outlives_its_container_keeps_the_next_one_from_labelling() -> None:
    """Promises 1 and 9."""

    async def story(world: World) -> None:
        first = world.create("web", world.mount("/srv/a"), process_label=FIXED)
        await world.quiet()
        world.kernel.foreign.append(ProcessLevel(77, Context.parse(FIXED), Context.parse(FIXED).level, first))
        world.docker.remove(first)
        await world.quiet()
        second = world.create("web", world.mount("/srv/b"), process_label=FIXED)
        await world.quiet()
        (claim,) = world.mcsd.store.cache.claims_of(world.mcsd.store.cache.grants()[-1].id)
        assert claim.state is ClaimState.REFUSED and "process 77" in claim.reason
        assert world.label("/srv/b") == BORN and world.sighting(second).verdict.isolated is False
        world.kernel.foreign.clear()
        await world.quiet()
        assert world.level_on("/srv/b") == Level.of(1, 2) and world.sighting(second).verdict.isolated is True

    with_world(story)


def test_a_directory_mounted_twice_is_one_volume_and_comes_back_whole() -> None:
    """Promise 6."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a", "/x"), world.mount("/srv/a", "/y"))
        await world.quiet()
        assert len(world.tables.volumes) == 1 and len(world.volumes.walked) == 1
        assert {claim.state for claim in world.tables.claims.values()} == {ClaimState.READY}
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN and not (world.tables.volumes or world.tables.grants)

    with_world(story)


def test_what_a_gone_container_s_volume_was_in_the_way_of_is_labelled_in_the_same_pass() -> None:
    async def story(world: World) -> None:
        first = world.create("a", world.mount("/srv"))
        await world.quiet()
        world.docker.remove(first)
        await world.quiet()
        second = world.create("b", world.mount("/srv/b"))
        await world.mcsd.reconciler.reconcile(second)
        assert world.label("/srv") == BORN and world.level_on("/srv/b") == world.level(second)

    with_world(story)


def test_a_thousand_adoptions_do_not_need_a_thousand_scans() -> None:
    async def story(world: World) -> None:
        scans = 0
        look = world.kernel.process_levels

        def counted() -> tuple[ProcessLevel, ...]:
            nonlocal scans
            scans += 1
            return look()

        world.kernel.process_levels = counted  # type: ignore[method-assign]
        for number in range(100):
            world.create(f"c{number}")
        await world.mcsd.watcher.resync()
        await world.mcsd.watcher.hints.quiet()
        assert len(world.mcsd.store.cache.grants()) == 100
        assert scans < 50

    with_world(story)
