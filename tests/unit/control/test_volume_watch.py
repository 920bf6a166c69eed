"""Promises 1, 2, 6, 8: what others do to volumes in use is known, told once, and put right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mcsd.core.containers import ContainerId, MountKind
from mcsd.core.disk import Loss, WatchEvent, Watching, What
from mcsd.core.isolation import Why
from mcsd.core.labels import read_label
from mcsd.core.notices import Kind
from mcsd.core.volumes import Identity, Volume
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world

SHARED = "system_u:object_r:svirt_sandbox_file_t:s0"
HERE = Identity(1, 77)


def volume(world: World, path: str = "/srv/a") -> Volume:
    return next(one for one in world.mcsd.store.cache.volumes() if one.path == path)


def is_right(world: World, path: str = "/srv/a") -> bool:
    tree = world.volumes.trees[path]
    return tree.below in {None, tree.label}


def told(world: World, kind: Kind) -> list[dict[str, Any]]:
    return [dict(one.fields) for one in world.papers.notices if one.kind is kind]


def warnings(world: World) -> list[str]:
    return [one.sentence for one in world.papers.notices if one.kind.value.priority <= 4]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what must come about."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def running(world: World, **fields: Any) -> ContainerId:
    """Have a container run on /srv/a, and all of it looked at."""
    ident = world.create("a", world.mount("/srv/a", **fields))
    await world.quiet()
    return ident


def relabel(world: World, path: str = "/srv/a", label: str = SHARED, name: str = "f") -> None:
    """Do as somebody does who relabels a file in a volume."""
    world.volumes.trees[path].below = label
    world.disk_watch.tell(WatchEvent(volume(world, path).id, What.RELABELLED, f"{path}/{name}", label, HERE))


def test_a_volume_in_use_is_watched_and_was_looked_at_since() -> None:
    async def story(world: World) -> None:
        await running(world)
        world.clock.advance(5)
        state = world.mcsd.state.disk.state(volume(world).id)
        assert state.watching is Watching.WATCHED
        assert state.looked is not None
        assert not state.is_drifting
        assert world.disk_watch.watched == {volume(world).id}

    with_world(story)


def test_after_a_restart_nothing_is_watched_beside_the_first_look_but_soon_after() -> None:
    """Also when Docker cannot be reached, and no look can be finished."""

    async def story(world: World) -> None:
        await running(world)
        for is_up in (True, False):
            await world.kill()
            for one in world.disk_watch.watched:
                world.disk_watch.release(one)  # the kernel's watch ends with the process
            if not is_up:
                world.docker.go_down()
            await world.boot()
            while not world.disk_watch.watched:
                await asyncio.sleep(0)
            assert (world.mcsd.watcher.is_synced, world.mcsd.watcher.is_down) == (is_up, not is_up)
            assert world.disk_watch.watched == {volume(world).id}

    with_world(story)


def test_what_is_given_back_is_watched_no_more() -> None:
    async def story(world: World) -> None:
        a = await running(world)
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(1000)
        await world.quiet()
        assert world.disk_watch.watched == frozenset()

    with_world(story)


def test_a_changed_label_is_put_right_and_told_once_with_whose_doing_it_was() -> None:
    """Situation 1: Docker relabels for a container that mcsd refuses."""

    async def story(world: World) -> None:
        a = await running(world)
        thief = world.create("t", world.mount("/srv/a", options=frozenset({"z"})))
        await world.quiet()
        world.papers.notices.clear()
        relabel(world)
        relabel(world, name="g")
        await until(lambda: is_right(world))
        await until(lambda: bool(told(world, Kind.VOLUME_TOUCHED)))
        relabel(world)
        await until(lambda: is_right(world))
        await world.quiet()
        (once,) = told(world, Kind.VOLUME_TOUCHED)
        assert once["what"] == "container t changed labels in it"
        assert (once["name"], once["found"]) == ("a", SHARED)
        assert world.sighting(a).verdict.isolated is True
        assert world.sighting(thief).verdict.isolated is False
        assert not world.mcsd.state.disk.state(volume(world).id).is_drifting

    with_world(story)


def test_until_it_is_right_the_state_says_what_is_wrong() -> None:
    async def story(world: World) -> None:
        await running(world)
        world.volumes.gate.clear()
        relabel(world, label=BORN)
        state = world.mcsd.state.disk.state
        await until(lambda: state(volume(world).id).is_drifting)
        (finding,) = state(volume(world).id).findings
        assert (finding.path, finding.what, finding.label) == ("/srv/a/f", What.RELABELLED, BORN)
        world.volumes.gate.set()
        await until(lambda: not state(volume(world).id).is_drifting)
        assert told(world, Kind.VOLUME_TOUCHED)[0]["what"] == "somebody changed labels in it"

    with_world(story)


def test_what_docker_does_at_a_container_s_own_start_is_put_right_without_a_word() -> None:
    """It relabels named volumes at every start."""

    async def story(world: World) -> None:
        await running(world, kind=MountKind.VOLUME, name="data", options=frozenset({"z"}))
        world.papers.notices.clear()
        relabel(world)
        await until(lambda: is_right(world))
        await world.quiet()
        assert warnings(world) == []

    with_world(story)


def test_what_is_moved_in_is_labelled_and_is_no_warning() -> None:
    """Situation 5."""

    async def story(world: World) -> None:
        await running(world)
        world.papers.notices.clear()
        world.volumes.trees["/srv/a"].below = BORN
        sight = WatchEvent(volume(world).id, What.MOVED_IN, "/srv/a/new", BORN, HERE)
        world.disk_watch.tell(sight)
        await until(lambda: is_right(world))
        await until(lambda: bool(told(world, Kind.VOLUME_JOINED)))
        assert world.volumes.amended == ["/srv/a/new"]
        assert warnings(world) == []

    with_world(story)


def test_what_a_rule_leaves_alone_is_left_alone() -> None:
    async def story(world: World) -> None:
        await running(world)
        walked = list(world.volumes.walked)
        here = volume(world)
        world.disk_watch.tell(WatchEvent(here.id, What.RELABELLED, "/srv/a/f", BORN, HERE, links=2))
        secret = "system_u:object_r:shadow_t:s0"
        world.disk_watch.tell(WatchEvent(here.id, What.MOVED_IN, "/srv/a/g", secret, HERE))
        world.disk_watch.tell(WatchEvent(here.id, What.RELABELLED, "/srv/a/h", str(here.target), HERE))
        relabel(world, name="last")
        await until(lambda: is_right(world))
        assert world.volumes.amended == ["/srv/a/last"]
        assert world.volumes.walked[len(walked) :] == [("amend", "/srv/a", str(here.target))]

    with_world(story)


def test_the_root_and_what_is_too_much_is_walked_over() -> None:
    async def story(world: World) -> None:
        await running(world)
        here = volume(world)
        for number in range(100):
            world.disk_watch.tell(WatchEvent(here.id, What.RELABELLED, f"/srv/a/{number}", SHARED, HERE))
        world.volumes.trees["/srv/a"].below = SHARED
        await until(lambda: is_right(world))
        assert world.volumes.walked[-1] == ("relabel", "/srv/a", str(here.target))
        world.volumes.trees["/srv/a"].label = SHARED
        world.disk_watch.tell(WatchEvent(here.id, What.RELABELLED, "/srv/a", SHARED, HERE, is_directory=True))
        await until(lambda: world.volumes.trees["/srv/a"].label == str(here.target))
        assert world.volumes.amended == []

    with_world(story)


def test_what_was_moved_out_gets_its_original_back() -> None:
    """Situation 4; also while the volume only lingers."""

    async def story(world: World) -> None:
        a = await running(world)
        here = volume(world)
        world.volumes.outside["/srv/bk/f"] = str(here.target)
        world.disk_watch.tell(WatchEvent(here.id, What.MOVED_OUT, "/srv/bk/f", str(here.target), HERE))
        await until(lambda: world.volumes.outside["/srv/bk/f"] == BORN)
        world.docker.remove(a)
        await world.quiet()
        world.volumes.outside["/srv/bk/g"] = str(here.target)
        world.disk_watch.tell(WatchEvent(here.id, What.MOVED_OUT, "/srv/bk/g", str(here.target), HERE))
        await until(lambda: world.volumes.outside["/srv/bk/g"] == BORN)
        paths = ["/srv/bk/f", "/srv/bk/g"]
        await until(lambda: [one["path"] for one in told(world, Kind.FILE_FOLLOWED)] == paths)

    with_world(story)


def test_what_cannot_be_followed_is_told() -> None:
    async def story(world: World) -> None:
        await running(world)
        here = volume(world)
        world.disk_watch.tell(WatchEvent(here.id, What.MOVED_OUT, "/srv/bk/gone", str(here.target), HERE))
        await until(lambda: bool(told(world, Kind.FILE_ASTRAY)))

    with_world(story)


def test_what_was_lost_is_looked_for() -> None:
    async def story(world: World) -> None:
        await running(world)
        world.volumes.trees["/srv/a"].below = BORN
        world.disk_watch.tell(Loss(volume(world).id, "the kernel's queue was full"))
        await until(lambda: is_right(world))
        assert told(world, Kind.VOLUME_DRIFTED)

    with_world(story)


def test_what_cannot_be_watched_is_told_once_and_looked_at_in_rounds() -> None:
    async def story(world: World) -> None:
        world.disk_watch.refusals["/srv/a"] = "its file system tells nobody what happens in it"
        a = await running(world)
        await world.quiet()
        await world.quiet()
        state = world.mcsd.state.disk.state(volume(world).id)
        assert (state.watching, state.why) == (Watching.ROUNDS, world.disk_watch.refusals["/srv/a"])
        assert len(told(world, Kind.VOLUME_UNWATCHED)) == 1
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_a_watch_that_is_given_up_is_told_and_tried_again_later() -> None:
    async def story(world: World) -> None:
        await running(world)
        world.disk_watch.tell(Loss(volume(world).id, "more is changed in it", is_watched=False))
        state = world.mcsd.state.disk.state
        await until(lambda: state(volume(world).id).watching is Watching.ROUNDS)
        await world.quiet()
        assert state(volume(world).id).watching is Watching.ROUNDS
        assert [one["reason"] for one in told(world, Kind.VOLUME_UNWATCHED)] == ["more is changed in it"]

    with_world(story)


def test_something_mounted_inside_is_told_and_kept() -> None:
    async def story(world: World) -> None:
        await running(world)
        here = volume(world)
        world.disk_watch.mounted[here.id] = ("/srv/a/disk",)
        world.disk_watch.tell(WatchEvent(here.id, What.MOUNTED, "/srv/a/disk"))
        await until(lambda: bool(told(world, Kind.VOLUME_COVERED)))
        assert world.mcsd.state.disk.state(here.id).mounted == ("/srv/a/disk",)
        world.disk_watch.mounted[here.id] = ()
        world.disk_watch.tell(Loss(here.id, "something mounted in it is gone"))
        await until(lambda: world.mcsd.state.disk.state(here.id).mounted == ())

    with_world(story)


def test_new_files_are_watched_where_the_policy_gives_them_the_creator_s_level() -> None:
    """Situation 6: the reference policy without mcsd's groups."""

    async def story(world: World) -> None:
        world.kernel.files_take_creators_level = True
        world.create("a", world.mount("/srv/a", options=frozenset({"z"})))
        world.create("b", world.mount("/srv/b"))
        await world.quiet()
        assert world.disk_watch.with_files == {volume(world, "/srv/a").id}
        world.papers.notices.clear()
        world.volumes.trees["/srv/a"].below = BORN
        here = volume(world)
        world.disk_watch.tell(WatchEvent(here.id, What.CREATED, "/srv/a/new", f"{SHARED}:c1,c2", HERE))
        await until(lambda: is_right(world))
        await world.quiet()
        assert warnings(world) == []

    with_world(story)


def test_new_files_are_watched_where_the_policy_cannot_be_asked_about_a_holder() -> None:
    """Docker's label of a container was replaced by one that cannot be read."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a", options=frozenset({"z"})))
        await world.quiet()
        assert world.disk_watch.with_files == set()
        world.docker.change(a, process_label=read_label("system_u:system_r:container_t:nonsense"))
        world.docker.emit(a, "update")
        await until(lambda: world.disk_watch.with_files == {volume(world).id})
        assert world.sighting(a).error and not told(world, Kind.INTERNAL)

    with_world(story)


def test_nothing_is_watched_where_that_is_configured() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"))
        for _ in range(2):
            await world.mcsd.watcher.resync()
            await world.mcsd.watcher.hints.quiet()
        assert world.disk_watch.watched == frozenset()

    with_world(story, watch={"directories": 0})


def test_nobody_is_called_isolated_while_something_in_its_volume_is_wrong() -> None:
    async def story(world: World) -> None:
        a = await running(world)
        world.papers.notices.clear()
        world.volumes.gate.clear()
        relabel(world, label=BORN)
        await until(lambda: world.sighting(a).verdict.isolated is False)
        (reason,) = world.sighting(a).verdict.reasons
        assert reason.why is Why.DISK
        assert "/srv/a/f: its label was changed" in reason.text
        world.volumes.gate.set()
        await until(lambda: world.sighting(a).verdict.isolated is True)
        await world.quiet()
        kinds = world.papers.kinds()
        assert "NOT_ISOLATED" not in kinds, "what was right again at once is told by what was done, not twice"

    with_world(story)


def test_the_tenth_change_in_a_row_is_put_right_as_the_first() -> None:
    """An administrator who works in a volume changes many things in a minute, and waits for each."""

    async def story(world: World) -> None:
        await running(world)
        for number in range(10):
            relabel(world, label=BORN, name=str(number))
            await until(lambda: is_right(world))
        assert len(world.volumes.amended) == 10

    with_world(story)


def test_something_mounted_is_told_while_a_walk_puts_right_what_else_is_wrong() -> None:
    async def story(world: World) -> None:
        await running(world)
        here = volume(world)
        world.volumes.gate.clear()
        relabel(world, label=BORN)
        await until(lambda: world.mcsd.state.disk.state(here.id).is_drifting)
        world.disk_watch.mounted[here.id] = ("/srv/a/disk",)
        world.disk_watch.tell(WatchEvent(here.id, What.MOUNTED, "/srv/a/disk"))
        await until(lambda: bool(told(world, Kind.VOLUME_COVERED)))
        world.volumes.gate.set()

    with_world(story)
