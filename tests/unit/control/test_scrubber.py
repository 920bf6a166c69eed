"""Complete volumes are looked at again, and what drifted is labelled again. Promises 3, 8 and 9."""

from __future__ import annotations

import asyncio

from mcsd.control.scrubber import SECOND_LOOK
from mcsd.core.containers import ContainerId
from mcsd.core.isolation import Why
from mcsd.core.notices import Kind
from mcsd.core.scrubbing import SHORTEST
from mcsd.errors import LedgerError, VolumeFailedError
from tests.fakes.volume_engine import BORN, Tree
from tests.fakes.world import World, with_world

DAY = 86400.0


async def confirm(world: World) -> float:
    """Let a day pass, and look: once more where the first look found a difference."""
    world.clock.advance(DAY)
    rest = await world.mcsd.scrubber.confirm_next()
    while world.mcsd.scrubber.is_pressed:
        rest = await world.mcsd.scrubber.confirm_next()
    return rest


async def born(world: World) -> tuple[ContainerId, Tree]:
    """A container with a volume that is labelled, and in which what is below the root is not."""
    a = world.create("a", world.mount("/srv/a"))
    await world.quiet()
    tree = world.volumes.trees["/srv/a"]
    tree.below = BORN
    return a, tree


def drifts(world: World) -> list[object]:
    return [one.fields["volume"] for one in world.papers.notices if one.kind is Kind.VOLUME_DRIFTED]


def test_what_is_as_it_was_is_left_alone() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        walked = list(world.volumes.walked)
        assert await confirm(world) >= SHORTEST
        await world.quiet()
        assert world.volumes.walked == walked
        assert drifts(world) == []
        assert await world.mcsd.scrubber.confirm_next() > 1.0, "not again before another day has passed"

    with_world(story)


def test_what_drifted_is_told_and_labelled_again() -> None:
    """A start would not have found it: below a root that is right nothing is looked at."""

    async def story(world: World) -> None:
        a, tree = await born(world)
        await world.quiet()
        assert tree.below == BORN, "known is not walked"
        await confirm(world)
        await world.quiet()
        assert drifts(world) == ["/srv/a"]
        assert tree.below == tree.label
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_what_the_watch_corrects_meanwhile_is_no_drift() -> None:
    """A check may see a change before its event is handled; the event says what was done, and by whom."""

    async def story(world: World) -> None:
        a, tree = await born(world)
        world.clock.advance(DAY)
        assert await world.mcsd.scrubber.confirm_next() == SECOND_LOOK, "however long the first took"
        assert (drifts(world), tree.below) == ([], BORN), "it is looked at once more"
        assert world.sighting(a).verdict.isolated is not True, "from the first look on"
        tree.below = tree.label
        await world.quiet()
        assert drifts(world) == []
        assert world.sighting(a).verdict.isolated is True
        tree.below = BORN
        world.clock.advance(DAY)
        await world.mcsd.scrubber.confirm_next()
        assert drifts(world) == [], "what was suspected then counts no longer"

    with_world(story)


def test_a_second_look_that_fails_is_made_again() -> None:
    async def story(world: World) -> None:
        a, tree = await born(world)
        world.clock.advance(DAY)
        await world.mcsd.scrubber.confirm_next()
        tree.error = VolumeFailedError("it does not answer")
        assert await world.mcsd.scrubber.confirm_next() == SECOND_LOOK
        assert world.mcsd.scrubber.is_pressed and drifts(world) == []
        assert world.sighting(a).verdict.isolated is not True, "what was found stays"
        tree.error = None
        await world.mcsd.scrubber.confirm_next()
        assert drifts(world) == ["/srv/a"]
        await world.quiet()
        assert (tree.below, world.sighting(a).verdict.isolated) == (tree.label, True)

    with_world(story)


def test_until_it_is_labelled_again_its_container_is_not_called_isolated() -> None:
    async def story(world: World) -> None:
        a, tree = await born(world)
        tree.partial = True
        await confirm(world)
        await world.quiet()
        verdict = world.sighting(a).verdict
        assert verdict.isolated is not True
        assert Why.VOLUME in {reason.why for reason in verdict.reasons}

    with_world(story)


def test_whoever_needs_the_volume_does_not_wait_for_the_look() -> None:
    async def story(world: World) -> None:
        a, _ = await born(world)
        world.volumes.gate.clear()
        world.clock.advance(DAY)
        looking = asyncio.create_task(world.mcsd.scrubber.confirm_next())
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.001)
        volume = world.mcsd.store.cache.volumes()[0]
        walk = asyncio.create_task(world.mcsd.walks.relabel(volume, a))
        assert await looking == 1.0, "broken off"
        world.volumes.gate.set()
        assert (await walk).complete
        assert drifts(world) == []

    with_world(story)


def test_a_volume_that_cannot_be_opened_is_left_to_who_looks_after_its_container() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.volumes.trees["/srv/a"].error = VolumeFailedError("it is not mounted")
        assert await confirm(world) == SHORTEST
        assert drifts(world) == []

    with_world(story)


def test_while_the_ledger_cannot_be_written_nothing_is_labelled() -> None:
    """Promises 3 and 9: it comes round again."""

    async def story(world: World) -> None:
        _, tree = await born(world)
        world.ledger.failure = LedgerError("the disk is full")
        await confirm(world)
        assert tree.below == BORN
        world.ledger.failure = None
        await confirm(world)
        await world.quiet()
        assert (drifts(world), tree.below) == (["/srv/a"] * 2, tree.label)

    with_world(story)
