"""Several engines: each container is asked for where it is, and gone only if nobody can have it."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from mcsd.api.reports.containers import find_container
from mcsd.control.engines import Engines
from mcsd.control.run_engine import RunEngine
from mcsd.core.changes import LedgerContents
from mcsd.core.grants import GrantState
from mcsd.core.isolation import Why
from mcsd.core.state_cache import StateCache
from mcsd.errors import ContainerGoneError, EngineUnavailableError
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.world import World, with_world

BOTH = [{"kind": "podman"}]


def engines() -> tuple[FakeContainerEngine, FakeContainerEngine, Engines]:
    docker, podman = FakeContainerEngine(), FakeContainerEngine(kind="podman")
    return (
        docker,
        podman,
        Engines({"docker": docker, "podman": podman}, RunEngine(StateCache(LedgerContents()))),
    )


def test_each_container_is_found_at_its_engine() -> None:
    docker, podman, both = engines()
    ours, theirs = docker.create("web"), podman.create("web")

    async def story() -> None:
        assert (await both.inspect(ours)).engine == "docker"
        assert (await both.inspect(theirs)).engine == "podman"
        assert set(await both.containers()) == {ours, theirs}
        assert both.engine_of(theirs) == "podman"

    asyncio.run(story())


@pytest.mark.parametrize(("down", "known"), list(itertools.product((False, True), repeat=2)))
def test_a_container_is_gone_only_if_nobody_can_have_it(down: bool, known: bool) -> None:
    """Promise 9: while the engine that may have it cannot be asked, it is not gone."""
    docker, podman, both = engines()
    lost = docker.create("lost")
    if known:
        both.is_at(lost, "docker")
    docker.remove(lost)

    async def story() -> None:
        if down:
            podman.go_down()
        expected = EngineUnavailableError if down and not known else ContainerGoneError
        with pytest.raises(expected):
            await both.inspect(lost)

    asyncio.run(story())


def test_one_at_an_engine_that_is_down_is_not_asked_for_elsewhere() -> None:
    docker, podman, both = engines()
    theirs = podman.create("web")
    both.is_at(theirs, "podman")
    podman.go_down()

    async def story() -> None:
        with pytest.raises(EngineUnavailableError):
            await both.inspect(theirs)
        assert not docker.asked

    asyncio.run(story())


def test_containers_of_all_engines_get_levels_of_their_own_and_are_named_by_engine() -> None:
    """Promises 1 and 8."""

    async def story(world: World) -> None:
        ours = world.create("web", world.mount("/srv/a"))
        theirs = world.podman.create("web", mounts=(world.mount("/srv/b"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        assert world.level(ours) != world.level(theirs)
        assert world.level_on("/srv/b") == world.level(theirs)
        snapshot = world.mcsd.facade.snapshot()
        assert find_container(snapshot, "podman/web").container.id == theirs
        assert find_container(snapshot, "web").container.id == ours, "Docker's comes first"
        world.docker.remove(ours)
        await world.quiet()
        assert find_container(world.mcsd.facade.snapshot(), "web").container.id == theirs

    with_world(story, engine=BOTH)


def test_a_second_engine_s_claim_on_one_directory_is_refused() -> None:
    """Promise 1."""

    async def story(world: World) -> None:
        ours = world.create("one", world.mount("/srv/a"))
        await world.quiet()
        theirs = world.podman.create("two", mounts=(world.mount("/srv/a"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(ours)
        (claim,) = world.claims(theirs)
        assert "one holds /srv/a" in claim.reason
        assert "/data:shared to the annotation io.mcsd.volume of two" in claim.hint
        assert "/data:shared to the label io.mcsd.volume of one" in claim.hint

    with_world(story, engine=BOTH)


def test_while_one_engine_is_down_the_other_s_containers_come_and_go() -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        theirs = world.podman.create("held", mounts=(world.mount("/srv/b"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        world.podman.go_down()
        while "podman" not in world.mcsd.watcher.errors:
            await asyncio.sleep(0.005)
        ours = world.create("one", world.mount("/srv/a"))
        while world.mcsd.store.cache.grant_of(ours) is None:
            await asyncio.sleep(0.005)
        assert not world.mcsd.watcher.is_down
        grant = world.mcsd.store.cache.grant_of(theirs)
        assert grant is not None and grant.state is GrantState.ACTIVE, "nothing of it is taken back"
        world.podman.come_up()
        while world.mcsd.watcher.errors or not world.mcsd.watcher.is_synced:
            await asyncio.sleep(0.01)

    with_world(story, engine=BOTH)


def test_an_engine_that_does_not_label_says_so_of_its_own_containers_alone() -> None:
    """Promise 8."""

    async def story(world: World) -> None:
        world.podman.engine_info = type(world.podman.engine_info)(
            False, "5.4.2", "1.41", "/var/lib/containers/storage", "crun"
        )
        ours = world.create("one")
        theirs = world.podman.create("two")
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        snapshot = world.mcsd.facade.snapshot()
        found = {
            ident: {reason.why for reason in find_container(snapshot, ident).verdict.reasons}
            for ident in (ours, theirs)
        }
        assert Why.ENGINE_OFF in found[theirs] and Why.ENGINE_OFF not in found[ours]

    with_world(story, engine=BOTH)
