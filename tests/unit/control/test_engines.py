"""Several engines: each container is asked for where it is, and gone only if nobody can have it."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from mcsd.api.reports.containers import find_container
from mcsd.api.reports.models import StatusReport
from mcsd.api.reports.status import status_report
from mcsd.config import validate
from mcsd.control.engines import Engines
from mcsd.control.run_engine import RunEngine
from mcsd.core.changes import LedgerContents, PutGrant
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState
from mcsd.core.isolation import Why
from mcsd.core.state_cache import StateCache
from mcsd.errors import ContainerGoneError, EngineUnavailableError, NotFoundError
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.world import World, with_world

BOTH = [{"kind": "podman"}]


def engines() -> tuple[FakeContainerEngine, FakeContainerEngine, Engines]:
    docker, podman = FakeContainerEngine(), FakeContainerEngine(kind="podman")
    return (
        docker,
        podman,
        Engines(
            {"docker": docker, "podman": podman},
            RunEngine(StateCache(LedgerContents())),
            lambda container: None,
        ),
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


ALONE: dict[str, Any] = {"docker": {"enabled": False}, "engine": BOTH}


async def reconfigured(world: World, **config: Any) -> None:
    """Start mcsd anew with another configuration, and with the engines that it names."""
    await world.kill()
    world.config = validate(config, source="test")
    have = {"docker": world.docker, "podman": world.podman}
    world.engines = {one.name: have[one.kind] for one in world.config.engines}
    await world.boot()
    await world.quiet()


def held(world: World, container: ContainerId) -> Grant:
    grant = world.mcsd.store.cache.grant_of(container)
    assert grant is not None
    return grant


def status(world: World) -> StatusReport:
    return status_report(world.mcsd.facade.snapshot())


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("left_out", ["docker", "podman"])
def test_a_container_of_an_engine_that_is_not_named_any_more_is_not_gone(left_out: str, is_old: bool) -> None:
    """Promises 2 and 9: it may run. A ledger that names no engine is older than engines beside Docker."""

    async def story(world: World) -> None:
        ours = world.create("web", world.mount("/srv/a"))
        theirs = world.podman.create("web", mounts=(world.mount("/srv/b"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        one, place, rest = {
            "docker": (ours, "/srv/a", ALONE),
            "podman": (theirs, "/srv/b", {}),
        }[left_out]
        level = world.level(one)
        if is_old:
            async with world.mcsd.store.deciding:
                await world.mcsd.store.commit([PutGrant(replace(held(world, ours), engine=""))])
        await reconfigured(world, **rest)
        assert held(world, one).state is GrantState.ACTIVE
        assert world.level_on(place) == level
        (check,) = (check for check in status(world).checks if check.subject == left_out.capitalize())
        assert "not asked" in check.text and held(world, one).full_name in check.text
        assert (await world.mcsd.facade.verify(None, repair=True)).ledger == ()
        await reconfigured(world, engine=BOTH)
        assert held(world, one).engine == left_out, "whatever the ledger said before"
        world.engines[left_out].remove(one)
        await world.quiet()
        assert world.mcsd.store.cache.grant_of(one) is None or not held(world, one).state.is_living

    with_world(story, engine=BOTH)


def test_what_an_engine_left_behind_can_be_given_up_by_its_name() -> None:
    """What the status says to do works; an engine that is asked is not passed over."""

    async def story(world: World) -> None:
        ours = world.create("web", world.mount("/srv/a"))
        theirs = world.podman.create("web", mounts=(world.mount("/srv/b"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        with pytest.raises(NotFoundError):
            await world.mcsd.facade.release("podman/web")
        await reconfigured(world)
        (check,) = (check for check in status(world).checks if check.subject == "Podman")
        await world.mcsd.facade.release(check.hint.rpartition(" ")[2])
        assert held(world, theirs).state is GrantState.QUARANTINED
        assert held(world, ours).state is GrantState.ACTIVE
        assert not [check for check in status(world).checks if check.subject == "Podman"]

    with_world(story, engine=BOTH)


def test_an_engine_with_another_name_keeps_its_containers() -> None:
    async def story(world: World) -> None:
        theirs = world.podman.create("web", mounts=(world.mount("/srv/b"),))
        world.podman.start(theirs, pid=7_000_001)
        await world.quiet()
        level = world.level(theirs)
        await reconfigured(world, engine=[{"kind": "podman", "name": "pods"}])
        assert held(world, theirs).engine == "pods"
        assert world.level(theirs) == level

    with_world(story, engine=BOTH)
