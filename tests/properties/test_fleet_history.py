"""Promise 1 across hosts: whatever happens to a fleet, no pair is live on two of them.

`MCSD_HISTORIES` asks for more histories than the default. A failure prints its seed and what happened.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mcsd.core.fleet.protocol import Means, Trouble, Wish, next_operation, swap_of
from mcsd.core.fleet.values import Document, Swap
from tests.properties.fleet_model import Fleet, Machine

HISTORIES = int(os.environ.get("MCSD_HISTORIES", "200"))
CHUNKS = 4
STEPS_OF_ONE = 50
"""What happens for each host in a history."""
FEW, TEN = "abc", "abcdefghij"
EVERY = 5
"""One of so many histories has ten hosts; three meet more often."""

OF_ONE = {
    "read": 10,
    "conclude": 10,
    "plan": 8,
    "send": 8,
    "turn": 12,
    "grant": 12,
    "release": 5,
    "start": 3,
    "kill": 2,
    "reboot": 1,
    "cut_or_join": 3,
    "copy_disk": 3,
    "put_back": 2,
    "clone": 1,
    "evict": 0.5,
}
OF_ALL = {"arrive_late": 8, "back_up": 2, "restore": 1, "recover": 1, "end_recovery": 4}
RARE = ("kill", "reboot", "cut_or_join", "put_back", "clone", "evict", "back_up", "recover")
"""Each history has some of these only: with all of them together hardly anything is granted."""


def play(fleet: Fleet, steps: int) -> None:
    """Let so many things happen, at random."""
    without = {name for name in RARE if fleet.random.random() < 0.6}
    weights = {name: weight for name, weight in {**OF_ONE, **OF_ALL}.items() if name not in without}
    for name in fleet.random.choices(list(weights), list(weights.values()), k=steps):
        if name in OF_ALL:
            fleet.note(name)
            getattr(fleet, name)()
        else:
            machine = fleet.random.choice(fleet.machines)
            if not machine.is_gone:
                fleet.note(f"{name} {machine.identity}")
                getattr(fleet, name)(machine)
        fleet.check()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_pair_is_ever_live_on_two_hosts(chunk: int) -> None:
    grants = members = labelled = 0
    for seed in range(chunk, HISTORIES, CHUNKS):
        names = FEW if seed % EVERY else TEN
        fleet = Fleet(seed, names)
        for machine in fleet.machines:
            fleet.start(machine)
            fleet.turn(machine)
        try:
            play(fleet, STEPS_OF_ONE * len(names))
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {exc}") from exc
        grants, members = grants + fleet.grants, members + fleet.members
        labelled += fleet.labelled
    assert min(grants, members, labelled) > HISTORIES / CHUNKS, (
        "histories in which nothing is granted show nothing"
    )


def calm(seed: int = 1) -> Fleet:
    """A fleet of three hosts that all hold something."""
    fleet = Fleet(seed)
    for machine in fleet.machines:
        fleet.start(machine)
        while not grantable(fleet, machine):
            fleet.turn(machine)
    return fleet


def grantable(fleet: Fleet, machine: Machine) -> frozenset[int]:
    assert machine.run is not None
    return machine.run.permission.blocks(machine.record)


def trouble(machine: Machine) -> Trouble | None:
    assert machine.run is not None and machine.run.judgement is not None
    return machine.run.judgement.trouble


def by_name(fleet: Fleet, name: str) -> Machine:
    return next(one for one in fleet.machines if one.name == name and not one.is_gone)


def planned(fleet: Fleet, machine: Machine, wish: Wish) -> Swap:
    """Read, conclude, and write down what is wished; return what is to be sent."""
    fleet.read(machine)
    fleet.conclude(machine)
    run, record = machine.run, machine.record
    assert run is not None and run.view is not None and run.judgement is not None and record is not None
    made = next_operation(record, run.view, run.judgement, wish, run.own, fleet.means)
    assert made is not None
    after, operation = made
    machine.disk = after.text()
    run.own.add(operation.id)
    return swap_of(after, operation, run.view)


def steady(fleet: Fleet, machine: Machine) -> None:
    """Take a turn in which nothing is lost, and nothing is wished."""
    fleet.read(machine)
    fleet.conclude(machine)
    run, record = machine.run, machine.record
    assert run is not None and run.view is not None and run.judgement is not None and record is not None
    made = next_operation(record, run.view, run.judgement, Wish(), run.own, fleet.means)
    if made is not None:
        machine.disk = made[0].text()
        run.own.add(made[1].id)
        fleet.store.swap(swap_of(*made, run.view))
    fleet.read(machine)
    fleet.conclude(machine)


def test_an_operation_on_its_way_ends_with_the_proof_of_a_later_start() -> None:
    """A ledger is put back that does not have the last operation, which arrives after the next start."""
    fleet = calm()
    one = by_name(fleet, "a")
    old, held = one.disk, grantable(fleet, one)
    giving = planned(fleet, one, Wish(give=held))
    fleet.kill(one)
    one.disk = old
    fleet.start(one)
    fleet.read(one)
    fleet.conclude(one)
    assert not grantable(fleet, one), "the store shows the ledger's last operation, but another may be coming"
    assert fleet.store.swap(planned(fleet, one, Wish())), "an operation of this start"
    assert not fleet.store.swap(giving), "what was on its way can never arrive now"
    fleet.read(one)
    fleet.conclude(one)
    assert grantable(fleet, one) == held


def test_what_was_sent_before_a_recovery_is_not_done_after_it() -> None:
    fleet = calm()
    one, other = by_name(fleet, "a"), by_name(fleet, "b")
    taking = planned(fleet, one, Wish(take=1))
    backup = fleet.store.backup()
    fleet.store.restore(backup, cluster="99")
    assert fleet.recover()
    for machine in fleet.machines:
        steady(fleet, machine)
    assert not fleet.store.swap(taking)
    assert fleet.end_recovery()
    assert not fleet.store.swap(taking)
    assert trouble(other) is Trouble.RECOVERING


def test_what_a_restored_store_does_counts_for_nothing() -> None:
    """A late request reaches a store that has lost what another host has taken since its backup."""
    fleet = calm()
    one, other = by_name(fleet, "a"), by_name(fleet, "b")
    backup = fleet.store.backup()
    taking = planned(fleet, one, Wish(take=1))
    (block,) = {int(text) for text in blocks_in(taking)} - set(grantable(fleet, one))
    sure = Means(lambda free, count: [block], fleet.new_id)
    steady(fleet, other)
    run, record = other.run, other.record
    assert run is not None and record is not None and run.view is not None and run.judgement is not None
    made = next_operation(record, run.view, run.judgement, Wish(take=1), run.own, sure)
    assert made is not None
    other.disk = made[0].text()
    run.own.add(made[1].id)
    assert fleet.store.swap(swap_of(*made, run.view))
    fleet.read(other)
    fleet.conclude(other)
    assert block in grantable(fleet, other)
    fleet.store.restore(backup, cluster="99")
    assert fleet.store.swap(taking), "the restored store knows no better"
    fleet.read(one)
    fleet.conclude(one)
    assert block not in grantable(fleet, one) and trouble(one) is Trouble.RESTORED


def blocks_in(swap: Swap) -> list[str]:
    return [
        str(block)
        for key, text in swap.writes.items()
        if key.startswith("state/") and text
        for block in Document.parse(text).blocks
    ]


def recovered(fleet: Fleet) -> None:
    """Have a restored store recovered, after which nothing is wrong with any host."""
    assert fleet.recover()
    for machine in fleet.machines:
        steady(fleet, machine)
    assert fleet.end_recovery()
    for machine in fleet.machines:
        steady(fleet, machine)
        assert trouble(machine) is None


def test_a_store_restored_under_its_old_identity_is_found_out_by_who_has_done_more() -> None:
    """etcd keeps its cluster's id when it is restored without another token: the manual asks for one."""
    fleet = calm()
    backup = fleet.store.backup()
    one, other = by_name(fleet, "a"), by_name(fleet, "b")
    before = grantable(fleet, one)
    while grantable(fleet, one) == before:
        fleet.store.swap(planned(fleet, one, Wish(take=1)))
        fleet.read(one)
        fleet.conclude(one)
    held = grantable(fleet, one)
    fleet.store.restore(backup, cluster=fleet.store.cluster)
    fleet.store.revision += 100  # etcdutl snapshot restore --bump-revision, or others at work
    fleet.read(one)
    fleet.conclude(one)
    assert trouble(one) is Trouble.RESTORED and not grantable(fleet, one)
    steady(fleet, one)
    assert trouble(one) is Trouble.DOUBTED and grantable(fleet, one) == held, "it is written again"
    steady(fleet, other)
    assert trouble(other) is Trouble.DOUBTED
    run = other.run
    assert run is not None and run.judgement is not None and not run.judgement.may_take
    recovered(fleet)


def test_a_lower_revision_is_doubted_by_who_has_seen_a_higher_one() -> None:
    fleet = calm()
    backup = fleet.store.backup()
    one, other = by_name(fleet, "a"), by_name(fleet, "b")
    fleet.store.swap(planned(fleet, other, Wish()))
    steady(fleet, one)
    fleet.store.restore(backup, cluster=fleet.store.cluster)
    for machine in fleet.machines:
        if machine is not other:
            steady(fleet, machine)
    assert trouble(one) is Trouble.DOUBTED


def test_a_recovered_store_may_have_much_lower_revisions_than_before() -> None:
    fleet = calm()
    backup = fleet.store.backup()
    fleet.store.revision += 10_000
    for machine in fleet.machines:
        steady(fleet, machine)
    fleet.store.restore(backup, cluster="99")
    recovered(fleet)


def test_two_that_claim_one_block_in_a_recovery_both_stop_granting_from_it() -> None:
    fleet = calm()
    one, other = by_name(fleet, "a"), by_name(fleet, "b")
    record = other.record
    assert record is not None
    block = min(grantable(fleet, one))
    both = replace(record.document, blocks=record.document.blocks | {block})
    other.disk = replace(record, document=both).text()  # as if the store had lost that it was a's
    assert fleet.recover()
    for machine in [*fleet.machines, *fleet.machines]:
        steady(fleet, machine)
    assert block not in grantable(fleet, one) | grantable(fleet, other)
    assert not fleet.end_recovery()
    assert fleet.store.swap(planned(fleet, other, Wish(give=frozenset({block}))))
    assert fleet.end_recovery()
    steady(fleet, one)
    assert block in grantable(fleet, one)


def test_after_all_that_a_fleet_without_losses_goes_on() -> None:
    """Partitions, kills and lost answers leave no trouble behind."""
    gentle = {name: OF_ONE[name] for name in ("read", "conclude", "plan", "send", "turn", "grant", "release")}
    gentle |= {"start": 2, "kill": 2, "cut_or_join": 2, "reboot": 1}
    for seed in range(20):
        fleet = calm(seed)
        for name in fleet.random.choices(
            list(gentle), list(gentle.values()), k=STEPS_OF_ONE * len(fleet.machines)
        ):
            getattr(fleet, name)(fleet.random.choice(fleet.machines))
        for machine in fleet.machines:
            machine.is_cut_off = False
            fleet.start(machine)
        for _ in range(20):
            for machine in fleet.machines:
                fleet.turn(machine)
        for machine in fleet.machines:
            assert trouble(machine) is None, seed
            record = machine.record
            assert record is not None
            assert grantable(fleet, machine) == record.held
