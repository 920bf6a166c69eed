"""Cells: who shares one reaches what is in it, and between two the levels let nothing through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.exposure import Barrier, Weak, Weakness
from mcsd.core.grants import GrantState
from mcsd.core.isolation import Conflict
from mcsd.core.labels import Context, Level
from mcsd.core.reach import MOST_BY_LEVEL, Cell, CellKind, How, ThingKind, cells_of
from mcsd.core.snapshot import ForeignHolder
from mcsd.core.strays import Stray
from mcsd.core.volumes import ClaimMode, ClaimState
from tests.fakes.service import FILE, PROCESS, Scene, container_id, quiet_scene, troubled_scene
from tests.fakes.service import _weakness as weakness


def cells(scene: Scene, *strays: Stray, foreign: tuple[ForeignHolder, ...] = ()) -> list[Cell]:
    return list(cells_of(replace(scene.snapshot(), foreign=foreign), strays))


def cell_with(found: list[Cell], name: str) -> Cell:
    (cell,) = (one for one in found if any(actor.name == name for actor in one.actors))
    return cell


def stray(level: str, path: str = "/srv/copy") -> Stray:
    return Stray(Level.parse(level), FILE + level, 3, (path,))


def reached(cell: Cell) -> dict[tuple[str, str], How]:
    return {(cell.actors[one.actor].name, cell.things[one.thing].name): one.how for one in cell.links}


def test_containers_with_pairs_of_their_own_are_alone_with_what_is_theirs() -> None:
    found = cells(quiet_scene())
    assert [cell.kind for cell in found] == [CellKind.ALONE, CellKind.ALONE]
    assert reached(cell_with(found, "web")) == {("web", "/srv/web"): How.MOUNTED}
    assert reached(cell_with(found, "db")) == {("db", "/srv/db"): How.MOUNTED}


def test_one_level_for_two_is_a_conflict_and_shows_what_an_escape_would_reach() -> None:
    scene = quiet_scene()
    scene.container("clone", "s0:c12,c900")
    scene.conflicts[container_id(1)] = (Conflict("clone", "s0:c12,c900", container_id(3)),)
    cell = cell_with(cells(scene), "clone")
    assert cell.kind is CellKind.CONFLICT and {one.name for one in cell.actors} == {"web", "clone"}
    assert reached(cell) == {("web", "/srv/web"): How.MOUNTED, ("clone", "/srv/web"): How.LEVEL}


def test_a_group_is_together_by_its_volume_although_no_member_dominates_another() -> None:
    scene = Scene()
    one, two = scene.container("one", "s0:c1,c2,c70,c71"), scene.container("two", "s0:c3,c4,c70,c71")
    shared = scene.volume("/srv/group", "s0:c70,c71")
    for member in (one, two):
        scene.claim(member, "/g", "/srv/group", shared, mode=ClaimMode.GROUP)
    (cell,) = cells(scene)
    assert cell.kind is CellKind.TOGETHER
    assert set(reached(cell).values()) == {How.MOUNTED} and len(cell.links) == 2


def test_what_has_no_categories_is_open_and_joins_nobody() -> None:
    scene = quiet_scene()
    shared = scene.volume("/srv/all", "s0")
    for grant in (scene.grants[0].id, scene.grants[1].id):
        scene.claim(grant, "/all", "/srv/all", shared, mode=ClaimMode.SHARED)
    found = cells(scene)
    assert cell_with(found, "web") is not cell_with(found, "db")
    assert reached(cell_with(found, "web"))["web", "/srv/all"] is How.MOUNTED
    (everybodys,) = (one for one in found if one.kind is CellKind.OPEN)
    assert [one.name for one in everybodys.things] == ["/srv/all"] and everybodys.things[0].is_open


@pytest.mark.parametrize("more", [{"privileged": True}, {"pid_mode": "host"}])
def test_whoever_no_level_holds_is_a_cell_of_its_own(more: dict[str, object]) -> None:
    scene = quiet_scene()
    scene.container("agent", None, **more)  # type: ignore[arg-type]
    scene.weaknesses["agent"] = (_host_root(),)
    cell = cell_with(cells(scene), "agent")
    assert cell.kind is CellKind.UNBOUNDED and cell.actors[0].unbounded
    assert [(one.name, one.kind) for one in cell.things] == [("/", ThingKind.HOST)]


def test_the_engine_s_socket_is_named_once_and_joins_nobody() -> None:
    scene = quiet_scene()
    socket = "/run/docker.sock"
    for number, name in enumerate(("web", "deployer")):
        grant = scene.grants[0].id if not number else scene.container(name, "s0:c3,c4")
        scene.claim(grant, "/s", socket, mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED)
    scene.weaknesses["deployer"] = (weakness(Weak.ENGINE_SOCKET, Barrier.NOTHING, socket),)
    found = cells(scene)
    cell = cell_with(found, "deployer")
    assert cell.kind is CellKind.UNBOUNDED
    assert [(one.name, one.kind) for one in cell.things] == [(socket, ThingKind.HOST)]
    assert cell_with(found, "web").kind is CellKind.ALONE


def test_many_at_one_level_have_a_bounded_number_of_links() -> None:
    scene = Scene()
    for number in range(100):
        grant = scene.container(f"c{number}", "s0:c1,c2")
        scene.claim(grant, "/d", f"/v{number}", scene.volume(f"/v{number}", "s0:c1,c2"))
    (cell,) = cells(scene)
    assert len(cell.actors) == len(cell.things) == 100
    assert len(cell.links) <= 100 * (MOST_BY_LEVEL + 1)


def _host_root() -> Weakness:
    return weakness(Weak.HOST_ROOT, Barrier.NOTHING, "/")


def test_the_level_that_a_process_carries_counts_not_the_one_it_was_granted() -> None:
    scene = quiet_scene()
    grant = scene.container("lost", "s0:c5,c6", process=PROCESS + "s0:c7,c31")
    scene.claim(grant, "/x", "/srv/x", scene.volume("/srv/x", "s0:c5,c6"))
    cell = cell_with(cells(scene), "lost")
    assert {one.name for one in cell.actors} == {"lost", "db"}
    assert reached(cell)["lost", "/srv/x"] is How.DENIED
    assert reached(cell)["lost", "/srv/db"] is How.LEVEL


def test_a_process_without_categories_is_open_to_everybody() -> None:
    scene = Scene()
    scene.container("lost", "s0:c600,c601", process=PROCESS + "s0")
    (cell,) = cells(scene)
    assert cell.kind is CellKind.OPEN


def test_a_stray_is_somebodys_where_its_level_is_held_and_unclaimed_where_not() -> None:
    found = cells(quiet_scene(), stray("s0:c7,c31"), stray("s0:c5,c6", "/srv/old"))
    assert reached(cell_with(found, "db"))["db", "/srv/copy"] is How.LEVEL
    (left,) = (one for one in found if one.kind is CellKind.UNCLAIMED)
    assert [(one.name, one.kind, one.count) for one in left.things] == [("/srv/old", ThingKind.STRAY, 3)]


def test_what_a_container_left_is_unclaimed_until_it_is_restored() -> None:
    scene = Scene()
    gone = scene.grant("gone", "s0:c40,c41", state=GrantState.QUARANTINED, container=container_id(9))
    scene.claim(gone, "/d", "/srv/old", scene.volume("/srv/old", "s0:c40,c41"))
    assert [one.kind for one in cells(scene)] == [CellKind.UNCLAIMED]


def test_a_refused_mount_is_told_of_beside_its_container_and_joins_nobody() -> None:
    scene = quiet_scene()
    other = scene.container("other", "s0:c3,c4")
    scene.claim(other, "/d", "/srv/web", state=ClaimState.REFUSED, reason="web holds it")
    found = cells(scene)
    cell = cell_with(found, "other")
    assert cell.kind is CellKind.ALONE and reached(cell) == {("other", "/srv/web"): How.DENIED}
    assert all(one.kind is not CellKind.UNCLAIMED for one in found)


def test_an_unmanaged_mount_of_two_joins_them() -> None:
    scene = quiet_scene()
    for grant in scene.grants[:2]:
        scene.claim(grant.id, "/l", "/var/log/x", mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED)
    assert cell_with(cells(scene), "web").kind is CellKind.TOGETHER


def test_another_engines_process_is_a_conflict_only_at_a_comparable_level() -> None:
    contexts = [Context.parse(f"system_u:system_r:svirt_t:{level}") for level in ("s0:c33,c34", "s0:c7,c31")]
    far, near = (ForeignHolder(one.level, one, 42) for one in contexts)
    found = cells(quiet_scene(), foreign=(far, near))
    assert cell_with(found, str(far.context)).kind is CellKind.FOREIGN
    assert cell_with(found, str(near.context)) is cell_with(found, "db")


def test_a_container_that_has_not_started_and_holds_nothing_is_alone() -> None:
    scene = Scene()
    scene.container("new", None, state=GrantState.IDLE)
    (cell,) = cells(scene)
    assert cell.kind is CellKind.ALONE and cell.links == ()


def test_everybody_is_in_exactly_one_cell_and_no_link_leads_out() -> None:
    found = cells(troubled_scene(), stray("s0:c100,c200"))
    names = [actor.name for cell in found for actor in cell.actors]
    assert sorted(names) == sorted(one.name for one, _, _ in troubled_scene().containers)
    for cell in found:
        for link in cell.links:
            assert link.actor < len(cell.actors) and link.thing < len(cell.things)
