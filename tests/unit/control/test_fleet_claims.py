"""Volumes on storage that several hosts mount: one host has a directory, and others are told who."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from mcsd.adapters.host.shared import MountedStorages
from mcsd.app.wiring import FleetSide
from mcsd.control.fleet_keeper import FleetKeeper
from mcsd.core.disk import WatchEvent, What
from mcsd.core.fleet import protocol
from mcsd.core.fleet.administration import begin_recovery, clashes, end_recovery, evict
from mcsd.core.fleet.protocol import Trouble, View
from mcsd.core.fleet.storages import NamedStorage
from mcsd.core.fleet.trees import FleetTree, SharedPlace
from mcsd.core.hints import Hint
from mcsd.core.volumes import Claim, ClaimState, Identity
from mcsd.errors import ConflictError, FleetError, GateError, LedgerError
from tests.fakes.fleet_store import MemoryStore
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World
from tests.following import follows
from tests.unit.control.fleet_hosts import UnsteadyStore, booted, gated_host, host, keeper, new_id, play
from tests.unit.control.test_start_admission import level_of, start, stop, until

TABLE = b"""\
21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,seclabel
30 21 0:40 / /srv rw - ceph 10.0.0.7:6789:/data rw,seclabel
"""
"""Everything in /srv is in /data of a Ceph file system."""
OTHER_TABLE = TABLE.replace(b"/ /srv rw - ceph 10.0.0.7:6789:/data", b"/data /mnt rw - ceph mon-1,mon-2:/")
"""The same as another host may mount it."""


@pytest.fixture(autouse=True)
def _turns_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetKeeper, "run", lambda _: asyncio.sleep(3600))


async def pair(store: MemoryStore, *, table: bytes = TABLE) -> tuple[World, World]:
    """Two hosts with the gate that have the storage mounted; the second as `table` says."""
    one, other = gated_host(store), host(store, "beta", "dmi:b")
    other.docker.engine_info = one.docker.engine_info
    one.shared, other.shared = MountedStorages(TABLE), MountedStorages(table)
    for world in (one, other):
        await booted(world)
        await world.quiet()
    return one, other


async def end(*worlds: World) -> None:
    for world in worlds:
        await world.kill()


def trees_in(store: MemoryStore, name: str) -> set[FleetTree]:
    view = View.of(store.read())
    assert view is not None
    return set(view.documents[name].trees)


def paths_in(store: MemoryStore, name: str) -> list[str]:
    return sorted(tree.place.path for tree in trees_in(store, name))


def claim_of(world: World, name: str) -> Claim:
    (ident,) = (one for one, container in world.docker.present.items() if container.name == name)
    (claim,) = world.claims(ident)
    return claim


def test_the_second_host_is_refused_and_told_who_has_it() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            theirs = other.create("copy", other.mount("/srv/web"), runtime="mcsd", start=False)
            level = level_of(await start(one, web))
            assert one.level_on("/srv/web") == level and paths_in(store, "alpha") == ["/data/web"]
            with pytest.raises(GateError, match=r"web on host alpha has '/data/web' .* at s0:c") as refused:
                await start(other, theirs)
            assert other.label("/srv/web") == BORN and "io.mcsd.group" in refused.value.hint
            assert not paths_in(store, "beta")
            assert claim_of(other, "copy").state is ClaimState.REFUSED
            stop(one, web)
            one.docker.remove(web)
            await one.quiet()
            await one.mcsd.facade.restore("/srv/web")
            assert one.label("/srv/web") == BORN
            await keeper(one).turn()
            assert not paths_in(store, "alpha")
            assert level_of(await start(other, theirs)) == other.level_on("/srv/web")
            assert paths_in(store, "beta") == ["/data/web"]
        finally:
            await end(one, other)

    play(story)


@pytest.mark.parametrize("path", ["/srv", "/srv/web/static", "/srv/web"])
def test_what_is_in_it_or_around_it_is_the_same_on_whatever_mount(path: str) -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store, table=OTHER_TABLE)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            here = path.replace("/srv", "/mnt")
            theirs = other.create("copy", other.mount(here), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="web on host alpha"):
                await start(other, theirs)
            free = other.create("free", other.mount("/mnt/website"), runtime="mcsd", start=False)
            other.volumes.trees["/mnt/website"].identity = Identity(1, 4711)  # no inode of alpha's
            await start(other, free)
            assert paths_in(store, "beta") == ["/data/website"]
        finally:
            await end(one, other)

    play(story)


def test_a_directory_that_was_renamed_is_told_by_its_inode() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            inode = one.volumes.trees["/srv/web"].identity.inode
            tree = other.volumes.make("/srv/renamed")
            tree.identity = Identity(tree.identity.device, inode)
            theirs = other.create("copy", other.mount("/srv/renamed"), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="web on host alpha has '/data/web'"):
                await start(other, theirs)
        finally:
            await end(one, other)

    play(story)


def test_what_is_shared_or_a_group_s_is_so_on_all_hosts() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        group = (("io.mcsd.group", "web"), ("io.mcsd.volume", "/data:group"))
        shared = (("io.mcsd.volume", "/data:shared"),)
        levels = set()
        try:
            for world in (one, other):
                for name, labels in (("replica", group), ("reader", shared)):
                    mount = world.mount(f"/srv/{name}")
                    ident = world.create(name, mount, runtime="mcsd", start=False, labels=labels)
                    await start(world, ident)
                levels.add((world.level_on("/srv/replica"), world.level_on("/srv/reader")))
            ((replicas, readers),) = levels
            assert len(replicas) == 2 and not readers.categories
            assert paths_in(store, "alpha") == paths_in(store, "beta") == ["/data/reader", "/data/replica"]
            private = other.create("thief", other.mount("/srv/reader"), runtime="mcsd", start=False)
            with pytest.raises(GateError):
                await start(other, private)
        finally:
            await end(one, other)

    play(story)


def test_a_directory_that_this_host_has_costs_the_store_nothing() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            before = store.requests
            for _ in range(3):
                stop(one, web)
                await one.quiet()
                await start(one, web)
            local = one.create("local", one.mount("/var/lib/local"), runtime="mcsd", start=False)
            await start(one, local)
            assert store.requests == before
        finally:
            await end(one, other)

    play(story)


def test_without_the_store_what_is_had_is_labelled_and_what_is_not_is_refused() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            stop(one, web)
            await one.quiet()
            store.is_down = True
            await start(one, web)
            new = one.create("new", one.mount("/srv/new"), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="not certain: nobody answers") as refused:
                await start(one, new)
            assert "mcsctl fleet status" in refused.value.hint and one.label("/srv/new") == BORN
            store.is_down = False
            await start(one, new)
        finally:
            await end(one, other)

    play(story)


@follows(Hint.ELSEWHERE)
def test_two_storages_of_one_type_are_told_apart_when_both_are_named() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            theirs = other.create("web", other.mount("/srv/web"), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="web on host alpha") as refused:
                await start(other, theirs)
            assert "give each a name in a [[fleet.storage]]" in refused.value.hint
            await other.kill()
            other.shared = MountedStorages(TABLE, [NamedStorage("/srv", "second")])
            await booted(other)
            await other.quiet()
            with pytest.raises(GateError, match="web on host alpha"):
                await start(other, theirs)  # one name says nothing of the other storage
            await one.kill()
            one.shared = MountedStorages(TABLE, [NamedStorage("/srv", "first")])
            await booted(one)
            await one.quiet()
            await one.mcsd.fleet_watch.look()
            await keeper(one).turn()
            assert {tree.place.storage for tree in trees_in(store, "alpha")} >= {"first"}
            with suppress(GateError):
                await start(other, theirs)
            assert {tree.place.storage for tree in trees_in(store, "alpha")} == {"first"}
            await start(other, theirs)
        finally:
            await end(one, other)

    play(story)


def test_who_was_refused_is_looked_at_when_the_other_host_has_given_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            theirs = other.create("copy", other.mount("/srv/web"), start=False)
            with pytest.raises(GateError):
                await start(other, theirs)
            looked: list[str] = []
            monkeypatch.setattr(other.mcsd.watcher, "look_at", looked.append)
            await keeper(other).turn()
            assert not looked, "alpha has it yet"
            stop(one, web)
            one.docker.remove(web)
            await one.quiet()
            await one.mcsd.facade.restore("/srv/web")
            await keeper(one).turn()
            await keeper(other).turn()
            assert looked == [theirs]
        finally:
            await end(one, other)

    play(story)


def alone(store: MemoryStore, name: str, machine: str) -> World:
    """A host that watches, and had no fleet yet when its containers came."""
    world = host(store, name, machine)
    world.shared = MountedStorages(TABLE)
    world.fleet = None
    return world


async def joined(world: World, store: MemoryStore, machine: str) -> None:
    await world.kill()
    world.fleet = FleetSide(store, machine)
    await booted(world)
    await world.quiet()


def test_volumes_of_before_the_fleet_are_claimed_and_a_conflict_is_told() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = alone(store, "alpha", "dmi:a"), alone(store, "beta", "dmi:b")
        try:
            for world, machine in ((one, "dmi:a"), (other, "dmi:b")):
                await world.boot()
                level = f"s0:c{1 + len(machine)},c{ord(machine[-1])}"
                process = f"system_u:system_r:container_t:{level}"
                world.create("web", world.mount("/srv/web"), process_label=process)
                await world.quiet()
                await joined(world, store, machine)
                await world.mcsd.fleet_watch.look()
            assert paths_in(store, "alpha") == ["/data/web"] and not paths_in(store, "beta")
            assert not troubles(one)
            (text,) = troubles(other)
            assert "web on host alpha has '/data/web'" in text
            assert claim_of(other, "web").state is ClaimState.READY, "what runs goes on"
        finally:
            await end(one, other)

    play(story)


def troubles(world: World) -> list[str]:
    standing = world.mcsd.facade.snapshot().fleet
    assert standing is not None
    return [text for text, _ in standing.troubles() if "volume" in text]


def test_a_store_that_lost_a_claim_has_it_written_again_and_two_are_both_stopped() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            backup = store.backup()
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            had = trees_in(store, "alpha")
            store.restore(backup, cluster="2")
            late = other.create("late", other.mount("/srv/web"), runtime="mcsd", start=False)
            with pytest.raises(GateError):
                await start(other, late)
            store.administer(lambda view: begin_recovery(view, new_id))
            for world in (one, other, one, other):
                await keeper(world).turn()
            store.administer(lambda view: end_recovery(view, new_id))
            for world in (one, other):
                await keeper(world).turn()
            assert trees_in(store, "alpha") == had
            with pytest.raises(GateError, match="web on host alpha"):
                await start(other, late)
        finally:
            await end(one, other)

    play(story)


def test_a_recovery_does_not_end_while_two_hosts_have_one_directory() -> None:
    """The store gave it to the second after it had lost that it was the first one's."""

    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            backup = store.backup()
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            # The old identity stays, as with the old token, and alpha has not been heard of since.
            store.restore(backup, cluster=store.cluster)
            store.revision += 1000
            copy = other.create("copy", other.mount("/srv/web"), runtime="mcsd", start=False)
            await start(other, copy)
            await keeper(one).turn()
            view = View.of(store.read())
            assert view is not None
            store.administer(lambda view: begin_recovery(view, new_id))
            for world in (one, other, one, other):
                await keeper(world).turn()
            view = View.of(store.read())
            assert view is not None and clashes(view) == (("alpha", "beta", "/data/web"),)
            with pytest.raises(ConflictError, match="both have containers with '/data/web'"):
                store.administer(lambda view: end_recovery(view, new_id))
            assert not keeper(one).holding.trees and not keeper(other).holding.trees
            stop(one, web)
            one.docker.remove(web)
            await one.quiet()
            await one.mcsd.facade.restore("/srv/web")
            await keeper(one).turn()
            store.administer(lambda view: end_recovery(view, new_id))
            await keeper(other).turn()
            assert {tree.place.path for tree in keeper(other).holding.trees} == {"/data/web"}
        finally:
            await end(one, other)

    play(story)


def test_a_host_has_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(store: UnsteadyStore) -> None:
        monkeypatch.setattr("mcsd.core.fleet.trees.MOST_TREES", 1)
        one, other = await pair(store)
        try:
            await start(one, one.create("first", one.mount("/srv/first"), runtime="mcsd", start=False))
            second = one.create("second", one.mount("/srv/second"), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="directories on shared storage already"):
                await start(one, second)
        finally:
            await end(one, other)

    play(story)


def test_two_that_claim_at_the_same_time_are_two_of_whom_one_has_it() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            for number in range(10):
                works = []
                for world in (one, other):
                    mount = world.mount(f"/srv/d{number}")
                    ident = world.create(f"c{number}", mount, runtime="mcsd", start=False)
                    works.append(start(world, ident))
                done: list[Any] = await asyncio.gather(*works, return_exceptions=True)
                assert sorted(isinstance(one, GateError) for one in done) == [False, True], done
            assert len(paths_in(store, "alpha")) + len(paths_in(store, "beta")) == 10
        finally:
            await end(one, other)

    play(story)


def test_a_start_that_comes_to_nothing_leaves_no_claim() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            claim_tree = keeper(one).claim_tree

            async def claimed(tree: FleetTree, *, is_labelled: bool) -> None:
                await claim_tree(tree, is_labelled=is_labelled)
                one.ledger.failure = LedgerError("the disk is full")

            keeper(one).claim_tree = claimed  # type: ignore[method-assign]
            with pytest.raises(GateError, match="disk is full"):
                await start(one, web)
            assert paths_in(store, "alpha") == ["/data/web"]
            one.ledger.failure = None
            await keeper(one).turn()
            assert not paths_in(store, "alpha")
        finally:
            await end(one, other)

    play(story)


def test_a_claim_that_comes_to_nothing_is_given_up() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            await until(lambda: paths_in(store, "alpha") == ["/data/web"])
            store.is_down = True
            tree = next(iter(keeper(one).holding.trees))
            lost = FleetTree(SharedPlace("ceph", "", "/data/lost", 99), tree.level, "lost")
            with pytest.raises(FleetError):
                await keeper(one).claim_tree(lost, is_labelled=False)
            store.is_down = False
            await keeper(one).turn()
            assert paths_in(store, "alpha") == ["/data/web"]
            await keeper(one).claim_tree(lost, is_labelled=False)
            assert paths_in(store, "alpha") == ["/data/lost", "/data/web"]
            one.clock.advance(301)
            await keeper(one).turn()
            assert paths_in(store, "alpha") == ["/data/web"], "no volume has come of it"
        finally:
            await end(one, other)

    play(story)


SHARED = (("io.mcsd.volume", "/data:shared"),)


def test_who_has_a_directory_by_now_makes_no_other_claim_of_it() -> None:
    """Also while the store is away: the host has it."""

    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            place, last = one.mount("/srv/cache"), None
            for number in range(3):
                before = store.requests
                job = one.create(f"job{number}", place, runtime="mcsd", start=False, labels=SHARED)
                await start(one, job)
                assert number == 0 or store.requests == before
                if last is not None:
                    stop(one, last)
                    one.docker.remove(last)
                    await one.quiet()
                last = job
                await keeper(one).turn()
            assert [tree.holder for tree in trees_in(store, "alpha")] == ["job0"]
            store.is_down = True
            await start(one, one.create("late", place, runtime="mcsd", start=False, labels=SHARED))
        finally:
            await end(one, other)

    play(story)


def test_a_name_that_nobody_can_print_is_told_escaped() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            name = "we\x1bb" + "\N{PILE OF POO}" * 300
            await start(one, one.create(name, one.mount("/srv/web"), runtime="mcsd", start=False))
            await keeper(other).turn()
            (tree,) = trees_in(store, "alpha")
            assert tree.holder.startswith("we\\x1bb") and len(tree.holder) == 128
            assert keeper(one).holding.trouble is keeper(other).holding.trouble is None
        finally:
            await end(one, other)

    play(story)


def test_a_full_disk_does_not_end_the_watch_of_the_fleet() -> None:
    async def story(store: UnsteadyStore) -> None:
        one = alone(store, "alpha", "dmi:a")
        try:
            await one.boot()
            one.create("web", one.mount("/srv/web"), process_label="system_u:system_r:container_t:s0:c5,c97")
            await one.quiet()
            await joined(one, store, "dmi:a")
            await keeper(one).turn()
            one.ledger.failure = LedgerError("the disk is full")
            watching = asyncio.create_task(one.mcsd.fleet_watch.run())
            done, _ = await asyncio.wait({watching}, timeout=0.5)
            assert not done and not paths_in(store, "alpha")
            one.ledger.failure = None
            watching.cancel()
            await one.mcsd.fleet_watch.look()
            assert paths_in(store, "alpha") == ["/data/web"]
        finally:
            await end(one)

    play(story)


def test_a_host_that_was_evicted_labels_no_file_that_is_moved_in() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            await one.quiet()
            (volume,) = one.mcsd.store.cache.volumes()
            store.administer(lambda view: evict(view, "alpha", new_id))
            await keeper(one).turn()
            one.volumes.trees["/srv/web"].below = BORN
            one.disk_watch.tell(WatchEvent(volume.id, What.MOVED_IN, "/srv/web/new", BORN, Identity(1, 77)))
            while one.mcsd.volume_watch.is_at_work:
                await asyncio.sleep(0.01)
            await one.quiet()
            assert not one.volumes.amended and one.volumes.trees["/srv/web"].below == BORN
            checked = await one.mcsd.facade.verify("/srv/web", repair=True)
            assert "another host of the fleet has it, or may have it" in str(checked)
        finally:
            await end(one, other)

    play(story)


def test_containers_that_were_refused_and_are_gone_are_forgotten() -> None:
    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            await start(one, one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False))
            place = other.mount("/srv/web")
            for number in range(3):
                task = other.create(f"task{number}", place, runtime="mcsd", start=False)
                with pytest.raises(GateError):
                    await start(other, task)
                other.docker.remove(task)
                await other.quiet()
            assert other.mcsd.fleet_claims is not None
            await keeper(other).turn()
            assert other.mcsd.fleet_claims.waiting() == frozenset()
        finally:
            await end(one, other)

    play(story)


def test_what_all_hold_fits_into_a_request_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that nothing is taken and that is said; what is held is granted from, and given back."""

    async def story(store: UnsteadyStore) -> None:
        one, other = await pair(store)
        try:
            web = one.create("web", one.mount("/srv/web"), runtime="mcsd", start=False)
            await start(one, web)
            most = protocol.MOST_IN_REQUEST
            monkeypatch.setattr(protocol, "MOST_IN_REQUEST", 1000)
            late = one.create("late", one.mount("/srv/late"), runtime="mcsd", start=False)
            with pytest.raises(GateError, match="does not fit into a request"):
                await start(one, late)
            assert keeper(one).holding.trouble is Trouble.CROWDED and paths_in(store, "alpha") == [
                "/data/web"
            ]
            await start(one, one.create("plain", one.mount("/opt/plain"), runtime="mcsd", start=False))
            stop(one, web)
            one.docker.remove(web)
            await one.quiet()
            await one.mcsd.facade.restore("/srv/web")
            await keeper(one).turn()
            assert not paths_in(store, "alpha")
            monkeypatch.setattr(protocol, "MOST_IN_REQUEST", most)
            await keeper(one).turn()
            await start(one, late)
            assert paths_in(store, "alpha") == ["/data/late"]
        finally:
            await end(one, other)

    play(story)
