"""Reservations end with their lives: not earlier, and not later than the next look."""

from __future__ import annotations

import asyncio

import pytest

from mcsd.control.life_watch import LOOK
from mcsd.core.grants import Grant, GrantState
from mcsd.core.lives import LifeRequest, ProcessLife, UnitLife
from mcsd.core.volumes import ClaimState
from mcsd.errors import ConflictError, HostError, LedgerError, NotFoundError, RequestError
from tests.fakes.running import until
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world

LABEL = "system_u:system_r:container_t:"
PID, UNIT = LifeRequest(pid=42), LifeRequest(unit="web")


async def reserve(world: World, life: LifeRequest, name: str = "web") -> Grant:
    return await world.mcsd.facade.reserve(name, group=None, life=life)


def present(world: World, grant: Grant) -> Grant | None:
    return world.mcsd.store.cache.grant(grant.id)


def state(world: World, grant: Grant) -> GrantState:
    now = present(world, grant)
    return GrantState.FREE if now is None else now.state


def begin(world: World, life: LifeRequest) -> None:
    """Have alive what a life is about."""
    if life.pid is not None:
        world.lives.begin(life.pid)
    elif life.unit:
        world.units.begin("web.service")


def end(world: World, life: LifeRequest) -> None:
    """End it."""
    if life.pid is not None:
        world.lives.end(life.pid)
    elif life.unit:
        world.units.end("web.service")
    else:
        world.clock.advance(7200)
        world.mcsd.life_watch.wake()  # as its timer does


EACH = pytest.mark.parametrize("life", [PID, UNIT, LifeRequest(until="2h")], ids=["pid", "unit", "until"])


@EACH
def test_it_lasts_as_long_as_its_life_and_is_quarantined_then(life: LifeRequest) -> None:
    async def story(world: World) -> None:
        begin(world, life)
        grant = await reserve(world, life)
        await world.mcsd.life_watch.look()
        world.clock.advance(7199)
        await world.mcsd.life_watch.look()
        assert present(world, grant) == grant, "not early"
        world.clock.advance(-7199)
        end(world, life)
        await until(lambda: state(world, grant) is not GrantState.RESERVED)
        after = present(world, grant)
        assert after is None or (after.reservation, after.life) == ("", None)
        await until(lambda: "RESERVATION_ENDED" in world.papers.kinds())
        await world.quiet()
        assert state(world, grant) is GrantState.FREE, "nothing carries it"

    with_world(story)


@EACH
def test_it_ends_with_its_life_while_mcsd_does_not_run(life: LifeRequest) -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        begin(world, life)
        grant = await reserve(world, life)
        await world.kill()
        await world.boot()
        await world.mcsd.life_watch.look()
        assert present(world, grant) == grant, "it survives a restart"
        await world.kill()
        if life.until:
            world.clock.advance(7200)
        else:
            end(world, life)
        await world.boot()
        await until(lambda: state(world, grant) is not GrantState.RESERVED)

    with_world(story)


def test_a_pid_that_another_process_has_now_keeps_nothing() -> None:
    async def story(world: World) -> None:
        begin(world, PID)
        grant = await reserve(world, PID)
        await world.kill()
        world.lives.begin(42)
        await world.boot()
        await until(lambda: state(world, grant) is not GrantState.RESERVED)

    with_world(story)


def test_a_unit_that_was_started_again_is_another_one() -> None:
    async def story(world: World) -> None:
        begin(world, UNIT)
        grant = await reserve(world, UNIT)
        world.units.begin("web.service")
        await until(lambda: state(world, grant) is not GrantState.RESERVED)
        again = await reserve(world, UNIT)
        assert again.id != grant.id

    with_world(story)


def test_a_reboot_ends_what_lasts_as_long_as_a_process() -> None:
    """Though a process with its pid and its start may be there again."""

    async def story(world: World) -> None:
        life = world.lives.begin(42)
        grant = await reserve(world, PID)
        await world.kill()
        world.lives.present[42] = ProcessLife(42, life.start, "boot-2")
        await world.boot()
        await until(lambda: state(world, grant) is not GrantState.RESERVED)

    with_world(story)


@pytest.mark.parametrize("life", [PID, UNIT], ids=["pid", "unit"])
def test_an_end_that_nobody_tells_is_found_by_the_next_look(life: LifeRequest) -> None:
    async def story(world: World) -> None:
        begin(world, life)
        grant = await reserve(world, life)
        world.lives.silent = world.units.silent = True
        end(world, life)
        await world.mcsd.life_watch.look()
        assert state(world, grant) is not GrantState.RESERVED

    with_world(story)


def test_a_host_that_does_not_tell_ends_nothing() -> None:
    """Promise 9: the level stays taken."""

    async def story(world: World) -> None:
        begin(world, PID)
        grant = await reserve(world, PID)
        world.lives.failure = HostError("process 42 cannot be followed")
        end(world, PID)
        for _ in range(3):
            await asyncio.sleep(0.01)
            assert await world.mcsd.life_watch.look() <= LOOK
        assert state(world, grant) is GrantState.RESERVED
        with pytest.raises(HostError):
            await reserve(world, LifeRequest(pid=43), "other")
        world.lives.failure = None
        await world.mcsd.life_watch.look()
        assert state(world, grant) is not GrantState.RESERVED

    with_world(story)


def test_a_ledger_that_cannot_be_written_ends_nothing_yet() -> None:
    """Promise 3."""

    async def story(world: World) -> None:
        grant = await reserve(world, LifeRequest(until="1h"))
        world.clock.advance(3600)
        world.ledger.failure = LedgerError("the disk is full")
        with pytest.raises(LedgerError):
            await world.mcsd.life_watch.look()
        assert present(world, grant) == grant
        world.ledger.failure = None
        await world.mcsd.life_watch.look()
        assert state(world, grant) is not GrantState.RESERVED

    with_world(story)


def test_a_clock_that_is_set_counts_as_it_is() -> None:
    """`--until` names a time on the wall."""

    async def story(world: World) -> None:
        grant = await reserve(world, LifeRequest(until="1h"))
        world.clock.set_back(3600)
        world.clock.advance(3601)
        await world.mcsd.life_watch.look()
        assert state(world, grant) is GrantState.RESERVED
        world.clock.set_back(-3600)
        await world.mcsd.life_watch.look()
        assert state(world, grant) is not GrantState.RESERVED

    with_world(story)


@EACH
@pytest.mark.parametrize("running", [True, False])
def test_a_container_that_has_the_level_keeps_it(life: LifeRequest, running: bool) -> None:
    """Nothing is taken from a container: the level is an ordinary grant of its own from then on."""

    async def story(world: World) -> None:
        begin(world, life)
        grant = await reserve(world, life)
        a = world.create("a", world.mount("/srv/a"), process_label=LABEL + str(grant.level))
        await world.quiet()
        if not running:
            world.docker.die(a)
            await world.quiet()
        end(world, life)
        await until(lambda: (now := present(world, grant)) is not None and not now.reservation)
        after = present(world, grant)
        assert after is not None and after.container == a and after.life is None
        assert after.state is (GrantState.ACTIVE if running else GrantState.IDLE)
        assert world.claims(a)[0].state is ClaimState.READY
        with pytest.raises(NotFoundError):
            await world.mcsd.facade.release("web")
        begin(world, life)
        assert (await reserve(world, life)).level != grant.level, "the name is free"
        world.docker.remove(a)
        await world.quiet()
        assert state(world, grant) is GrantState.QUARANTINED
        world.clock.advance(601)
        await world.quiet()
        assert state(world, grant) is GrantState.FREE and world.label("/srv/a") == BORN

    with_world(story)


def test_volumes_that_it_kept_are_given_back_after_their_linger() -> None:
    async def story(world: World) -> None:
        begin(world, PID)
        grant = await reserve(world, PID)
        a = world.create("a", world.mount("/srv/a"), process_label=LABEL + str(grant.level))
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        assert state(world, grant) is GrantState.RESERVED
        end(world, PID)
        await until(lambda: state(world, grant) is GrantState.QUARANTINED)
        await world.quiet()
        assert world.level_on("/srv/a") == grant.level, "it lingers"
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN and state(world, grant) is GrantState.FREE

    with_world(story)


def test_the_life_that_was_asked_for_last_counts() -> None:
    async def story(world: World) -> None:
        begin(world, PID)
        begin(world, UNIT)
        grant = await reserve(world, PID)
        assert await reserve(world, LifeRequest()) == grant, "asked for without one, it keeps its own"
        renewed = await reserve(world, UNIT)
        assert (renewed.id, renewed.level) == (grant.id, grant.level)
        assert isinstance(renewed.life, UnitLife)
        end(world, PID)
        await asyncio.sleep(0.02)
        await world.mcsd.life_watch.look()
        assert state(world, grant) is GrantState.RESERVED
        end(world, UNIT)
        await until(lambda: state(world, grant) is not GrantState.RESERVED)

    with_world(story)


def test_a_released_one_is_followed_no_longer_and_its_end_changes_nothing() -> None:
    async def story(world: World) -> None:
        begin(world, PID)
        grant = await reserve(world, PID)
        assert grant.life is not None
        await world.mcsd.facade.release("web")
        await world.mcsd.reservations.end(grant.id, grant.life)
        assert "RESERVATION_ENDED" not in world.papers.kinds()

    with_world(story)


@pytest.mark.parametrize(
    ("life", "error", "says"),
    [
        (LifeRequest(pid=77), NotFoundError, "there is no process 77"),
        (LifeRequest(unit="other"), NotFoundError, "the unit 'other.service' is not active"),
        (LifeRequest(unit="web.timer"), RequestError, "'web.timer' is no service and no scope"),
        (LifeRequest(until="soon"), RequestError, "'soon' is neither a time nor a duration"),
        (LifeRequest(until="0s"), RequestError, "'0s' is past already"),
        (LifeRequest(until="1970-01-02T00:00:00Z"), RequestError, "is past already"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_reserved(
    life: LifeRequest, error: type[Exception], says: str
) -> None:
    async def story(world: World) -> None:
        with pytest.raises(error, match=says) as refused:
            await reserve(world, life)
        assert refused.value.hint  # type: ignore[attr-defined]
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_another_group_is_a_conflict_whatever_the_life() -> None:
    async def story(world: World) -> None:
        grant = await reserve(world, LifeRequest(until="1h"))
        with pytest.raises(ConflictError):
            await world.mcsd.facade.reserve("web", group="team", life=LifeRequest(until="2h"))
        assert present(world, grant) == grant

    with_world(story)
