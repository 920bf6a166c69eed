"""ARCHITECTURE.md's state diagrams are those of the tables, and the tables lead somewhere from everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest

from mcsd.core.grants import TRANSITIONS, GrantState
from mcsd.core.labels import Context
from mcsd.core.volumes import PHASES, Identity, Volume, VolumeEvent, VolumeId, VolumePhase

TREE = Path(__file__).resolve().parents[2]
Table = Mapping[tuple[StrEnum, StrEnum], StrEnum]


def test_the_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, TREE / "packaging/generate-diagrams", "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("table", "states", "ends"),
    [
        (TRANSITIONS, frozenset(GrantState), frozenset({GrantState.FREE})),
        (PHASES, frozenset(VolumePhase), frozenset[VolumePhase]()),
    ],
)
def test_every_state_is_reached_and_left(
    table: Table, states: frozenset[StrEnum], ends: frozenset[StrEnum]
) -> None:
    assert {before for before, _ in table} == states - ends
    assert {after for (before, _), after in table.items() if after is not before} | {
        GrantState.RESERVED
    } >= states


@pytest.mark.parametrize("phase", VolumePhase)
def test_the_end_of_a_labelling_walk_never_ends_a_restoring(phase: VolumePhase) -> None:
    """A container may be removed in the moment in which its volume's walk ends: what was begun to be put back
    is put back."""
    released = phase in {VolumePhase.RESTORING, VolumePhase.STRANDED}
    volume = Volume(VolumeId("1"), "/srv/a", Identity(1, 2), Context.parse("u:r:t:s0"), phase, since=0.0)
    for event in (VolumeEvent.COMPLETED, VolumeEvent.BROKEN_OFF):
        after = volume.after(event).phase
        assert after is phase if released else after in {VolumePhase.LABELLED, VolumePhase.LABELLING}


def test_a_step_that_is_not_in_the_table_raises() -> None:
    labelled = Volume(
        VolumeId("1"), "/srv/a", Identity(1, 2), Context.parse("u:r:t:s0"), VolumePhase.LABELLED, since=0.0
    )
    with pytest.raises(KeyError):
        labelled.after(VolumeEvent.STUCK)
