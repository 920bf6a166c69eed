"""Promise 2: a level that a file outside every volume carries is nobody's, until a scan finds it gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mcsd.core.labels import Level
from mcsd.core.notices import Kind
from mcsd.core.strays import Catch, Looked, ScanState, Stray, joined, level_on
from mcsd.errors import ConflictError, ExhaustedError
from tests.fakes.world import World, with_world

KIND = "system_u:object_r:svirt_sandbox_file_t:"
SMALL: dict[str, Any] = {"categories": {"range": "c0.c3", "reserved": []}}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def scan(world: World, top: str = "") -> Catch:
    """Have everything scanned, and give what is known then."""
    scanner = world.mcsd.scanner
    scanner.start(top, gently=False)
    await until(lambda: (state := scanner.catch().scan) is not None and state.finished is not None)
    return scanner.catch()


def told(world: World, kind: Kind) -> list[object]:
    return [one.fields.get("path") for one in world.papers.notices if one.kind is kind]


def test_a_copy_is_found_told_and_keeps_its_level_from_everybody() -> None:
    async def story(world: World) -> None:
        world.files.labels = {
            "/srv/bk/f": KIND + "s0:c0,c1",
            "/srv/bk/g": KIND + "s0:c0,c1",
            "/etc/x": KIND + "s0",
        }
        caught = await scan(world)
        (stray,) = caught.strays.values()
        assert (str(stray.level), stray.count, stray.paths) == ("s0:c0,c1", 2, ("/srv/bk/f", "/srv/bk/g"))
        assert "restorecon -F /srv/bk/f" in stray.remedy
        assert told(world, Kind.STRAY_FOUND) == ["/srv/bk/f"]
        (holder,) = world.mcsd.store.allocator.holders_of(Level.parse("s0:c0,c1"))
        assert str(holder) == "quarantine 'stray /srv/bk/f'"
        world.files.labels.clear()
        assert not (await scan(world)).strays
        assert world.mcsd.store.allocator.holders_of(Level.parse("s0:c0,c1")) == ()

    with_world(story, **SMALL)


def test_what_a_volume_is_to_carry_is_no_stray() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        level = world.level(a)
        world.files.labels = {
            "/srv/a": f"{KIND}{level}",
            "/srv/a/f": f"{KIND}{level}",
            "/srv/ab": f"{KIND}{level}",
        }
        caught = await scan(world)
        assert [one.paths for one in caught.strays.values()] == [("/srv/ab",)]

    with_world(story)


def test_what_is_mounted_inside_a_volume_is_not_the_volume_s() -> None:
    """A backup that was unpacked over a mount: nobody puts back what it had."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        label = f"{KIND}{world.level(a)}"
        world.files.mounted = ("/", "/srv/a/disk")
        world.files.labels = {"/srv/a/f": label, "/srv/a/disk/f": label, "/var/lib/docker/x/shm": label}
        assert [one.paths for one in (await scan(world)).strays.values()] == [("/srv/a/disk/f",)]
        world.files.mounted = ("/", "/srv/a", "/var/lib/docker/x")
        assert [one.paths for one in (await scan(world)).strays.values()] == [("/srv/a/disk/f",)]
        world.files.mounted = ("/", "/srv/a", "/srv/a/disk")
        del world.files.labels["/srv/a/disk/f"]
        assert not (await scan(world)).strays

    with_world(story)


def test_a_level_that_a_stray_carries_is_not_called_free() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        level = world.level(a)
        world.files.labels = {"/srv/bk/f": f"{KIND}{level}"}
        await scan(world)
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(1000)
        await world.quiet()
        assert told(world, Kind.LEVEL_ASTRAY) == ["/srv/bk/f"]
        assert "GRANT_FREED" not in world.papers.kinds()
        assert world.mcsd.store.allocator.holders_of(level)

    with_world(story)


def test_strays_hold_their_levels_from_the_start_on() -> None:
    async def story(world: World) -> None:
        world.files.labels = {"/srv/bk/f": KIND + "s0:c0,c1"}
        await scan(world)
        await world.kill()
        await world.boot()
        assert world.mcsd.store.allocator.holders_of(Level.parse("s0:c0,c1"))

    with_world(story, **SMALL)


def test_what_was_broken_off_goes_on_where_it_was() -> None:
    async def story(world: World) -> None:
        world.files.mounted = ("/", "/mnt")
        world.files.labels = {f"/a{n}": KIND + "s0:c0,c1" for n in range(3)} | {"/mnt/x": KIND + "s0:c1,c2"}
        scanner = world.mcsd.scanner
        world.files.gate.clear()
        scanner.start("", gently=True)
        await until(lambda: scanner.catch().scan is not None)
        world.files.gate.set()
        await until(lambda: "/mnt/x" in world.files.scanned)
        await until(lambda: (state := scanner.catch().scan) is not None and state.finished is not None)
        done = Catch(scan=ScanState(1.0, done=("/",), at="", seen=3))
        first = Level.parse("s0:c0,c1")
        world.strays.kept = (done, {first: Stray(first, KIND + "s0:c0,c1", 3, ("/a0", "/a1", "/a2"))})
        world.files.scanned.clear()
        await world.kill()
        await world.boot()
        await until(
            lambda: (state := world.mcsd.scanner.catch().scan) is not None and state.finished is not None
        )
        assert world.files.scanned == ["/mnt/x"]
        assert {str(level) for level in world.mcsd.scanner.catch().strays} == {"s0:c0,c1", "s0:c1,c2"}

    with_world(story)


def test_a_scan_of_one_path_leaves_the_rest_as_it_is_known() -> None:
    async def story(world: World) -> None:
        world.files.labels = {"/a/f": KIND + "s0:c0,c1", "/b/f": KIND + "s0:c0,c2"}
        await scan(world)
        world.files.labels = {}
        caught = await scan(world, "/a")
        assert [one.paths for one in caught.strays.values()] == [("/b/f",)]
        assert caught.complete is not None
        assert caught.scan is not None
        assert caught.complete < caught.scan.began or caught.scan.top == "/a"

    with_world(story)


def test_one_scan_at_a_time() -> None:
    async def story(world: World) -> None:
        world.files.gate.clear()
        world.files.labels = {"/a/f": KIND + "s0"}
        world.mcsd.scanner.start("", gently=False)
        with pytest.raises(ConflictError, match="under way"):
            world.mcsd.scanner.start("/b", gently=False)
        world.files.gate.set()

    with_world(story)


def test_a_place_that_cannot_be_read_is_told_and_the_others_are_scanned() -> None:
    async def story(world: World) -> None:
        world.files.error = OSError(5, "Input/output error")
        await scan(world)
        assert told(world, Kind.SCAN_INCOMPLETE) == ["/"]

    with_world(story)


def test_whose_a_label_is() -> None:
    assert level_on(KIND + "s0:c1,c2") == Level.parse("s0:c1,c2")
    for nobody in (KIND + "s0", KIND + "s0:c0.c1023", "odd", ""):
        assert level_on(nobody) is None


def gone(path: str, level: Level) -> bool:
    return True


def there(path: str, level: Level) -> bool:
    return False


LEVEL = Level.parse("s0:c1,c2")


def test_what_is_known_by_count_alone_is_not_forgotten() -> None:
    """Where more carry a level than paths are kept, a scan of some of them proves nothing of the rest."""
    known = Catch({LEVEL: Stray(LEVEL, KIND, 20, ("/a/f",))})
    assert joined(known, (), Looked("/a", ["/a"]), gone)[LEVEL].count == 19
    assert joined(known, (), Looked("", ["/"], ["/mnt"]), gone)[LEVEL].count == 19
    assert not joined(known, (), Looked("", ["/"]), gone)


@pytest.mark.parametrize(
    ("looked", "places"),
    [
        (Looked("", ["/"], ["/mnt"]), ("/mnt",)),
        (Looked("", ["/"], ["/mnt"]), ()),
        (Looked("", ["/"]), ("/mnt",)),
        (Looked("/srv", ["/srv"]), ()),
    ],
    ids=["failed", "failed, and new", "not mounted", "elsewhere"],
)
def test_a_look_that_was_not_complete_frees_nothing(looked: Looked, places: tuple[str, ...]) -> None:
    """Promise 2: what is on a disk that failed or is away carries its level still."""
    known = Catch({LEVEL: Stray(LEVEL, KIND, 1, ("/mnt/f",))}, places=places)
    assert joined(known, (), looked, gone) == known.strays
    assert not joined(known, (), Looked("", ["/", "/mnt"]), gone)


def test_what_a_scan_could_not_look_at_is_kept() -> None:
    known = Catch({LEVEL: Stray(LEVEL, KIND, 2, ("/a", "/b"))})
    whole = Looked("", ["/"])
    assert joined(known, (), whole, there) == known.strays
    found = Stray(LEVEL, KIND, 1, ("/b",))
    assert joined(known, (found,), whole, there)[LEVEL] == Stray(LEVEL, KIND, 2, ("/a", "/b"))
    assert joined(known, (found,), whole, gone)[LEVEL] == found


def test_a_level_known_by_count_alone_is_told_of_as_that() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        level = world.level(a)
        world.strays.kept = (Catch({level: Stray(level, KIND, 20)}, places=("/",)), {})
        await world.kill()
        await world.boot()
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(1000)
        await world.quiet()
        assert told(world, Kind.LEVEL_ASTRAY) == ["something that a scan will name again"]

    with_world(story)


def test_a_disk_that_is_away_holds_the_levels_of_what_is_on_it() -> None:
    async def story(world: World) -> None:
        world.files.mounted = ("/", "/mnt")
        world.files.labels = {"/mnt/f": KIND + "s0:c0,c1"}
        assert (await scan(world)).places == ("/mnt",)
        world.files.mounted, world.files.labels = ("/",), {}
        before = world.mcsd.scanner.catch().complete
        assert [one.paths for one in (await scan(world)).strays.values()] == [("/mnt/f",)]
        assert world.mcsd.store.allocator.holders_of(Level.parse("s0:c0,c1"))
        world.files.mounted = ("/", "/mnt")
        assert not (await scan(world)).strays
        assert before is not None

    with_world(story, **SMALL)


def test_a_scan_that_failed_somewhere_is_no_complete_one() -> None:
    async def story(world: World) -> None:
        world.files.labels = {"/a": KIND + "s0:c0,c1"}
        before = (await scan(world)).complete
        world.clock.advance(100)
        world.files.error = OSError(5, "Input/output error")
        caught = await scan(world)
        assert caught.complete == before
        assert [one.paths for one in caught.strays.values()] == [("/a",)]

    with_world(story, **SMALL)


def test_what_is_lost_is_said_and_nothing_is_granted_twice_until_all_is_scanned() -> None:
    async def story(world: World) -> None:
        allocator = world.mcsd.store.allocator
        given = [await world.mcsd.reservations.reserve(f"r{n}") for n in range(6)]
        await world.mcsd.reservations.release("r0")
        await world.quiet()
        assert allocator.choose().level == given[0].level, "six pairs are all that there are"
        await world.kill()
        world.strays.kept = (Catch(lost="strays.json cannot be used: it is damaged"), {})
        world.files.gate.clear()
        world.files.labels = {"/a": KIND + "s0"}
        await world.boot()
        allocator = world.mcsd.store.allocator
        with pytest.raises(ExhaustedError, match="is lost"):
            allocator.choose()
        await until(lambda: "STRAYS_LOST" in world.papers.kinds())
        world.files.gate.set()
        await until(lambda: not world.mcsd.scanner.is_busy and not world.mcsd.scanner.catch().lost)
        assert allocator.choose().level == given[0].level

    with_world(story, **SMALL)
