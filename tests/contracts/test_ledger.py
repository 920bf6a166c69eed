"""The contract of `Ledger`, for SQLite on disk and for the fake; and random stories applied to both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropRun,
    DropVolume,
    Group,
    PutClaim,
    PutGrant,
    PutGroup,
    PutRun,
    PutVolume,
)
from mcsd.core.grants import GrantState, Origin
from mcsd.core.labels import Level
from mcsd.core.lives import LARGEST_PID, ProcessLife, TimeLife, UnitLife
from mcsd.core.runs import RunVolume
from mcsd.core.volumes import ClaimMode, ClaimState, GrantId, VolumePhase
from mcsd.errors import LedgerError
from mcsd.ports import Ledger
from tests.contracts.ledger import LedgerContract, World
from tests.fakes.ledger import MemoryLedger, Tables
from tests.fakes.ledger_records import claim, grant, run, volume
from tests.fakes.settled import settled


class FakeWorld:
    """The ledger in memory: what stays is its tables."""

    def __init__(self) -> None:
        self._tables = Tables()

    def open(self) -> Ledger:
        return MemoryLedger(self._tables)


class DiskWorld:
    """The ledger on disk."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state" / "ledger.db"

    def open(self) -> Ledger:
        return SqliteLedger(self._path)


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with settled():
        yield FakeWorld() if request.param == "memory" else DiskWorld(tmp_path)


class TestLedger(LedgerContract):
    """Both of them."""


GRANTS = st.integers(1, 4)
PLACES = st.sampled_from(["/data", "/logs", "/\udc80"])
VOLUMES = st.sampled_from("abc").map(volume)
LIVES = st.one_of(
    st.none(),
    st.builds(ProcessLife, st.integers(1, LARGEST_PID), st.integers(0, 2**62), st.text(max_size=36)),
    st.builds(UnitLife, st.text(max_size=20), st.text(max_size=32)),
    st.builds(TimeLife, st.floats(0, 2**40)),
)
GRANT_CHANGES = st.builds(
    lambda number, state, origin, level, life: PutGrant(
        grant(number, state=state, origin=origin, level=level, life=life)
    ),
    GRANTS,
    st.sampled_from(GrantState),
    st.sampled_from(Origin),
    st.integers(0, (1 << 1024) - 1).map(lambda mask: Level(0, mask)),
    LIVES,
)
VOLUME_CHANGES = st.builds(
    lambda put, phase, inodes: PutVolume(volume(put.id[0], phase=phase, inodes=inodes)),
    VOLUMES,
    st.sampled_from(VolumePhase),
    st.integers(0, 1 << 40),
)
CLAIM_CHANGES = st.builds(
    lambda number, place, on, mode, state: PutClaim(claim(number, place, on=on, mode=mode, state=state)),
    GRANTS,
    PLACES,
    st.none() | VOLUMES,
    st.sampled_from(ClaimMode),
    st.sampled_from(ClaimState),
)
RUNS = st.sampled_from("abc").map(run)
RUN_CHANGES = st.builds(
    lambda put, started, name, volumes: PutRun(
        replace(put, started=started, name=name, volumes=tuple(volumes))
    ),
    RUNS,
    st.none() | st.floats(0, 2**40),
    PLACES,
    st.lists(st.builds(RunVolume, PLACES, st.none() | st.sampled_from(ClaimMode)), max_size=3),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    GRANT_CHANGES,
    VOLUME_CHANGES,
    CLAIM_CHANGES,
    VOLUMES.map(lambda one: DropVolume(one.id)),
    st.builds(lambda number, place: DropClaim(GrantId(number), place), GRANTS, PLACES),
    st.builds(lambda name, low: PutGroup(Group(name, low, low + 1, 0.5)), PLACES, st.integers(0, 9)),
    PLACES.map(DropGroup),
    RUN_CHANGES,
    RUNS.map(lambda one: DropRun(one.id)),
)


@given(st.lists(st.lists(CHANGES, max_size=5), max_size=12))
@settings(max_examples=60, deadline=None)
def test_disk_and_memory_agree_on_any_story(story: list[list[Change]]) -> None:
    """Promise 3: after every transaction, refused or not, both hold the same."""
    with tempfile.TemporaryDirectory() as directory:
        real, fake = SqliteLedger(Path(directory) / "ledger.db"), MemoryLedger()
        try:
            for changes in story:
                assert _refuses(real, changes) == _refuses(fake, changes)
                assert real.load() == fake.load()
        finally:
            real.close()
        again = SqliteLedger(Path(directory) / "ledger.db")
        try:
            assert again.load() == fake.load()
        finally:
            again.close()


def _refuses(ledger: Ledger, changes: list[Change]) -> bool:
    try:
        ledger.apply(changes)
    except LedgerError:
        return True
    return False
