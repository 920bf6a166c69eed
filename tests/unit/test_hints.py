"""Every hint is followed to the letter, and what it is about is gone. Those about files are in tests/host."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcsd.api.gate_socket import GateRequest
from mcsd.config import validate
from mcsd.control import reservations
from mcsd.control.start_admission import StartRequest
from mcsd.core.containers import ContainerId
from mcsd.core.described import Described
from mcsd.core.hints import Hint
from mcsd.core.labels import Context, Level
from mcsd.core.lives import LifeRequest
from mcsd.core.processes import ProcessLevel
from mcsd.core.runs import RunVolume
from mcsd.core.volumes import Claim, ClaimMode, ClaimState
from mcsd.errors import (
    ConflictError,
    EngineNotAskedError,
    EngineUnavailableError,
    GateError,
    McsdError,
    NotFoundError,
    RequestError,
    VolumeFailedError,
)
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world
from tests.following import follows
from tests.unit.control.test_start_admission import ask, reboot, request, start, until

ROOT = Path(__file__).parents[2]
REFUSING = (
    "api/facade.py",
    "core/plan.py",
    "control/executor.py",
    "control/start_admission.py",
    "control/observer.py",
    "relabel/engine.py",
    "relabel/examining.py",
    "relabel/opening.py",
    "relabel/places.py",
    "control/reservations.py",
    "control/life_watch.py",
    "control/runs.py",
)
"""Modules that refuse a volume, a start or a reservation, or leave it alone."""
_LAST_IS_HINT = {"_refuse", "_leave", "_failed", "Unusable"}
_NOT_OF_THESE = {
    "the labels of volume": "it keeps an undo from being told as done, and refuses nobody",
    "there is no reservation": "there is nothing to be refused",
    "could not be restored": "a failure, of which only the journal knows the cause",
    "looks after no booleans": "about booleans, not volumes",
}

LABEL = "system_u:system_r:container_t:"


# --- that none is forgotten ----------------------------------------------------------------------------


def _followed() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "follows":
                yield from (one.attr for one in node.args if isinstance(one, ast.Attribute))


def test_each_hint_is_followed_by_a_test() -> None:
    assert set(_followed()) == set(Hint.__members__)


def _written_on_the_spot(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        given = [word.value for word in node.keywords if word.arg == "hint"]
        if isinstance(node.func, ast.Name) and node.func.id in _LAST_IS_HINT and node.args:
            given.append(node.args[-1])
        for value in given:
            text = value.value if isinstance(value, ast.Constant) else value
            known = any(text_of in ast.unparse(node) for text_of in _NOT_OF_THESE)
            if isinstance(text, ast.JoinedStr) or (isinstance(text, str) and text and not known):
                yield f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("module", REFUSING)
def test_who_refuses_writes_no_hint_of_its_own(module: str) -> None:
    """Or it would be followed by no test."""
    assert list(_written_on_the_spot(ROOT / "mcsd" / module)) == []


# --- following them ------------------------------------------------------------------------------------


def claim_of(world: World, ident: ContainerId) -> Claim:
    grant = world.mcsd.store.cache.grant_of(ident)
    assert grant is not None
    (claim,) = world.mcsd.store.cache.claims_of(grant.id)
    return claim


def is_ready(world: World, ident: ContainerId) -> bool:
    return claim_of(world, ident).state is ClaimState.READY


async def reconfigured(world: World, **config: object) -> None:
    await world.kill()
    world.config = validate(config, source="test")
    await world.boot()
    await world.quiet()


def wanted(hint: str) -> dict[str, str]:
    """Read what to add to whose label."""
    return {who: wish for wish, who in re.findall(r"(/\S+:\w+) to the label io\.mcsd\.volume of (\w+)", hint)}


@follows(Hint.SHARE)
def test_sharing_names_each_container_s_own_destination() -> None:
    async def story(world: World) -> None:
        one = world.create("one", world.mount("/srv/a", "/x"))
        await world.quiet()
        two = world.create("two", world.mount("/srv/a", "/c"))
        await world.quiet()
        wishes = wanted(claim_of(world, two).hint)
        assert set(wishes) == {"one", "two"}
        for ident in (one, two):
            world.docker.remove(ident)
        again = [
            world.create(name, world.mount("/srv/a", at), labels=(("io.mcsd.volume", wishes[name]),))
            for name, at in (("one", "/x"), ("two", "/c"))
        ]
        await world.quiet()
        assert all(is_ready(world, ident) for ident in again) and world.level_on("/srv/a") == Level(0, 0)

    with_world(story)


@follows(Hint.SHARE)
def test_who_shares_already_is_not_told_to() -> None:
    async def story(world: World) -> None:
        shared = (("io.mcsd.volume", "/x:shared"),)
        world.create("one", world.mount("/srv/a", "/x"), labels=shared)
        await world.quiet()
        two = world.create("two", world.mount("/srv/a", "/c"))
        await world.quiet()
        wishes = wanted(claim_of(world, two).hint)
        assert wishes == {"two": "/c:shared"}
        world.docker.remove(two)
        labels = (("io.mcsd.volume", wishes["two"]),)
        again = world.create("two", world.mount("/srv/a", "/c"), labels=labels)
        await world.quiet()
        assert is_ready(world, again)

    with_world(story)


@follows(Hint.SHARE)
def test_who_is_in_one_group_is_told_of_the_mode() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        team = (("io.mcsd.group", "team"),)
        places = {"one": "/x", "two": "/c"}
        made = {
            name: world.create(name, world.mount("/srv/a", at), labels=team, runtime="mcsd", start=False)
            for name, at in places.items()
        }
        await start(world, made["one"])
        with pytest.raises(GateError) as refused:
            await ask(world, request(world, made["two"]))
        wishes = wanted(refused.value.hint)
        assert wishes == {"one": "/x:group", "two": "/c:group"}
        for ident in made.values():
            world.docker.remove(ident)
        await world.quiet()
        for name, at in places.items():
            labels = (*team, ("io.mcsd.volume", wishes[name]))
            again = world.create(name, world.mount("/srv/a", at), labels=labels, runtime="mcsd", start=False)
            assert (await start(world, again)).warning == ""
            assert is_ready(world, again)

    with_world(story)


@follows(Hint.SHARE_BY_RULE)
def test_a_destination_that_the_label_has_no_room_for_is_shared_by_a_rule() -> None:
    async def story(world: World) -> None:
        one = world.create("one", world.mount("/srv/a", "/x,y"))
        await world.quiet()
        two = world.create("two", world.mount("/srv/a", "/c"))
        await world.quiet()
        found = re.search(
            r'name (\S+) with the mode "(\w+)" in a \[\[volumes\.rule\]\]', claim_of(world, two).hint
        )
        assert found is not None
        await reconfigured(world, volumes={"rule": [{"path": found[1], "mode": found[2]}]})
        assert is_ready(world, one) and is_ready(world, two)

    with_world(story)


@follows(Hint.RESTORE_FIRST)
def test_what_could_not_be_put_back_is_put_back_first() -> None:
    async def story(world: World) -> None:
        world.volumes.make("/srv/a/b")
        world.docker.remove(world.create("gone", world.mount("/srv/a")))
        gone = world.create("gone", world.mount("/srv/a"))
        await world.quiet()
        world.volumes.trees["/srv/a"].error = VolumeFailedError("volume '/srv/a' cannot be opened")
        world.docker.remove(gone)
        await world.quiet()
        new = world.create("new", world.mount("/srv/a/b"))
        await world.quiet()
        hint = claim_of(world, new).hint
        world.volumes.trees["/srv/a"].error = None
        await world.mcsd.facade.restore(hint.removeprefix("run mcsctl restore "))
        await world.quiet()
        assert is_ready(world, new)

    with_world(story)


@follows(Hint.STOP_FOREIGN)
def test_a_stranger_that_is_stopped_is_in_nobody_s_way() -> None:
    async def story(world: World) -> None:
        theirs = "system_u:object_r:container_file_t:s0:c900,c901"
        level = Context.parse(theirs).level
        world.volumes.make("/srv/a", label=theirs)
        world.kernel.foreign.append(ProcessLevel(77, Context.parse(LABEL + str(level)), level, ""))
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert "stop that one" in claim_of(world, a).hint
        world.kernel.foreign.clear()
        await world.quiet()
        assert is_ready(world, a)

    with_world(story)


@follows(Hint.ANOTHER_LEVEL)
@pytest.mark.parametrize("how", ["none", "reserved"])
def test_a_level_that_is_not_separate_is_left_for_another(how: str) -> None:
    async def story(world: World) -> None:
        fixed = LABEL + "s0:c1,c2"
        world.create("one", process_label=fixed)
        await world.quiet()
        two = world.create("two", world.mount("/srv/a"), process_label=fixed)
        await world.quiet()
        hint = claim_of(world, two).hint
        assert hint.startswith("recreate two without --security-opt label=level")
        world.docker.remove(two)
        await world.quiet()
        label = None
        if how == "reserved":
            (name,) = re.findall(r"mcsctl reserve (\w+)", hint)
            label = LABEL + str((await world.mcsd.facade.reserve(name, group=None)).level)
        again = world.create("two", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        assert is_ready(world, again) and world.sighting(again).verdict.isolated is True

    with_world(story)


@follows(Hint.NEW_LEVEL)
def test_a_container_that_is_made_again_gets_another_level() -> None:
    async def story(world: World) -> None:
        label = Context.parse(LABEL + "s0:c1,c2")
        level = label.level
        world.kernel.foreign.append(ProcessLevel(77, label, level, ""))
        await world.mcsd.process_levels.refresh()  # one of the last second would do for adopting
        a = world.create("a", world.mount("/srv/a"), process_label=str(label), start=False)
        await world.quiet()
        assert claim_of(world, a).hint.startswith("recreate the container")
        world.docker.remove(a)
        again = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert is_ready(world, again) and world.level(again) != level

    with_world(story)


@follows(Hint.JOIN_GROUP)
def test_a_member_s_level_is_reserved_or_chosen_by_the_gate() -> None:
    async def story(world: World) -> None:
        labels = (("io.mcsd.group", "team"), ("io.mcsd.volume", "/data:group"))
        a = world.create("a", world.mount("/srv/a"), labels=labels)
        await world.quiet()
        hint = claim_of(world, a).hint
        found = re.search(r"label=level:\$\(mcsctl reserve (\w+) --group (\w+)\)", hint)
        assert found is not None and "through the gate" in hint
        world.docker.remove(a)
        await world.quiet()
        level = (await world.mcsd.facade.reserve(found[1], group=found[2])).level
        b = world.create("a", world.mount("/srv/a"), labels=labels, process_label=LABEL + str(level))
        await world.quiet()
        assert is_ready(world, b)
        await reboot(world)
        c = world.create("c", world.mount("/srv/a"), labels=labels, runtime="mcsd", start=False)
        assert (await start(world, c)).warning == "" and is_ready(world, c)

    with_world(story)


@follows(Hint.REMOUNT)
def test_what_is_mounted_again_for_writing_is_labelled_at_the_next_start() -> None:
    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].writable = False
        a = world.create("a", mount)
        await world.quiet()
        assert claim_of(world, a).state is ClaimState.UNMANAGED and "with rw" in claim_of(world, a).hint
        world.volumes.trees["/srv/a"].writable = True
        world.docker.die(a)
        world.start(a)
        await world.quiet()
        assert is_ready(world, a)

    with_world(story)


@follows(Hint.MEND_AND_RETRY)
@pytest.mark.parametrize("how", ["restart", "repair"])
def test_what_was_labelled_in_part_is_taken_up_again(how: str) -> None:
    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].partial = True
        a = world.create("a", mount)
        await world.quiet()
        assert claim_of(world, a).hint == Hint.MEND_AND_RETRY.say()
        world.volumes.trees["/srv/a"].partial = False
        if how == "restart":
            world.docker.die(a)
            world.start(a)
        else:
            await world.mcsd.facade.verify(None, repair=True)
        await world.quiet()
        assert is_ready(world, a)

    with_world(story)


@follows(Hint.WAIT_LONGER)
def test_a_late_start_is_repeated_when_its_volumes_are_ready() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        world.volumes.gate.clear()
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        with pytest.raises(GateError) as late:
            await ask(world, request(world, a))
        assert late.value.hint.startswith("labelling goes on: start aa again when mcsctl show aa")
        world.volumes.gate.set()
        await until(lambda: not world.mcsd.state.starts.is_starting(a))
        assert (await start(world, a)).warning == ""

    with_world(story, gate={"deadline": 0.2})


def of_podman(world: World, ident: ContainerId) -> StartRequest:
    """What Podman's gate says of a container that only the bundle describes."""
    made = world.podman.present[ident]
    process, mount = made.process_label, made.mount_label
    assert isinstance(process, Context) and isinstance(mount, Context), "Podman labels it"
    return StartRequest(ident, process, mount, described=Described(made.name))


@follows(Hint.NAME_ENGINE)
def test_an_engine_that_is_named_starts_containers() -> None:
    async def refused(world: World) -> None:
        with pytest.raises(GateError) as why:
            await world.mcsd.start_admission.create(of_podman(world, world.podman.create("web")))
        assert "[[engine]] kind" in why.value.hint

    async def named(world: World) -> None:
        labels = await world.mcsd.start_admission.create(of_podman(world, world.podman.create("web")))
        assert labels.process_label is not None

    with_world(refused)
    with_world(named, engine=[{"kind": "podman"}])


@follows(Hint.KEEP_LEVEL)
def test_docker_s_own_level_needs_no_mount_of_another() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", world.mount("/srv/a"), runtime="mcsd", start=False)
        with pytest.raises(GateError) as refused, world.docker.starting(a):
            await world.mcsd.start_admission.create(replace(request(world, a), obstacle="it is vfs"))
        assert refused.value.hint == Hint.KEEP_LEVEL.say()
        await reconfigured(world, gate={"level": "docker"})
        assert (await start(world, a, obstacle="it is vfs")).warning == ""

    with_world(story)


@follows(Hint.OWN_NAMESPACES)
def test_a_container_with_namespaces_of_its_own_starts_where_levels_cannot_be_changed() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        other = world.create("other", runtime="mcsd", start=False)
        await start(world, other)
        await reconfigured(world, gate={"level": "docker"})
        a = world.create("aa", runtime="mcsd", start=False, ipc_mode=f"container:{other}")
        with pytest.raises(GateError) as refused, world.docker.starting(a):
            await world.mcsd.start_admission.create(replace(request(world, a), obstacle="it is vfs"))
        assert refused.value.hint == Hint.OWN_NAMESPACES.say()
        b = world.create("bb", runtime="mcsd", start=False)
        assert (await start(world, b, obstacle="it is vfs")).warning == ""

    with_world(story)


@follows(Hint.START_AGAIN)
def test_a_start_whose_level_was_taken_meanwhile_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)

        async def nobody_looked(choice: object) -> bool:
            return False

        with monkeypatch.context() as patch, pytest.raises(GateError) as refused:
            patch.setattr(world.mcsd.start_admission, "_look_who_runs", nobody_looked)
            await ask(world, request(world, a))
        assert refused.value.hint == Hint.START_AGAIN.say()
        assert (await start(world, a)).warning == ""

    with_world(story)


def written(asked: StartRequest, label: str) -> StartRequest:
    """Return what the gate asks when the engine has chosen a label, as the daemon reads it."""
    labels = {"process_label": label, "mount_label": label}
    said = {"version": 1, "operation": "create", "container": asked.container, **labels}
    return GateRequest.model_validate(said).start()


@follows(Hint.READABLE_LEVEL)
def test_a_level_that_can_be_read_starts() -> None:
    async def story(world: World) -> None:
        await reboot(world)
        a = world.create("aa", runtime="mcsd", start=False)
        asked = request(world, a)
        with pytest.raises(GateError) as refused:
            written(asked, LABEL + "c1,c2")
        (level,) = re.findall(r"such as (\S+?),? or", refused.value.hint)
        assert (await ask(world, written(asked, LABEL + level))).warning == ""
        assert (await ask(world, asked)).warning == "", "or with none of its own"

    with_world(story)


# --- what an administrator asks for --------------------------------------------------------------------


@follows(Hint.REMOVE_HOLDERS)
@pytest.mark.parametrize("how", ["remove", "ignore"])
def test_a_volume_that_nobody_claims_is_restored(how: str) -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        with pytest.raises(ConflictError) as refused:
            await world.mcsd.facade.restore("/srv/a")
        (path,) = re.findall(r"give (\S+) the mode ignore", refused.value.hint)
        if how == "remove":
            world.docker.remove(a)
            await world.mcsd.facade.restore("/srv/a")
        else:
            await reconfigured(world, volumes={"rule": [{"path": path, "mode": "ignore"}]})
            await world.quiet()
        assert world.label("/srv/a") == BORN

    with_world(story)


@follows(Hint.RELEASE_FIRST, Hint.REMOVE_FIRST)
def test_a_volume_that_a_reservation_keeps_is_restored_when_that_is_given_up() -> None:
    async def story(world: World) -> None:
        level = (await world.mcsd.facade.reserve("web", group=None)).level
        a = world.create("web1", world.mount("/srv/a"), process_label=LABEL + str(level))
        await world.quiet()
        with pytest.raises(ConflictError) as in_use:
            await world.mcsd.facade.release("web")
        assert in_use.value.hint == "remove that container first: docker rm web1"
        world.docker.remove(a)
        await world.quiet()
        with pytest.raises(ConflictError) as kept:
            await world.mcsd.facade.restore("/srv/a")
        await world.mcsd.facade.release(kept.value.hint.rpartition(" ")[2])
        await world.mcsd.facade.restore("/srv/a")
        assert world.label("/srv/a") == BORN

    with_world(story)


@follows(Hint.RELEASE_OR_RENAME, Hint.PROPER_NAME)
def test_a_name_that_is_free_and_proper_is_reserved() -> None:
    async def story(world: World) -> None:
        await world.mcsd.facade.reserve("web", group=None)
        with pytest.raises(ConflictError) as taken:
            await world.mcsd.facade.reserve("web", group="team")
        (name,) = re.findall(r"mcsctl release (\w+),", taken.value.hint)
        await world.mcsd.facade.reserve("another", group="team")
        await world.mcsd.facade.release(name)
        assert (await world.mcsd.facade.reserve("web", group="team")).group == "team"
        with pytest.raises(RequestError) as improper:
            await world.mcsd.facade.reserve("-" + "x" * 70, group=None)
        assert improper.value.hint == Hint.PROPER_NAME.say()
        await world.mcsd.facade.reserve("x" + "._-" * 20 + "9", group=None)

    with_world(story)


@follows(Hint.LIVING_PROCESS, Hint.ACTIVE_UNIT, Hint.FOLLOWED_UNIT, Hint.TIME_FORM)
def test_a_reservation_lasts_as_long_as_what_lives_or_until_a_time_to_come() -> None:
    async def story(world: World) -> None:
        async def hint(error: type[McsdError], **life: Any) -> str:
            with pytest.raises(error) as refused:
                await world.mcsd.facade.reserve("web", group=None, life=LifeRequest(**life))
            return refused.value.hint

        async def taken(**life: Any) -> bool:
            return (
                await world.mcsd.facade.reserve("web", group=None, life=LifeRequest(**life))
            ).life is not None

        assert "process that runs" in await hint(NotFoundError, pid=42)
        world.lives.begin(42)
        assert await taken(pid=42)
        (proper,) = re.findall(r"such as (\S+)$", await hint(RequestError, unit="web.timer"))
        said = await hint(NotFoundError, unit=proper)
        assert said.startswith("start it first") and f"systemctl show -P Id {proper}" in said
        world.units.begin(proper)
        assert await taken(unit=proper)
        said = await hint(RequestError, until="yesterday")
        times = re.findall(r"2030-\S+(?=,)|\d+(?:min|h|d)\b", said)
        assert len(times) == 4
        for time in times:
            assert await taken(until=time)

    with_world(story)


@follows(Hint.ASK_LATER)
def test_a_level_is_reserved_once_docker_has_told_who_holds_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "FIRST_LOOK", 0.05)

    async def story(world: World) -> None:
        await world.kill()
        world.tables = type(world.tables)()
        world.docker.go_down()
        await world.boot()
        with pytest.raises(EngineUnavailableError) as early:
            await world.mcsd.facade.reserve("web", group=None)
        assert early.value.hint == Hint.ASK_LATER.say()
        world.docker.come_up()
        monkeypatch.setattr(reservations, "FIRST_LOOK", 10.0)
        assert (await world.mcsd.facade.reserve("web", group=None)).reservation == "web"

    with_world(story)


@follows(Hint.ANOTHER_NAME, Hint.PLAIN_PATH, Hint.NAME_GROUP, Hint.RUN_AGAIN)
def test_a_run_that_was_refused_is_run_as_its_hint_says() -> None:
    async def story(world: World) -> None:
        await world.begin_run("one")
        with pytest.raises(ConflictError) as taken:
            await world.ask_run("one")
        assert taken.value.hint.startswith("take another name; mcsctl containers and mcsctl pairs")
        await world.begin_run("two")
        shared = RunVolume("/srv/a,b", ClaimMode.SHARED)
        with pytest.raises(RequestError) as unplain:
            await world.ask_run("three", shared)
        assert unplain.value.hint == Hint.PLAIN_PATH.say(path="/srv/a,b")
        await reconfigured(world, volumes={"rule": [{"path": "/srv/a,b", "mode": "shared"}]})
        three = await world.begin_run("three", "/srv/a,b")
        assert claim_of(world, three.id).mode is ClaimMode.SHARED
        with pytest.raises(RequestError) as groupless:
            await world.ask_run("four", RunVolume("/srv/c", ClaimMode.GROUP))
        assert groupless.value.hint == "add --group with the group's name"
        await world.begin_run("four", RunVolume("/srv/c", ClaimMode.GROUP), group="team")
        five = await world.ask_run("five")
        world.kill_run(five)
        await until(lambda: world.mcsd.store.cache.run(five.id) is None)
        with pytest.raises(NotFoundError) as gone:
            await world.mcsd.facade.start_run(five.id)
        assert gone.value.hint == "run it again"
        await world.begin_run("five")

    with_world(story)


@follows(Hint.ENGINE_BACK)
@pytest.mark.parametrize("way", ["name it", "give it up"])
def test_a_container_of_an_engine_that_was_taken_out_is_handled_again_or_given_up(way: str) -> None:
    async def story(world: World) -> None:
        one = world.podman.create("one", mounts=(world.mount("/srv/a"),))
        world.podman.start(one, pid=7_000_001)
        await world.quiet()
        both, world.engines = world.engines, {"docker": world.docker}
        await reconfigured(world)
        with pytest.raises(EngineNotAskedError) as refused:
            await world.mcsd.engines.inspect(one)
        assert refused.value.hint == Hint.ENGINE_BACK.say()
        if way == "name it":
            world.engines = both
            await reconfigured(world, engine=[{"kind": "podman"}])
            assert (await world.mcsd.engines.inspect(one)).engine == "podman"
        else:
            await world.mcsd.facade.release("podman/one")
            await world.mcsd.facade.restore("/srv/a")
            assert world.label("/srv/a") == BORN

    with_world(story, engine=[{"kind": "podman"}])
