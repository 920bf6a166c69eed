"""A host of a fleet as a process: mcsd's own parts over a real ledger, the service, and a real etcd.

Docker and SELinux are the tests' fakes. Each line of input is a command in JSON, and has one line of output:

    {"do": "reserve", "name": "vm"}     a level, or why there is none; with "group", a member's
    {"do": "release", "name": "vm"}
    {"do": "status"}                    the fleet's trouble, blocks, and whether anything is granted

It can be killed or stopped at any time: what it knows is in its folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

from mcsd.adapters.fleet.service_store import ServiceStore
from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.app.wiring import FleetSide
from mcsd.core.fleet.protocol import Means
from mcsd.errors import McsdError
from mcsd.fleet.etcd import EtcdAccess, EtcdStore
from mcsd.fleet.main import _listening
from mcsd.fleet.server import serve
from tests.fakes.ledger import MemoryLedger
from tests.fakes.world import World

CROWD = 12
"""Free blocks among which hosts choose: few, so that they meet."""


class LedgerWorld(World):
    """A world with a ledger on disk."""

    def __init__(self, folder: Path, **config: Any) -> None:
        super().__init__(**config)
        self._folder = folder

    def open_ledger(self) -> MemoryLedger:
        return cast(MemoryLedger, SqliteLedger(self._folder / "ledger.db"))


async def run(name: str, folder: Path, machine: str, endpoints: Sequence[str]) -> None:
    """Serve commands until the input ends."""
    listening = _listening(folder / "store.sock")
    store = EtcdStore(EtcdAccess(tuple(endpoints), timeout=3))
    threading.Thread(target=serve, args=(listening, store), daemon=True).start()
    fleet = {"name": name, "store": f"unix://{folder}/store.sock", "reserve": 600, "beat": "1s"}
    world = LedgerWorld(folder, seed=sum(map(ord, name)), fleet=fleet)
    world.fleet = FleetSide(ServiceStore(str(folder / "store.sock"), deadline=9), machine)
    await world.boot()
    keeper = world.mcsd.fleet_keeper
    assert keeper is not None
    keeper._means = Means(lambda free, count: _crowded(world, free, count), keeper._means.new_id)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer = await _answer(world, json.loads(line))
        except McsdError as exc:
            answer = {"error": exc.what}
        print(json.dumps(answer), flush=True)
    await world.kill()


def _crowded(world: World, free: Sequence[int], count: int) -> Collection[int]:
    near = list(free[: max(CROWD, count)])
    return [near.pop(world._random.randrange(len(near))) for _ in range(count)]


async def _answer(world: World, command: dict[str, str]) -> dict[str, object]:
    match command["do"]:
        case "reserve":
            grant = await world.mcsd.facade.reserve(command["name"], group=command.get("group"))
            return {"level": str(grant.level)}
        case "release":
            await world.mcsd.facade.release(command["name"])
            return {}
    standing = world.mcsd.facade.snapshot().fleet
    assert standing is not None and standing.holding is not None
    holding = standing.holding
    return {
        "trouble": holding.trouble,
        "blocks": sorted(holding.blocks),
        "grants": holding.permission.is_proven,
        "requests": holding.requests,
    }


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
