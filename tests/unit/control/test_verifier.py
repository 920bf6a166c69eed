"""`verify` over a whole host in memory: each difference is told, and mended where that is mcsd's to do.

Promise 8: what does not agree is said. Promise 9: a repair that does not succeed is no success.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mcsd.core.containers import ContainerId
from mcsd.core.labels import Context, Level
from mcsd.core.processes import ProcessLevel
from mcsd.core.verification import Verification
from mcsd.core.volumes import ClaimState, Identity, VolumeId, VolumePhase
from mcsd.core.walks import StoredVolume
from tests.fakes.world import World, with_world

OTHER = "system_u:object_r:etc_t:s0"
STRANGER = "system_u:system_r:svirt_t:"


def is_good(found: Verification) -> bool:
    amiss = any(check.error or (check.wrong and not check.repaired) for check in found.volumes)
    return not (amiss or found.processes or found.pairs or found.ledger)


async def verify(world: World, target: str | None = None, *, repair: bool = False) -> Verification:
    return await world.mcsd.facade.verify(target, repair=repair)


def claim_state(world: World, ident: ContainerId) -> ClaimState:
    grant = world.mcsd.store.cache.grant_of(ident)
    assert grant is not None
    (claim,) = world.mcsd.store.cache.claims_of(grant.id)
    return claim.state


def test_nothing_differs_on_a_host_that_nobody_touched() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        world.create("b", world.mount("/srv/b"))
        await world.quiet()
        found = await verify(world)
        assert is_good(found)
        assert [check.path for check in found.volumes] == ["/srv/a", "/srv/b"]

    with_world(story)


def test_a_relabelled_volume_is_told_and_left_and_mended_when_asked() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        right = world.label("/srv/a")
        world.volumes.trees["/srv/a"].label = OTHER
        for target in (None, "/srv/a", a):
            (check,) = (await verify(world, target)).volumes
            assert check.wrong > 0 and not check.repaired
        assert world.label("/srv/a") == OTHER
        found = await verify(world, "/srv/a", repair=True)
        assert is_good(found) and found.volumes[0].repaired
        assert world.label("/srv/a") == right
        assert claim_state(world, a) is ClaimState.READY
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_what_could_only_be_labelled_in_part_is_taken_up_again() -> None:
    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].partial = True
        a = world.create("a", mount)
        await world.quiet()
        assert claim_state(world, a) is ClaimState.PARTIAL
        found = await verify(world, "/srv/a", repair=True)
        assert not is_good(found) and "not all of it" in found.volumes[0].error
        assert claim_state(world, a) is ClaimState.PARTIAL, "promise 9: the ledger says so too"
        world.volumes.trees["/srv/a"].partial = False
        assert is_good(await verify(world, "/srv/a", repair=True))
        assert claim_state(world, a) is ClaimState.READY

    with_world(story)


def test_what_nobody_lives_on_is_not_labelled_again() -> None:
    """Promise 2: a level that is on its way back must not be written once more."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        (volume,) = world.mcsd.store.cache.volumes()
        world.volumes.trees["/srv/a"].label = OTHER
        assert (await verify(world)).volumes == ()
        found = await verify(world, "/srv/a", repair=True)
        assert not is_good(found) and world.label("/srv/a") == OTHER
        assert volume.phase is VolumePhase.LABELLED

    with_world(story)


def test_a_process_at_another_level_is_told_by_name() -> None:
    async def story(world: World) -> None:
        a = world.create("a")
        b = world.create("b")
        await world.quiet()
        wrong = "system_u:system_r:container_t:s0:c1000,c1001"
        world.kernel.labels[a] = wrong
        for target in (None, a):
            found = await verify(world, target)
            assert not is_good(found)
            (sentence,) = found.processes
            assert sentence.startswith("container a is granted") and wrong in sentence
        assert is_good(await verify(world, b))
        assert not is_good(await verify(world, a, repair=True)), "a process's label is nobody's to change"

    with_world(story)


def test_another_process_of_a_container_is_looked_at_too() -> None:
    async def story(world: World) -> None:
        a = world.create("a")
        await world.quiet()
        level = Level.parse("s0:c1000,c1001")
        world.kernel.foreign.append(ProcessLevel(77, Context.parse(STRANGER + str(level)), level, a))
        assert len((await verify(world, a)).processes) == 1

    with_world(story)


def test_others_are_only_told_of_when_they_are_not_separate() -> None:
    async def story(world: World) -> None:
        a = world.create("a")
        await world.quiet()
        level = Level.parse("s0:c1000,c1001")
        world.kernel.foreign.append(ProcessLevel(77, Context.parse(STRANGER + str(level)), level, ""))
        assert is_good(await verify(world))
        level = world.level(a)
        world.kernel.foreign.append(ProcessLevel(78, Context.parse(STRANGER + str(level)), level, ""))
        (sentence,) = (await verify(world)).pairs
        assert sentence.startswith("process 78 runs as") and sentence.endswith("of container a")

    with_world(story)


def test_originals_that_the_ledger_does_not_know_are_told_and_taken_up() -> None:
    async def story(world: World) -> None:
        await world.quiet()
        target = "system_u:object_r:container_file_t:s0:c5,c6"
        found_on_disk = StoredVolume(
            VolumeId("f" * 32), "/srv/lost", Identity(1, 999), 1.0, Context.parse(target), "complete", 3
        )
        world.volumes.originals[found_on_disk.id] = found_on_disk
        told = await verify(world)
        assert told.ledger == ("volume /srv/lost has originals on disk, and the ledger does not know it",)
        assert world.mcsd.store.cache.volume(found_on_disk.id) is None
        assert is_good(await verify(world, repair=True))
        assert world.mcsd.store.cache.volume(found_on_disk.id) is not None
        assert "RECOVERED" in world.papers.kinds()

    with_world(story)


def test_originals_that_are_gone_are_told() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.volumes.originals.clear()
        (sentence,) = (await verify(world)).ledger
        assert sentence == "the originals of /srv/a are not on disk: they cannot be put back"

    with_world(story)


def test_what_docker_and_the_ledger_do_not_agree_on_is_told_and_mended() -> None:
    """Promise 7: a container that went without a word."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.vanish(a)
        found = await verify(world)
        assert found.ledger[0].startswith("container a holds ")
        assert found.ledger[0].endswith(", and Docker does not know it")
        assert is_good(await verify(world, repair=True))

    with_world(story)


def test_a_docker_that_does_not_answer_is_told() -> None:
    async def story(world: World) -> None:
        await world.quiet()
        world.docker.go_down()
        for repair in (False, True):
            (sentence,) = (await verify(world, repair=repair)).ledger
            assert sentence.startswith("an engine cannot be asked which containers it has: ")

    with_world(story)


def test_a_volume_that_is_being_walked_is_neither_right_nor_wrong() -> None:
    async def story(world: World) -> None:
        world.volumes.gate.clear()
        world.create("a", world.mount("/srv/a"))
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.005)
        (check,) = (await verify(world, "/srv/a")).volumes
        assert "under way" in check.error and check.wrong == 0
        world.volumes.gate.set()

    with_world(story)


def test_a_volume_that_was_replaced_is_an_error() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        tree = world.volumes.trees["/srv/a"]
        world.volumes.trees["/srv/a"] = replace(tree, identity=Identity(1, 4711))
        (check,) = (await verify(world, "/srv/a")).volumes
        assert "no longer the one it was" in check.error

    with_world(story)
