"""The other hosts of a fleet, for a story in the guest: mcsd's own code, each with its own access to etcd.

take HOST...     each joins, and takes as many blocks as a host may hold
join HOST GROUP  a host has a member of a group; prints the group's categories
apart            fails if a block is two hosts'; prints how many are alpha's
count HOST       how many blocks a host has
groups HOST      the groups that a host takes part in
ours LEVEL       fails unless a level's pair is of a block that alpha has
"""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from mcsd.core.fleet.administration import overlaps, splits
from mcsd.core.fleet.blocks import MOST_HELD
from mcsd.core.fleet.holding import block_in
from mcsd.core.fleet.protocol import Means, View, Wish, join, judge, next_operation, settled, swap_of
from mcsd.core.fleet.trees import FleetTree, SharedPlace
from mcsd.core.fleet.values import FleetRecord
from mcsd.core.labels import Level
from mcsd.fleet.etcd import EtcdStore
from mcsd.fleet.settings import load

OWN = "alpha"
MACHINE = "another"
ROUNDS = 20


def new_id() -> str:
    return uuid.uuid4().hex


MEANS = Means(lambda free, count: random.sample(list(free), count), new_id)


def read(store: EtcdStore) -> View:
    view = View.of(store.read())
    assert view is not None, "there is no fleet"
    return view


def opened(host: str) -> EtcdStore:
    return EtcdStore(load(Path(f"/root/{host}.toml")).access())


def act(host: str, wish: Wish) -> None:
    """Have a host join the fleet, if it has not yet, and then do what it wishes."""
    store, kept = opened(host), Path(f"/root/{host}.record")
    if kept.exists():
        found = FleetRecord.parse(kept.read_text())
    else:
        joining = join(read(store), host, machine=MACHINE, new_id=new_id)
        assert isinstance(joining, FleetRecord), f"{host} may not join: {joining}"
        found = _done(store, joining, Wish())
    kept.write_text(_done(store, found, wish).text())
    store.close()


def _done(store: EtcdStore, record: FleetRecord, wish: Wish) -> FleetRecord:
    """Do one operation, which others may be quicker than; return the host's record after it."""
    before = record.operation
    for _ in range(ROUNDS):
        view = read(store)
        record = settled(record, view)
        if record.operation != before:
            return record
        judgement = judge(record, view, machine=MACHINE, seen=view.reading.revision)
        made = next_operation(record, view, judgement, wish, {one.id for one in record.pending}, MEANS)
        assert made is not None, f"{record.name} does nothing: {judgement}"
        record, operation = made
        store.swap(swap_of(record, operation, view))
    raise AssertionError(f"{record.name} is never the first")


def main(argv: Sequence[str]) -> int:
    match argv:
        case ["take", *hosts]:
            for host in hosts:
                act(host, Wish(take=MOST_HELD, join=frozenset({"db"} if host == hosts[0] else ())))
        case ["claim", host, path, inode]:
            place = SharedPlace("nfs4", "", path, int(inode))
            act(host, Wish(claim=frozenset({FleetTree(place, Level.parse("s0:c1,c2"), "theirs")})))
        case ["yield", host]:
            act(host, Wish(yield_up=read(opened("admin")).documents[host].trees))
        case ["trees", host]:
            for tree in sorted(read(opened("admin")).documents[host].trees):
                print(tree.place.file_system, tree.place.path, tree.level, tree.holder)
        case ["group", host, group]:
            (found,) = (one for one in read(opened("admin")).documents[host].groups if one.name == group)
            print(f"c{found.low},c{found.high}")
        case ["apart"]:
            view = read(opened("admin"))
            assert not overlaps(view) and not splits(view), f"{overlaps(view)} {splits(view)}"
            others = sum(len(one.blocks) for one in view.others(OWN).values())
            print(f"apart, {len(view.documents[OWN].blocks)} of {OWN} and {others} of others")
        case ["held", host]:
            print(*sorted(read(opened("admin")).documents[host].blocks))
        case ["groups", host]:
            for one in sorted(read(opened("admin")).documents[host].groups):
                print(f"{one.name} c{one.low},c{one.high}")
        case ["among", text, *blocks]:
            block = block_in(Level.parse(text))
            assert str(block) in blocks, f"{text} is of block {block}"
            print(f"{text.partition(':')[2]} is of block {block}")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
