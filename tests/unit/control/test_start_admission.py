"""Starts through the gate, over fakes: which level, what is ready, what is refused, what is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mcsd.control import engine_watch as watch
from mcsd.control.start_admission import StartLabels, StartRequest
from mcsd.core.containers import ContainerId, MountKind
from mcsd.core.described import BoundMount, Described
from mcsd.core.grants import GrantState
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Kind
from mcsd.core.walks import Walk
from mcsd.errors import GateError, LedgerError, VolumeRefusedError
from mcsd.ports import PidWatcher
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world

GATE = "/usr/libexec/mcsd/mcsd-gate"


def gated(world: World) -> None:
    """Have Docker start everything through the gate."""
    info = world.docker.engine_info
    world.docker.engine_info = replace(info, default_runtime="mcsd", runtimes=(("mcsd", GATE),))


async def reboot(world: World) -> None:
    gated(world)
    await world.kill()
    await world.boot()
    await world.quiet()


def request(world: World, ident: ContainerId, *options: str) -> StartRequest:
    container = world.docker.present[ident]
    process, mount = container.process_label, container.mount_label
    assert isinstance(process, Context) and isinstance(mount, Context), "Docker labels it"
    return StartRequest(ident, process, mount, options, container.ipc_mode, container.pid_mode)


async def ask(world: World, asked: StartRequest) -> StartLabels:
    """Ask as the gate does; the start comes to nothing."""
    with world.docker.starting(asked.container):
        return await world.mcsd.start_admission.create(asked)


async def start(world: World, ident: ContainerId, *options: str, obstacle: str = "") -> StartLabels:
    """Start as Docker does with the gate in between: the process runs at what the gate was told."""
    asked = replace(request(world, ident, *options), obstacle=obstacle)
    with world.docker.starting(ident):
        admission = await world.mcsd.start_admission.create(asked)
        world.start(ident)
        world.kernel.labels[ident] = admission.process_label or asked.process_label
    return admission


def stop(world: World, ident: ContainerId) -> None:
    world.mcsd.start_admission.delete(ident)
    world.docker.die(ident)


async def until(is_so: Callable[[], bool]) -> None:
    """Let mcsd go on until something is so."""
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not come to that")


class Lines:
    """Processes whose end a test tells."""

    def __init__(self) -> None:
        self.followed: dict[int | None, Callable[[], None]] = {}

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher:
        self.followed[pid] = ended
        return self

    def release(self) -> None:
        pass


def level_of(admission: StartLabels) -> Level:
    process, mount = admission.process_label, admission.mount_label
    assert process is not None and mount is not None and process.level == mount.level
    return process.level


def test_everything_is_ready_before_the_first_instruction() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await world.quiet()
        assert world.label("/srv/a") == BORN, "mcsd has not chosen yet"
        admission = await start(world, a)
        level = level_of(admission)
        assert len(level) == 2 and world.level_on("/srv/a") == level == world.level(a)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        assert world.level(a) == level, "what Docker goes on saying of the label counts for nothing"

    with_world(story)


def test_a_gate_that_was_switched_on_a_moment_ago_is_known_by_its_first_call() -> None:
    async def story(world: World) -> None:
        gated(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await world.quiet()
        level = level_of(await start(world, a))
        await world.quiet()
        assert world.level_on("/srv/a") == level == world.level(a)
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_docker_that_was_told_to_reload_is_asked_what_it_runs_now() -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        gated(world)
        world.docker.emit("", "reload")
        await world.quiet()
        world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await world.quiet()
        assert world.label("/srv/a") == BORN, "the gate will choose"

    with_world(story)


def test_a_container_that_runs_keeps_its_level_when_the_gate_is_switched_off() -> None:
    """Promise 8: its process goes on carrying it. The next start is without the gate, at Docker's level."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        level = level_of(await start(world, a))
        await world.quiet()
        info = world.docker.engine_info
        world.docker.engine_info = replace(info, default_runtime="runc", runtimes=(("mcsd", "runc"),))
        world.docker.emit("", "reload")
        await world.quiet()
        assert world.level_on("/srv/a") == level == world.level(a)
        assert world.sighting(a).verdict.isolated is True
        stop(world, a)
        await world.quiet()
        own = request(world, a).process_label.level
        assert world.level_on("/srv/a") == own == world.level(a), "ready for the next start"
        world.start(a)
        world.kernel.labels[a] = request(world, a).process_label
        await world.quiet()
        assert world.level_on("/srv/a") == own == world.level(a)
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_exit_means_reclaimed() -> None:
    """Promise 2."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await start(world, a)
        await world.quiet()
        stop(world, a)
        await world.quiet()
        (grant,) = world.mcsd.store.cache.grants()
        assert grant.state is GrantState.QUARANTINED
        world.clock.advance(601)
        await world.quiet()
        assert world.mcsd.store.cache.grants() == ()
        assert world.label("/srv/a") == BORN

    with_world(story)


def test_sticky_keeps_the_level_and_walks_nothing_while_it_lingers() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        first = level_of(await start(world, a))
        await world.quiet()
        stop(world, a)
        await world.quiet()
        walks = len(world.volumes.walked)
        assert level_of(await start(world, a)) == first
        assert len(world.volumes.walked) == walks
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_fresh_gives_another_level_at_each_start() -> None:
    """Red Hat's guide: start the same container twice, and it gets a new category the second time."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        first = level_of(await start(world, a))
        await world.quiet()
        stop(world, a)
        second = level_of(await start(world, a))
        assert first != second and world.level_on("/srv/a") == second
        await world.quiet()
        assert [grant.level for grant in world.mcsd.store.cache.grants()] == [second], "the first is free"
        assert world.sighting(a).verdict.isolated is True

    with_world(story, gate={"level": "fresh"})


def test_a_level_that_the_user_gave_is_kept() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        label = "system_u:system_r:container_t:s0:c7,c8"
        a = world.create("aa", process_label=label, runtime="mcsd", start=False)
        admission = await start(world, a, "label=level:s0:c7,c8")
        assert level_of(admission) == Level.parse("s0:c7,c8")

    with_world(story)


def test_a_group_s_members_come_to_their_level_by_the_label_alone() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        labels = (("io.mcsd.group", "team"), ("io.mcsd.volume", "/data:group"))
        mount = world.mount("/srv/team")
        a = world.create("aa", mount, labels=labels, runtime="mcsd", start=False)
        b = world.create("bb", mount, labels=labels, runtime="mcsd", start=False)
        one, two = level_of(await start(world, a)), level_of(await start(world, b))
        shared = world.level_on("/srv/team")
        assert one.dominates(shared) and two.dominates(shared) and not one.is_comparable_to(two)

    with_world(story)


def test_a_container_in_another_s_ipc_namespace_gets_its_level() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)
        one = level_of(await start(world, a))
        b = world.create("bb", runtime="mcsd", start=False, ipc_mode=f"container:{a}")
        two = level_of(await start(world, b))
        assert one == two
        await world.quiet()
        assert world.sighting(a).conflicts == world.sighting(b).conflicts == ()

    with_world(story)


def test_a_refused_volume_refuses_the_start_and_says_why() -> None:
    """Promise 9."""

    async def story(world: World) -> None:
        await reboot(world)
        mount = world.mount("/etc")
        world.volumes.trees["/etc"].error = VolumeRefusedError("volume '/etc' is refused", rule="x")
        a = world.create("aa", mount, runtime="mcsd", start=False)
        with pytest.raises(GateError, match="container aa is not started: volume /etc: it is refused"):
            await ask(world, request(world, a))
        assert "START_REFUSED" in world.papers.kinds()
        await world.quiet()
        assert world.mcsd.store.cache.grants() == (), "no leaked grant"

    with_world(story)


@pytest.mark.parametrize("rule", ["system", "credentials", "home", "secret-type", "device-node", "no-labels"])
def test_what_is_left_alone_is_no_reason_to_refuse_a_start(rule: str) -> None:
    """Promise 10, and the start is what it would be without mcsd: `-v /etc/localtime:/etc/localtime:ro`."""

    async def story(world: World) -> None:
        await reboot(world)
        world.mount("/etc/localtime")
        error = VolumeRefusedError("volume '/etc/localtime' belongs to somebody", hint="no", rule=rule)
        world.volumes.trees["/etc/localtime"].error = error
        protected = world.mount("/etc/localtime", "/etc/localtime", writable=False)
        a = world.create("aa", world.mount("/srv/a"), protected, runtime="mcsd", start=False)
        admission = await start(world, a)
        assert admission.warning == ""
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        assert world.label("/etc/localtime") == BORN and world.level_on("/srv/a") == world.level(a)
        left = [one for one in world.papers.notices if one.kind.name == "VOLUME_LEFT_ALONE"]
        assert [one.fields["rule"] for one in left] == [rule], "told once"
        assert "belongs to somebody" in left[0].sentence

    with_world(story)


def test_of_a_volume_that_is_mounted_in_part_only_that_is_claimed_though_docker_was_never_asked() -> None:
    """While the gate waits `inspect` does too, and Docker's list knows no parts of volumes."""

    async def story(world: World) -> None:
        await reboot(world)
        world.volumes.make("/v/_data")
        part = world.mount("/v/_data/a", kind=MountKind.VOLUME, inside="/v/_data")
        ident = world.create("new", part, runtime="mcsd", start=False)
        asked = replace(request(world, ident), subpaths=(("/data/", "/a"),))
        with world.docker.starting(ident):
            await world.mcsd.start_admission.create(asked)
        assert world.level_on("/v/_data/a") == world.level(ident)
        assert world.label("/v/_data") == BORN
        assert [claim.source for claim in world.claims(ident)] == ["/v/_data/a"]

    with_world(story)


def test_what_cannot_be_written_is_left_alone_unless_it_is_right_already() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await start(world, a)
        world.volumes.trees["/srv/a"].writable = False
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True, "it carries the level"
        world.mount("/srv/b")
        world.volumes.trees["/srv/b"].writable = False
        b = world.create("bb", world.mount("/srv/b"), runtime="mcsd", start=False)
        await start(world, b)
        assert world.label("/srv/b") == BORN and "VOLUME_LEFT_ALONE" in world.papers.kinds()

    with_world(story)


def test_on_error_start_lets_it_run_and_says_so() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        mount = world.mount("/etc")
        world.volumes.trees["/etc"].error = VolumeRefusedError("volume '/etc' is refused", rule="x")
        a = world.create("aa", mount, runtime="mcsd", start=False)
        admission = await start(world, a)
        assert "volume /etc: it is refused" in admission.warning
        assert "START_UNPREPARED" in world.papers.kinds()
        await world.quiet()
        assert world.sighting(a).verdict.isolated is False, "promise 8"

    with_world(story, gate={"on_error": "start"})


def test_a_ledger_that_cannot_be_written_refuses_the_start() -> None:
    """Promises 3 and 9."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        world.ledger.failure = LedgerError("the disk is full")
        with pytest.raises(GateError, match="container aa is not started: the disk is full"):
            await ask(world, request(world, a))
        assert world.label("/srv/a") == BORN
        world.ledger.failure = None

    with_world(story)


def test_a_walk_that_takes_too_long_refuses_the_start_and_goes_on_for_the_next_one() -> None:
    """Promise 9. A volume that takes longer than the deadline is ready in the end."""

    async def story(world: World) -> None:
        await reboot(world)
        world.volumes.gate.clear()
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        with pytest.raises(GateError, match="not ready after"):
            await ask(world, request(world, a))
        world.volumes.gate.set()
        await until(lambda: not world.mcsd.state.starts.is_starting(a))
        first = world.level_on("/srv/a")
        await world.quiet()
        walks = len(world.volumes.walked)
        assert level_of(await start(world, a)) == first
        assert len(world.volumes.walked) == walks, "nothing is left to walk"

    with_world(story, gate={"deadline": 0.2})


def test_a_late_start_is_told_by_name_before_anything_is_written_down() -> None:
    """Promise 9. Of a container that was made a moment ago."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        async with world.mcsd.reconciler.alone(a):
            with pytest.raises(GateError, match=r"container aa is not started: .* not ready after"):
                await ask(world, request(world, a))

    with_world(story, gate={"deadline": 0.2})


def test_on_error_start_does_not_wait_longer_than_the_deadline() -> None:
    """Promise 8: until the walk is through it says that the volume is not ready."""

    async def story(world: World) -> None:
        await reboot(world)
        world.volumes.gate.clear()
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        admission = await start(world, a)
        assert "not ready after" in admission.warning and "START_UNPREPARED" in world.papers.kinds()
        level = level_of(admission)
        assert level == world.level(a) != world.level_on("/srv/a")
        await asyncio.sleep(0.2)  # somebody has looked, and waits until the gate's work is done
        world.volumes.gate.set()
        await world.quiet()
        assert world.level_on("/srv/a") == level == world.level(a)
        assert world.sighting(a).verdict.isolated is True
        assert len(world.volumes.walked) == 1, "who looked meanwhile has looked again"

    with_world(story, gate={"deadline": 0.2, "on_error": "start"})


OBSTACLE = "the file system at /x is btrfs, not an overlay"


def test_a_root_that_cannot_be_mounted_again_refuses_the_start_by_default() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        with pytest.raises(GateError, match="is btrfs") as raised:
            await ask(world, replace(request(world, a), obstacle=OBSTACLE))
        assert 'level = "docker"' in raised.value.hint
        await world.quiet()
        assert world.mcsd.store.cache.grants() == () and world.label("/srv/a") == BORN

    with_world(story)


def test_a_root_that_cannot_be_mounted_again_keeps_docker_s_level_as_configured() -> None:
    """Its volumes are prepared for that level, and the reason is told."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        first = level_of(await ask(world, request(world, a)))
        # Only the attempt has shown that it cannot be: the gate asks a second time.
        admission = await start(world, a, obstacle=OBSTACLE)
        own = request(world, a).process_label.level
        assert level_of(admission) == own != first and "is btrfs" in admission.warning
        assert "START_UNPREPARED" in world.papers.kinds()
        assert world.level_on("/srv/a") == own == world.level(a)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True, "promise 8: Docker's level is one of its own"
        assert [grant.level for grant in world.mcsd.store.cache.grants() if grant.state.is_living] == [own]

    with_world(story, gate={"on_error": "start"})


def test_docker_s_level_wanted_is_no_obstacle() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        admission = await start(world, a, obstacle=OBSTACLE)
        assert admission.warning == "" and "START_UNPREPARED" not in world.papers.kinds()
        assert world.level_on("/srv/a") == level_of(admission) == world.level(a)

    with_world(story, gate={"level": "docker"})


def test_a_level_that_is_another_s_is_out_of_reach_for_who_keeps_docker_s() -> None:
    """`--ipc=container:X`, where X runs at a level of mcsd's and this one cannot be given it."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)
        one = level_of(await start(world, a))
        b = world.create("bb", runtime="mcsd", start=False, ipc_mode=f"container:{a}")
        admission = await start(world, b, obstacle=OBSTACLE)
        assert f"it needs the level {one}" in admission.warning and admission.process_label is None
        await world.quiet()
        assert world.sighting(b).verdict.isolated is not True, "promise 8"

    with_world(story, gate={"on_error": "start"})


@pytest.mark.parametrize("on_error", ["refuse", "start"])
def test_a_volume_that_another_container_holds(on_error: str) -> None:
    """Promise 1: whatever is configured for errors, the kernel denies it what is the other's."""

    async def story(world: World) -> None:
        await reboot(world)
        mount = world.mount("/srv/a")
        a = world.create("aa", mount, runtime="mcsd", start=False)
        b = world.create("bb", mount, runtime="mcsd", start=False)
        level = level_of(await start(world, a))
        if on_error == "refuse":
            with pytest.raises(GateError, match="/srv/a"):
                await start(world, b)
        else:
            admission = await start(world, b)
            assert "/srv/a" in admission.warning and level_of(admission) != level
        await world.quiet()
        assert world.level_on("/srv/a") == level

    with_world(story, gate={"on_error": on_error})


@pytest.mark.parametrize("on_error", ["refuse", "start"])
def test_a_volume_that_is_labelled_in_part(on_error: str) -> None:
    async def story(world: World) -> None:
        await reboot(world)
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].partial = True
        a = world.create("aa", mount, runtime="mcsd", start=False)
        if on_error == "refuse":
            with pytest.raises(GateError, match="part of it could not be labelled"):
                await start(world, a)
        else:
            assert "part of it could not be labelled" in (await start(world, a)).warning
            await world.quiet()
            assert world.sighting(a).verdict.isolated is False, "promise 8"

    with_world(story, gate={"on_error": on_error})


def test_a_ledger_that_fails_when_the_walk_is_through_refuses_the_start() -> None:
    """Promise 9: two walks end in the same failure, and it is told once."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create(
            "aa", world.mount("/srv/a"), world.mount("/srv/b", "/b"), runtime="mcsd", start=False
        )
        real = world.volumes.relabel

        def relabel(*arguments: Any, **named: Any) -> Walk:
            world.ledger.failure = LedgerError("the disk is full")
            return real(*arguments, **named)

        world.volumes.relabel = relabel  # type: ignore[method-assign]
        with pytest.raises(GateError, match="container aa is not started: the disk is full"):
            await ask(world, request(world, a))
        world.ledger.failure = None

    with_world(story)


def test_a_ledger_that_cannot_be_written_with_on_error_start() -> None:
    """Promises 3 and 9: it runs at Docker's own labels, and no inode is touched."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        world.ledger.failure = LedgerError("the disk is full")
        admission = await ask(world, request(world, a))
        assert "the disk is full" in admission.warning and admission.process_label is None
        assert world.label("/srv/a") == BORN
        world.ledger.failure = None

    with_world(story, gate={"on_error": "start"})


def refusals(world: World, name: str) -> list[str]:
    """Return what was told of starts of a container that went wrong, by kind."""
    kinds = {Kind.START_REFUSED, Kind.START_UNPREPARED}
    return [one.kind.name for one in world.papers.notices if one.kind in kinds and one.fields["name"] == name]


def test_what_is_refused_although_errors_start_is_told_as_refused_and_as_nothing_else() -> None:
    """Docker's level is another's: the journal says what Docker gets to hear, whatever went wrong before."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)
        label = f"system_u:system_r:container_t:{level_of(await start(world, a))}"
        full = world.create("full", process_label=label, runtime="mcsd", start=False)
        world.ledger.failure = LedgerError("the disk is full")
        with pytest.raises(GateError, match="not separate from that of aa"):
            await start(world, full)
        world.ledger.failure = None
        other = world.create("other", runtime="mcsd", start=False)
        elsewhere = level_of(await start(world, other))
        joins = world.create(
            "joins", process_label=label, runtime="mcsd", start=False, ipc_mode=f"container:{other}"
        )
        with pytest.raises(GateError, match="not separate from that of aa"):
            await start(world, joins, obstacle=OBSTACLE)
        await world.quiet()
        assert elsewhere != Context.parse(label).level
        assert refusals(world, "full") == ["START_REFUSED"]
        assert refusals(world, "joins") == ["START_REFUSED"]

    with_world(story, gate={"on_error": "start"})


@pytest.mark.parametrize("on_error", ["refuse", "start"])
def test_docker_s_level_is_not_taken_from_who_has_it(on_error: str) -> None:
    """Promises 1 and 9: Docker knows nothing of the levels that mcsd has given."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)
        taken = level_of(await start(world, a))
        label = f"system_u:system_r:container_t:{taken}"
        b = world.create("bb", process_label=label, runtime="mcsd", start=False)
        if on_error == "refuse":
            with pytest.raises(GateError, match=r"not separate from that of aa|cannot be given"):
                await start(world, b, obstacle=OBSTACLE)
            return
        assert "not separate from that of aa" in (await start(world, b, obstacle=OBSTACLE)).warning
        await world.quiet()
        assert world.sighting(b).verdict.isolated is False, "promise 8"
        c = world.create("cc", process_label=label, runtime="mcsd", start=False)
        world.ledger.failure = LedgerError("the disk is full")
        with pytest.raises(GateError, match="not separate from that of"):
            await start(world, c)
        world.ledger.failure = None

    with_world(story, gate={"on_error": on_error})


def test_an_end_is_seen_by_the_process_alone() -> None:
    """Promises 2 and 7: neither the gate's delete nor Docker's event has come."""

    async def story(world: World) -> None:
        lines = Lines()
        world.pid_watchers = lines
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await start(world, a)
        await world.quiet()
        pid = world.docker.present[a].pid
        await until(lambda: pid in lines.followed)
        world.docker.drop_events(1)
        world.docker.die(a)
        lines.followed[pid]()
        await until(lambda: world.mcsd.store.cache.grants()[0].state is GrantState.QUARANTINED)

    with_world(story)


@pytest.mark.parametrize("level", ["fresh", "sticky"])
@pytest.mark.parametrize("is_known", [False, True])
def test_what_was_started_without_mcsd_has_what_it_needs_when_mcsd_is_back(
    level: str, *, is_known: bool
) -> None:
    """Promises 7 and 8: mcsd was late, or away, and the container was let start at Docker's own level."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        if is_known:
            await start(world, a)
            await world.quiet()
            world.docker.die(a)
        else:
            await ask(world, request(world, a))
        own = request(world, a).process_label.level
        world.start(a)
        world.kernel.labels[a] = request(world, a).process_label
        await world.quiet()
        assert world.level(a) == world.level_on("/srv/a") == own
        assert world.sighting(a).verdict.isolated is True
        world.clock.advance(601)
        await world.quiet()
        assert [grant.level for grant in world.mcsd.store.cache.grants()] == [own], "no leaked grant"

    with_world(story, gate={"level": level, "on_error": "start"})


def test_a_level_that_a_process_has_chosen_itself_is_not_the_container_s() -> None:
    """Promise 8."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        level = level_of(await start(world, a))
        world.kernel.labels[a] = "system_u:system_r:container_t:s0:c1021,c1022"
        await world.quiet()
        assert world.level(a) == world.level_on("/srv/a") == level
        assert world.sighting(a).verdict.isolated is False

    with_world(story)


@pytest.mark.parametrize("has_run", [False, True])
def test_a_start_that_is_never_heard_of_again_leaks_no_level(
    monkeypatch: pytest.MonkeyPatch, *, has_run: bool
) -> None:
    """Promises 2 and 7: the gate was killed, at a start or at the end of a container that ran shortly."""
    monkeypatch.setattr(watch, "RETRY", 0.05)

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await world.quiet()
        await ask(world, request(world, a))
        if has_run:
            world.docker.die(a)
        await until(lambda: world.mcsd.store.cache.grants()[0].state is GrantState.QUARANTINED)
        world.clock.advance(601)
        await world.quiet()
        assert world.mcsd.store.cache.grants() == () and world.label("/srv/a") == BORN

    with_world(story)


def test_a_running_container_that_a_lost_ledger_forgot_holds_what_its_process_carries() -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        level = level_of(await start(world, a))
        await world.quiet()
        await world.kill()
        world.tables = type(world.tables)()
        world.volumes.originals.clear()
        await world.boot()
        await world.quiet()
        assert world.level(a) == level
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_a_container_started_without_the_gate_again_is_adopted_as_docker_has_it() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        await start(world, a)
        await world.quiet()
        stop(world, a)
        world.docker.engine_info = replace(world.docker.engine_info, runtimes=(("mcsd", "/usr/bin/runc"),))
        world.kernel.labels.clear()
        await world.kill()
        await world.boot()
        world.start(a)
        await world.quiet()
        assert world.level(a) == request(world, a).process_label.level
        assert world.level_on("/srv/a") == world.level(a)
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_a_hook_has_the_volumes_ready_at_the_engine_s_own_level_which_stays() -> None:
    """Promises 1 and 2: an exit takes nothing back, because the container comes up at that level again."""

    async def story(world: World) -> None:
        a = world.podman.create("aa", mounts=(world.mount("/srv/a"),))
        label, mount = world.podman.present[a].process_label, world.podman.present[a].mount_label
        assert isinstance(label, Context) and isinstance(mount, Context)
        bound = BoundMount("/srv/a", "/data")
        asked = StartRequest(a, label, mount, described=Described("aa", (bound,)), keeps_level=True)
        with world.podman.starting(a):
            assert level_of(await world.mcsd.start_admission.create(asked)) == label.level
            assert world.level_on("/srv/a") == label.level
            world.podman.start(a, pid=7_000_001)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        world.podman.die(a)
        await world.quiet()
        grant = world.mcsd.store.cache.grant_of(a)
        assert grant is not None and (grant.state, grant.level) == (GrantState.IDLE, label.level)
        b = world.podman.create("bb", mounts=(world.mount("/srv/b"),), process_label=label, mount_label=mount)
        twin = replace(asked, container=b, described=Described("bb", (BoundMount("/srv/b", "/data"),)))
        with pytest.raises(GateError, match="not separate from that of aa"):
            await world.mcsd.start_admission.create(twin)

    with_world(story, engine=[{"kind": "podman"}])


@pytest.mark.parametrize("runs", [True, False])
def test_after_a_boot_the_kernel_says_who_runs_if_the_engine_cannot(runs: bool) -> None:
    """Promises 1 and 7: Podman may wait for the very start that asks."""

    async def story(world: World) -> None:
        gate = (("runc", "/usr/libexec/mcsd/mcsd-gate-runc"),)
        world.podman.engine_info = replace(world.podman.engine_info, runtimes=gate)

        def create() -> StartRequest:
            made = world.podman.create("unit", mounts=(world.mount("/srv/a"),), runtime="runc")
            label, mount = world.podman.present[made].process_label, world.podman.present[made].mount_label
            assert isinstance(label, Context) and isinstance(mount, Context)
            bound = BoundMount("/srv/a", "/data")
            return StartRequest(made, label, mount, described=Described("unit", (bound,)))

        former = create()
        with world.podman.starting(former.container):
            admitted = await world.mcsd.start_admission.create(former)
            world.podman.start(former.container, pid=7_000_001)
            world.kernel.labels[former.container] = admitted.process_label or ""
        await world.quiet()
        await world.kill()
        if not runs:
            world.podman.vanish(former.container)
        await world.boot(following=False)
        world.podman.go_down()
        later = create()
        if runs:
            with pytest.raises(GateError, match="podman/unit holds /srv/a"):
                await world.mcsd.start_admission.create(later)
        else:
            level = level_of(await world.mcsd.start_admission.create(later))
            assert world.level_on("/srv/a") == level != level_of(admitted)

    with_world(story, engine=[{"kind": "podman"}])


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_start_after_a_boot_is_not_refused_for_who_is_gone(is_gone: bool) -> None:
    """Promises 1 and 7: a unit's container is a new one at each boot, and its start may come first."""

    async def story(world: World) -> None:
        gate = (("runc", "/usr/libexec/mcsd/mcsd-gate-runc"),)
        world.podman.engine_info = replace(world.podman.engine_info, runtimes=gate)
        former = world.podman.create("unit", mounts=(world.mount("/srv/a"),), runtime="runc")
        world.podman.start(former, pid=7_000_001)
        await world.quiet()
        await world.kill()
        if is_gone:
            world.podman.vanish(former)
        await world.boot(following=False)
        b = world.podman.create("unit", mounts=(world.mount("/srv/a"),), runtime="runc")
        label, mount = world.podman.present[b].process_label, world.podman.present[b].mount_label
        assert isinstance(label, Context) and isinstance(mount, Context)
        bound = BoundMount("/srv/a", "/data")
        asked = StartRequest(b, label, mount, described=Described("unit", (bound,)))
        with world.podman.starting(b):
            if is_gone:
                level = level_of(await world.mcsd.start_admission.create(asked))
                assert world.level_on("/srv/a") == level == world.level(b)
            else:
                with pytest.raises(GateError, match="podman/unit holds /srv/a"):
                    await world.mcsd.start_admission.create(asked)

    with_world(story, engine=[{"kind": "podman"}])
