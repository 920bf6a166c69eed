"""Promise 1, as it is shown: two in different cells are not comparable, and reach nothing of each other's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.labels import Level
from mcsd.core.reach import CellKind, cells_of
from tests.fakes.service import Scene

LEVELS = st.frozensets(st.integers(0, 5), max_size=4).map(lambda some: Level.of(*some))


@given(st.lists(LEVELS, max_size=8), st.lists(LEVELS, max_size=8))
def test_between_two_cells_levels_let_nothing_through(containers: list[Level], volumes: list[Level]) -> None:
    scene = Scene()
    for number, level in enumerate(containers):
        scene.container(f"c{number}", str(level))
    for number, level in enumerate(volumes):
        scene.volume(f"/v{number}", str(level))
    found = list(cells_of(scene.snapshot(), ()))
    for cell in found:
        outside = [other for other in found if other is not cell]
        for actor in cell.actors:
            assert actor.level is not None
            if not actor.level.categories:
                continue
            for other in outside:
                for thing in other.things:
                    assert thing.level is not None
                    assert thing.is_open or not actor.level.dominates(thing.level)
                for rival in other.actors:
                    assert rival.level is not None
                    assert not rival.level.categories or not actor.level.dominates(rival.level)
    assert sum(len(cell.actors) for cell in found) == len(containers)
    closed = [thing for cell in found for thing in cell.things if not thing.is_open]
    assert len(closed) == sum(bool(level.categories) for level in volumes)
    assert all(cell.kind is not CellKind.UNBOUNDED for cell in found)
