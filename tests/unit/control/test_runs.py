"""Runs: commands at a pair of their own are containers like any others, and end with their process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from mcsd.core.containers import ContainerId
from mcsd.core.grants import GrantState, Origin
from mcsd.core.host import SelinuxStatus
from mcsd.core.isolation import Why
from mcsd.core.labels import Context
from mcsd.core.notices import Kind
from mcsd.core.processes import ProcessLevel
from mcsd.core.runs import Run, RunRequest, RunVolume
from mcsd.core.volumes import ClaimMode, ClaimState
from mcsd.errors import (
    ConflictError,
    EngineUnavailableError,
    LedgerError,
    NotFoundError,
    RequestError,
    SelinuxError,
    VolumeFailedError,
    VolumeRefusedError,
)
from tests.fakes.running import until
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world


def state(world: World, run: Run) -> GrantState:
    """The state of a run's grant, FREE once it is archived."""
    found = [grant.state for grant in world.mcsd.store.cache.grants() if grant.container == run.id]
    return found[0] if found else GrantState.FREE


async def taken_back(world: World, run: Run, *paths: str) -> None:
    """Wait until all that a run had is as it was before."""
    await until(lambda: world.mcsd.store.cache.run(run.id) is None)
    await world.quiet()
    world.clock.advance(601)
    await world.quiet()
    assert state(world, run) is GrantState.FREE
    assert [world.label(path) for path in paths] == [BORN] * len(paths)
    assert run.id not in world.mcsd.container_status.known()


def test_a_run_has_a_level_and_its_volumes_before_its_command_does_anything() -> None:
    async def story(world: World) -> None:
        run = await world.ask_run("build", "/srv/a")
        await world.mcsd.facade.start_run(run.id)
        assert world.level_on("/srv/a") == run.context.level == world.level(run.id)
        world.execute(run)
        await world.mcsd.reconciler.reconcile(run.id)
        sighting = world.sighting(run.id)
        assert sighting.verdict.isolated is True, "promise 8"
        assert (sighting.container.engine, sighting.container.name) == ("run", "build")
        grant = world.mcsd.store.cache.grant_of(run.id)
        assert grant is not None and grant.origin is Origin.ASSIGNED and grant.state is GrantState.ACTIVE

    with_world(story)


def test_two_runs_are_separate_from_each_other_and_from_containers() -> None:
    """Promise 1."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        one, two = await world.begin_run("one", "/srv/b"), await world.begin_run("two", "/srv/c")
        levels = [world.level(a), one.context.level, two.context.level]
        assert not any(x.is_comparable_to(y) for x in levels for y in levels if x is not y)
        for ident in (a, one.id, two.id):
            assert world.sighting(ident).verdict.isolated is True

    with_world(story)


async def nothing(world: World, run: Run) -> None:
    pass


async def started(world: World, run: Run) -> None:
    await world.mcsd.facade.start_run(run.id)


async def executed(world: World, run: Run) -> None:
    await started(world, run)
    world.execute(run)
    await world.mcsd.reconciler.reconcile(run.id)


STEPS = pytest.mark.parametrize("step", [nothing, started, executed])


@STEPS
def test_whenever_the_process_is_killed_everything_is_taken_back(step: Callable[..., object]) -> None:
    async def story(world: World) -> None:
        run = await world.ask_run("build", "/srv/a", "/srv/b")
        await step(world, run)  # type: ignore[misc]
        world.kill_run(run)
        await taken_back(world, run, "/srv/a", "/srv/b")

    with_world(story)


@STEPS
@pytest.mark.parametrize("survives", [True, False])
def test_whenever_mcsd_is_killed_the_next_one_goes_on(step: Callable[..., object], survives: bool) -> None:
    """Promise 7: the run is in the ledger, and lasts as long as its process."""

    async def story(world: World) -> None:
        run = await world.ask_run("build", "/srv/a")
        await step(world, run)  # type: ignore[misc]
        await world.kill()
        if not survives:
            world.kill_run(run)
        await world.boot()
        if survives:
            await world.quiet()
            assert world.level_on("/srv/a") == world.level(run.id) == run.context.level
            assert world.mcsd.store.cache.run(run.id) is not None
            world.kill_run(run)
        await taken_back(world, run, "/srv/a")

    with_world(story)


@pytest.mark.parametrize("writes", range(1, 12))
def test_a_crash_of_mcsd_after_any_write_leaves_nothing_behind(writes: int) -> None:
    """Promises 3 and 6: mcsctl loses its connection and ends, wherever mcsd was."""

    async def story(world: World) -> None:
        ledger, run = world.ledger, None
        apply = ledger.apply

        def crash(changes: object) -> None:
            if len(ledger.applied) >= writes:
                raise LedgerError("the power is gone")
            apply(changes)  # type: ignore[arg-type]

        ledger.apply = crash  # type: ignore[method-assign]
        try:
            run = await world.ask_run("build", "/srv/a")
            await executed(world, run)
        except LedgerError:
            pass
        await world.kill()
        for pid in tuple(world.kernel.host):
            world.lives.end(pid)
            del world.kernel.host[pid]
        await world.boot()
        await until(lambda: world.mcsd.store.cache.runs() == ())
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        assert world.mcsd.store.cache.grants() == () and world.label("/srv/a") == BORN

    with_world(story)


def test_a_walk_for_a_run_that_is_killed_is_broken_off() -> None:
    async def story(world: World) -> None:
        world.volumes.gate.clear()
        run = await world.ask_run("build", "/srv/a")
        starting = asyncio.create_task(world.mcsd.facade.start_run(run.id))
        await until(lambda: world.mcsd.walks.progress())
        world.kill_run(run)
        await until(lambda: world.mcsd.store.cache.run(run.id) is None)
        world.volumes.gate.set()
        with pytest.raises((NotFoundError, VolumeFailedError, ConflictError)):
            await starting
        await taken_back(world, run, "/srv/a")

    with_world(story)


def test_a_volume_that_a_container_holds_is_refused_and_the_run_is_over() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        run = await world.ask_run("build", "/srv/a")
        with pytest.raises(ConflictError, match="a holds /srv/a as private") as refused:
            await world.mcsd.facade.start_run(run.id)
        wish = (
            "--volume /srv/a:shared to mcsctl run of build, and /data:shared to the label io.mcsd.volume of a"
        )
        assert refused.value.hint == f"to share it, add {wish}, and recreate both"
        assert world.mcsd.store.cache.runs() == ()
        assert world.level_on("/srv/a") == world.level(a), "nothing was taken from it"
        with pytest.raises(NotFoundError):
            await world.mcsd.facade.start_run(run.id)

    with_world(story)


def test_a_container_is_refused_what_a_run_holds_until_it_has_ended() -> None:
    async def story(world: World) -> None:
        run = await world.begin_run("build", "/srv/a")
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        (claim,) = world.claims(a)
        assert (claim.state, claim.reason) == (ClaimState.REFUSED, "build holds /srv/a as private")
        world.kill_run(run)
        await until(lambda: world.claims(a)[0].state is ClaimState.READY)
        assert world.level_on("/srv/a") == world.level(a)

    with_world(story)


def test_runs_and_containers_share_what_both_say_is_shared() -> None:
    async def story(world: World) -> None:
        shared = RunVolume("/srv/a", ClaimMode.SHARED)
        one, two = await world.begin_run("one", shared), await world.begin_run("two", shared)
        a = world.create("a", world.mount("/srv/a"), labels=(("io.mcsd.volume", "/data:shared"),))
        await world.quiet()
        assert str(world.level_on("/srv/a")) == "s0"
        for ident in (one.id, two.id, a):
            assert world.claims(ident)[0].state is ClaimState.READY

    with_world(story)


def test_members_of_a_group_reach_its_volumes() -> None:
    async def story(world: World) -> None:
        volume = RunVolume("/srv/a", ClaimMode.GROUP)
        one = await world.begin_run("one", volume, group="team")
        two = await world.begin_run("two", volume, group="team")
        (group,) = world.mcsd.store.cache.groups()
        assert world.level_on("/srv/a") == group.level
        assert all(run.context.level.dominates(group.level) for run in (one, two))

    with_world(story)


def test_what_is_ignored_and_what_is_protected_is_left_alone_and_the_command_is_run() -> None:
    """As for a container; the process is denied it by the kernel."""

    async def story(world: World) -> None:
        world.mount("/srv/b")
        world.volumes.trees["/srv/b"].error = VolumeRefusedError("it is protected", rule="pseudo-file-system")
        run = await world.begin_run("build", RunVolume("/srv/a", ClaimMode.IGNORE), "/srv/b")
        assert [claim.state for claim in world.claims(run.id)] == [ClaimState.UNMANAGED] * 2
        assert world.label("/srv/a") == world.label("/srv/b") == BORN

    with_world(story)


def test_a_volume_that_is_not_there_refuses_the_run() -> None:
    async def story(world: World) -> None:
        run = await world.ask_run("build", "/srv/a")
        del world.volumes.trees["/srv/a"]
        with pytest.raises(VolumeFailedError, match="'/srv/a' cannot be had"):
            await world.mcsd.facade.start_run(run.id)

    with_world(story)


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        (RunRequest(volumes=(RunVolume("/srv/a,b", ClaimMode.SHARED),)), RequestError, "no mode of its own"),
        (RunRequest(volumes=(RunVolume("/srv/a", ClaimMode.GROUP),)), RequestError, "no group is named"),
        (RunRequest(name="a"), ConflictError, "the name 'a' is taken"),
        (RunRequest(name="reserved"), ConflictError, "the name 'reserved' is taken"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_granted(
    wanted: RunRequest, error: type[Exception], says: str
) -> None:
    async def story(world: World) -> None:
        world.create("a")
        await world.mcsd.facade.reserve("reserved", group=None)
        await world.quiet()
        grants = world.mcsd.store.cache.grants()
        world.lives.begin(42)
        with pytest.raises(error, match=says) as refused:
            await world.mcsd.facade.create_run(wanted, 42)
        assert refused.value.hint  # type: ignore[attr-defined]
        assert world.mcsd.store.cache.grants() == grants

    with_world(story)


def test_two_of_one_name_are_not_run_at_once() -> None:
    async def story(world: World) -> None:
        run = await world.begin_run("build")
        with pytest.raises(ConflictError):
            await world.ask_run("build")
        world.kill_run(run)
        await until(lambda: run.id not in world.mcsd.container_status.known())
        assert (await world.begin_run("build")).id != run.id

    with_world(story)


def test_without_selinux_nothing_is_run() -> None:
    """Promise 8: nothing would keep it apart."""

    async def story(world: World) -> None:
        world.kernel.status_now = replace(world.kernel.status_now, enabled=False, enforcing=False)
        with pytest.raises(SelinuxError, match="disabled in the kernel") as refused:
            await world.ask_run("build")
        assert "enforcing" in refused.value.hint
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_where_labels_are_only_written_it_is_run_and_never_called_isolated() -> None:
    async def story(world: World) -> None:
        status = SelinuxStatus("xattr", enabled=False, enforcing=False, mls=False, policy="")
        world.kernel.status_now = status
        world.mcsd.host.selinux_is(status)
        run = await world.ask_run("build")
        await world.mcsd.facade.start_run(run.id)
        verdict = world.sighting(run.id).verdict
        assert not verdict.isolated and verdict.reasons[0].why is Why.NO_KERNEL

    with_world(story)


def test_an_engine_that_labels_nothing_has_no_say_about_a_run() -> None:
    async def story(world: World) -> None:
        run = await world.begin_run("build", "/srv/a")
        assert world.sighting(run.id).verdict.isolated is True
        a = world.create("a")
        await world.quiet()
        assert Why.ENGINE_OFF in [reason.why for reason in world.sighting(a).verdict.reasons]

    with_world(story, selinux=False)


def test_it_is_run_while_docker_is_away() -> None:
    async def story(world: World) -> None:
        world.create("a")
        await world.quiet()
        await world.mcsd.reclaimer.starts(within=10)
        world.docker.go_down()
        await until(lambda: world.mcsd.watcher.errors)
        run = await world.begin_run("build", "/srv/a")
        assert world.sighting(run.id).verdict.isolated is True
        world.kill_run(run)
        await until(lambda: state(world, run) is GrantState.QUARANTINED)

    with_world(story)


def test_with_a_new_ledger_it_waits_for_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 2."""
    from mcsd.control import reservations

    monkeypatch.setattr(reservations, "FIRST_LOOK", 0.05)

    async def story(world: World) -> None:
        await world.kill()
        world.tables = type(world.tables)()
        world.docker.go_down()
        await world.boot()
        with pytest.raises(EngineUnavailableError):
            await world.ask_run("build")

    with_world(story)


def test_its_children_are_its_own_and_who_has_its_level_elsewhere_is_not() -> None:
    """A run has no control group of its own, so its level alone proves nothing."""

    async def story(world: World) -> None:
        run = await world.begin_run("build", "/srv/a")
        level, context = run.context.level, str(run.context)
        world.kernel.host[77] = context, "/user.slice/session-1.scope"
        world.kernel.host[78] = context, "/user.slice/session-1.scope/below"
        await world.mcsd.process_levels.refresh()
        await world.mcsd.reconciler.reconcile(run.id)
        assert world.sighting(run.id).verdict.isolated is True
        assert world.mcsd.facade.snapshot().foreign == ()
        world.kernel.foreign.append(
            ProcessLevel(79, Context.parse(context), level, "", "/machine.slice/x.scope")
        )
        await world.mcsd.process_levels.refresh()
        await world.mcsd.reconciler.reconcile(run.id)
        assert Why.CONFLICT in [reason.why for reason in world.sighting(run.id).verdict.reasons]
        assert [one.pid for one in world.mcsd.facade.snapshot().foreign] == [79]

    with_world(story)


def test_a_child_that_outlives_its_run_keeps_the_level_from_being_granted() -> None:
    """Promise 2."""

    async def story(world: World) -> None:
        run = await world.begin_run("build", "/srv/a")
        world.kernel.host[77] = str(run.context), "/user.slice/session-1.scope"
        world.kill_run(run)
        await until(lambda: state(world, run) is GrantState.QUARANTINED)
        world.clock.advance(601)
        await world.quiet()
        assert state(world, run) is GrantState.QUARANTINED and world.label("/srv/a") == BORN
        del world.kernel.host[77]
        await world.quiet()
        assert state(world, run) is GrantState.FREE

    with_world(story)


def test_verify_finds_nothing_wrong_with_a_run() -> None:
    async def story(world: World) -> None:
        await world.begin_run("build", "/srv/a")
        found = await world.mcsd.facade.verify(None, repair=False)
        assert (found.processes, found.pairs, found.ledger) == ((), (), ())

    with_world(story)


def test_the_journal_tells_of_a_run_as_of_a_container() -> None:
    async def story(world: World) -> None:
        run = await world.begin_run("build", "/srv/a")
        world.kill_run(run)
        await taken_back(world, run, "/srv/a")
        told = [one.kind for one in world.papers.notices if one.container == run.id]
        assert [kind for kind in told if kind is not Kind.NOT_ISOLATED] == [
            Kind.GRANTED,
            Kind.VOLUME_LABELLED,
            Kind.ISOLATED,
            Kind.GRANT_CHANGED,
            Kind.GRANT_FREED,
        ]
        assert Kind.NOT_ISOLATED not in told

    with_world(story)


def test_nobody_else_s_end_ends_it() -> None:
    async def story(world: World) -> None:
        run = await world.begin_run("build")
        await world.mcsd.runs.end(run.id, replace(run.life, start=1))
        await world.mcsd.runs.end(ContainerId("run-" + "0" * 32), run.life)
        assert world.mcsd.store.cache.run(run.id) is not None

    with_world(story)
