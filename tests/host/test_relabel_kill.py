"""`kill -9` at every step that changes the disk, in both directions: the work finishes and undo is exact."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping

import pytest

from tests.host.relabel_child import Child
from tests.host.relabel_stages import child as child
from tests.host.relabel_stages import shim as shim
from tests.host.relabel_stages import stage as stage
from tests.host.relabel_trees import ID, OTHER, TARGET, Stage, carrying, grow, label_of, labels

pytestmark = pytest.mark.host


def steps_of(child: Child, stage: Stage, work: str, target: str = TARGET) -> int:
    """Count the steps of a whole walk."""
    answer = child.order(stage, work, target=target)
    assert answer["complete"], answer
    return int(answer["steps"])


def chosen(total: int) -> list[int]:
    """The first steps, which are the journal's, the last ones, and some at random between them."""
    middle = range(25, max(25, total - 12))
    some = random.Random(total).sample(middle, min(25, len(middle)))
    return sorted({*range(min(25, total)), *some, *range(max(0, total - 12), total)})


def was_killed(answer: Mapping[str, object], step: int) -> bool:
    """Tell that a walk was killed, or was through before: threads do not always need as many steps."""
    if answer.get("complete"):
        steps = answer["steps"]
        return isinstance(steps, int) and steps <= step
    return answer == {"killed": True, "signal": 9}


def test_a_relabel_killed_anywhere_is_undone_exactly_or_finished(child: Child, stage: Stage) -> None:
    """Promises 3, 4 and 6."""
    grow(stage.root, directories=4)
    before = labels(stage.root)
    total = steps_of(child, stage, "relabel")
    stage.restore()
    stage.engine.forget(ID)
    for step in chosen(total):
        assert was_killed(child.order(stage, "relabel", kill=step), step)
        if carrying(stage.root, TARGET) != set(before):
            assert label_of(stage.root) == before[os.fsencode(stage.root)], step  # promise 4
        stage.engine = stage.fresh()
        if step % 2:
            assert stage.relabel().complete
            assert carrying(stage.root, TARGET) == set(before)
        assert stage.restore().complete
        assert labels(stage.root) == before, step
        stage.engine.forget(ID)


def test_a_restore_killed_anywhere_is_finished_exactly_or_turned_round(child: Child, stage: Stage) -> None:
    """Promises 3, 4 and 6."""
    grow(stage.root, directories=4)
    before = labels(stage.root)
    stage.relabel()
    total = steps_of(child, stage, "restore")
    for step in chosen(total):
        stage.relabel()
        assert was_killed(child.order(stage, "restore", kill=step), step)
        if carrying(stage.root, TARGET) != set(before):
            assert label_of(stage.root) == before[os.fsencode(stage.root)], step  # promise 4
        stage.engine = stage.fresh()
        if step % 2:
            assert stage.relabel().complete
            assert carrying(stage.root, TARGET) == set(before)
        assert stage.restore().complete
        assert labels(stage.root) == before, step


def test_many_deaths_in_a_row_lose_nothing(child: Child, stage: Stage) -> None:
    """Promise 3: each life gets a little further, towards one target or another, and dies again."""
    grow(stage.root, directories=4)
    before = labels(stage.root)
    dice = random.Random(7)
    for _ in range(40):
        work, target = dice.choice([("relabel", TARGET), ("relabel", OTHER), ("restore", TARGET)])
        child.order(stage, work, target=target, kill=dice.randrange(150))
    stage.engine = stage.fresh()
    assert stage.restore().complete
    assert labels(stage.root) == before
