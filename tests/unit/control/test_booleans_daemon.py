"""Booleans and the ground in the whole daemon over fakes. Promises 7 to 10."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcsd.core.isolation import Why
from mcsd.errors import SelinuxError
from tests.fakes.running import until
from tests.fakes.world import World, with_world

NAME = "container_connect_any"
LEASE: dict[str, Any] = {"booleans": {"docker_connect_any": "lease"}}
LABELS = (("io.mcsd.boolean", "docker_connect_any"),)


def test_a_lease_follows_its_container_through_a_crash_of_mcsd() -> None:
    async def story(world: World) -> None:
        world.booleans.active.update({NAME: False, "stranger": True})
        holder = world.create("holder", labels=LABELS)
        await until(lambda: world.booleans.active[NAME])
        await world.kill()
        world.docker.die(holder)
        await world.boot()
        await until(lambda: not world.booleans.active[NAME])
        world.docker.start(holder, pid=77)
        await until(lambda: world.booleans.active[NAME])
        assert world.booleans.active["stranger"], "promise 10"
        assert world.is_running

    with_world(story, **LEASE)


def test_a_restart_of_mcsd_does_not_take_a_lease_from_a_container_that_runs() -> None:
    async def story(world: World) -> None:
        world.booleans.active.update({NAME: False})
        world.create("holder", labels=LABELS)
        await until(lambda: world.booleans.active[NAME])
        await world.kill()
        commits = len(world.booleans.commits)
        await world.boot()
        await until(lambda: any(one.holdings for one in world.mcsd.booleans.report()))
        assert len(world.booleans.commits) == commits

    with_world(story, **LEASE)


def test_a_docker_that_does_not_answer_at_the_start_vouches_for_no_lease() -> None:
    """Promise 9."""

    async def story(world: World) -> None:
        await world.kill()
        world.booleans.active.update({NAME: True})
        world.docker.go_down()
        await world.boot()
        await until(lambda: not world.booleans.active[NAME])

    with_world(story, **LEASE)


def test_setenforce_shows_on_every_container_and_back() -> None:
    """Promise 8."""

    async def story(world: World) -> None:
        one = world.create("one")
        await world.quiet()
        assert world.sighting(one).verdict.isolated
        enforcing = world.kernel.status_now
        world.kernel.status_now = replace(enforcing, enforcing=False)
        await until(lambda: world.sighting(one).verdict.isolated is False)
        assert [reason.why for reason in world.sighting(one).verdict.reasons] == [Why.PERMISSIVE]
        world.kernel.status_now = enforcing
        await until(lambda: world.sighting(one).verdict.isolated)

    with_world(story)


def test_a_kernel_that_stops_answering_ends_no_daemon_and_isolates_nobody() -> None:
    """Promises 8 and 9."""

    async def story(world: World) -> None:
        one = world.create("one")
        await world.quiet()
        answer = world.kernel.status

        def refuse() -> None:
            raise SelinuxError("permission denied")

        world.kernel.status = refuse  # type: ignore[method-assign, assignment]
        await until(lambda: world.sighting(one).verdict.isolated is False)
        world.kernel.status = answer  # type: ignore[method-assign]
        await until(lambda: world.sighting(one).verdict.isolated)
        assert world.is_running

    with_world(story)
