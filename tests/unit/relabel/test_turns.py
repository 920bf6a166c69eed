"""Walks over one volume wait for each other; who only lists volumes waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mcsd.core.protected import ProtectionRules
from mcsd.core.volumes import Identity, VolumeId
from mcsd.relabel import Engine
from mcsd.relabel.originals import OriginalsStore

ID = VolumeId("0123456789abcdef")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(store=tmp_path, rules=ProtectionRules.of(), default_label=lambda path, mode: None)


def thread(work: Callable[[], object]) -> threading.Thread:
    started = threading.Thread(target=work)
    started.start()
    return started


def test_listing_waits_for_no_walk(engine: Engine, tmp_path: Path) -> None:
    OriginalsStore(str(tmp_path)).create(ID, "/srv/a", Identity(1, 2)).close()
    found: list[object] = []
    with engine._alone(ID):
        listing = thread(lambda: found.extend(engine.volumes()))
        listing.join(30)
        assert len(found) == 1, "while the walk holds its volume"
    listing.join()


def test_forgetting_takes_no_lock_from_those_who_wait_for_it(engine: Engine) -> None:
    inside: list[int] = []
    most: list[int] = []

    def hold() -> None:
        for _ in range(200):
            with engine._alone(ID):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    def forget() -> None:
        for _ in range(200):
            engine.forget(ID)

    for one in [thread(hold), thread(forget), thread(hold), thread(forget), thread(hold)]:
        one.join()
    assert max(most) == 1
    assert not engine._turns, "and no lock is kept for a volume that nobody walks"
