"""Ten hosts with a real etcd of three members, in network namespaces, and an observer that sees all.

`MCSD_FLEET_HISTORIES` asks for more histories than one, and `MCSD_FLEET_SEED` for others. The hosts are
mcsd's own parts over a real ledger; `test_fleet_daemons.py` has whole daemons.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcsd.core.fleet.holding import block_in
from mcsd.core.labels import Level
from tests.host.fleet_stage import HOSTS, Fleet, Host

pytestmark = pytest.mark.host

HISTORIES = int(os.environ.get("MCSD_FLEET_HISTORIES", "1"))
SEED = int(os.environ.get("MCSD_FLEET_SEED", "1"))
STEPS = 120


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    assert os.geteuid() == 0, "network namespaces are root's"
    with ExitStack() as stack:
        made = Fleet(tmp_path, SEED)
        made.open(stack)
        yield made


ACTIONS = {
    "reserve": 50,
    "release": 12,
    "kill": 6,
    "pause": 6,
    "cut": 6,
    "copy": 3,
    "put_back": 2,
    "faults": 4,
    "member": 2,
}


def play(fleet: Fleet) -> None:
    """One history, and then what became of it."""
    for name in fleet.random.choices(list(ACTIONS), list(ACTIONS.values()), k=STEPS):
        host = fleet.random.choice(fleet.hosts)
        fleet.trace.append(f"{name} {host.name}")
        getattr(fleet, name)(host)
    fleet.calm()
    fleet.until("sure", lambda said: said["trouble"] in {None, "behind"}, *fleet.hosts)
    lost = [host for host in fleet.hosts if fleet.status(host)["trouble"] == "behind"]
    for host in lost:
        bury(fleet, host)
    fleet.until("well", lambda said: said["trouble"] is None and said["blocks"], *fleet.hosts)
    for host in fleet.hosts:
        fleet.reserve(host)
    assert all(host.live for host in fleet.hosts)


def bury(fleet: Fleet, host: Host) -> None:
    """Evict a host whose ledger was put back, and install another in its place."""
    host.kill()
    shutil.rmtree(host.folder)
    host.live.clear()
    host.groups.clear()
    fleet.copies.pop(host.name, None)
    host.life += 1
    assert fleet.administer("evict", host.name, "--gone") == 0
    assert fleet.administer("admit", host.name) == 0
    host.start()


def test_no_pair_is_live_on_two_of_ten_hosts(fleet: Fleet) -> None:
    """Promise 1 across hosts: partitions, kills, pauses, ledgers put back, a store that answers wrongly."""
    fleet.until("well", lambda said: said["trouble"] is None and bool(said["blocks"]), *fleet.hosts)
    for _ in range(HISTORIES):
        play(fleet)
    print(f"{HISTORIES} histories of {STEPS} steps, {fleet.granted} levels granted")


def test_a_store_that_was_restored_is_recovered(fleet: Fleet) -> None:
    """With etcd's own backup, while a host is cut off that has taken blocks since."""
    first, cut, *_ = fleet.hosts
    fleet.until("well", lambda said: said["trouble"] is None and bool(said["blocks"]), *fleet.hosts)
    fleet.cluster.save()
    for number in range(30):
        fleet.reserve(fleet.hosts[number % HOSTS])
    fleet.kill(cut)
    fleet.until("well", lambda said: said["trouble"] is None and bool(said["blocks"]), cut)
    held = fleet.status(cut)["blocks"]
    cut.pull(out=True)
    fleet.cluster.restore()
    fleet.until(
        "told", lambda said: said["trouble"] == "restored", *(one for one in fleet.hosts if one is not cut)
    )
    fleet.reserve(first)
    fleet.reserve(cut)
    assert fleet.administer("recover") == 0
    others = [one for one in fleet.hosts if one is not cut]
    fleet.until("told", lambda said: said["trouble"] == "recovering", *others)
    end = time.monotonic() + 60
    while fleet.missing() != (cut.name,):
        assert time.monotonic() < end, f"these have not written: {fleet.missing()}"
        time.sleep(0.2)
    assert fleet.administer("open") == 5, "one host has not written what it holds"
    cut.pull(out=False)
    fleet.until("told", lambda said: said["trouble"] == "recovering", *fleet.hosts)
    end = time.monotonic() + 60
    while fleet.administer("open") != 0:
        assert time.monotonic() < end, "the recovery does not end"
        time.sleep(0.2)
    fleet.until("well", lambda said: said["trouble"] is None and bool(said["blocks"]), *fleet.hosts)
    assert set(held) <= set(fleet.status(cut)["blocks"])
    for host in fleet.hosts:
        fleet.reserve(host)


def test_levels_are_granted_without_asking_the_store(fleet: Fleet) -> None:
    """While the host is cut off, from what it holds; `test_fleet_keeper.py` counts what is asked: nothing."""
    host = fleet.hosts[0]
    fleet.until("well", lambda said: said["trouble"] is None and bool(said["blocks"]), host)
    held = set(fleet.status(host)["blocks"])
    host.pull(out=True)
    try:
        answers = [host.ask(do="reserve", name=f"cut-off-{number}") for number in range(50)]
    finally:
        host.pull(out=False)
    granted = {f"cut-off-{number}": Level.parse(one["level"]) for number, one in enumerate(answers)}
    host.live |= granted
    fleet.check()
    assert {block_in(level) for level in granted.values()} <= held
