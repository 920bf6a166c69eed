"""What every `Ledger` must do, the fake included: one suite, run against each of them.

A module that subclasses `LedgerContract` provides a fixture `world`, and runs the whole suite in it. Each
test begins with an empty ledger; `world.open` opens the same one again after it was closed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropVolume,
    Group,
    LedgerContents,
    PutClaim,
    PutGrant,
    PutGroup,
    PutVolume,
)
from mcsd.core.grants import GrantState
from mcsd.core.labels import Level
from mcsd.core.leftout import LeftOut
from mcsd.core.volumes import GrantId, Identity
from mcsd.errors import LedgerError
from mcsd.ports import Ledger
from tests.fakes.ledger import Tables
from tests.fakes.ledger_records import STORY, claim, grant, volume


class World(Protocol):
    """A ledger that outlives its openings."""

    def open(self) -> Ledger:
        """Open it; the one opened before must have been closed."""
        ...


def reopened(world: World, ledger: Ledger) -> Ledger:
    """Close a ledger and open it again, as a restart of mcsd does."""
    ledger.close()
    return world.open()


def contents_after(world: World, *transactions: Sequence[Change]) -> LedgerContents:
    """Apply transactions, and load what a restart would find."""
    ledger = world.open()
    for changes in transactions:
        ledger.apply(changes)
    ledger = reopened(world, ledger)
    try:
        return ledger.load()
    finally:
        ledger.close()


HELD = (PutGrant(grant(1)), PutVolume(volume("a")), PutClaim(claim(1, on=volume("a"))))


class LedgerContract:
    """The promises of `mcsd.ports.Ledger`."""

    def test_new_ledger_is_empty(self, world: World) -> None:
        assert contents_after(world) == LedgerContents()

    def test_what_was_applied_is_there_after_a_restart(self, world: World) -> None:
        """Promise 3: at every step of a story, a restart finds what was applied."""
        tables = Tables()
        ledger = world.open()
        for changes in STORY:
            tables = tables.apply(changes)
            ledger.apply(changes)
            assert ledger.load() == tables.contents()
            ledger = reopened(world, ledger)
            assert ledger.load() == tables.contents()
        ledger.close()

    def test_put_replaces_and_leaves_what_refers_to_it(self, world: World) -> None:
        replacing: list[Change] = [
            PutGrant(grant(1, name="db")),
            PutVolume(volume("a", inodes=7, detail="done")),
        ]
        found = contents_after(world, HELD, replacing)
        assert found.grants == (grant(1, name="db"),)
        assert found.volumes == (volume("a", inodes=7, detail="done"),)
        assert found.claims == (claim(1, on=volume("a")),)

    def test_records_come_in_the_order_of_their_keys(self, world: World) -> None:
        found = contents_after(
            world,
            [PutGrant(grant(number)) for number in (9, 2, 10)],
            [PutClaim(claim(9, "/b")), PutClaim(claim(10, "/a")), PutClaim(claim(9, "/a"))],
        )
        assert [one.id for one in found.grants] == [2, 9, 10]
        assert [one.key for one in found.claims] == [(9, "/a"), (9, "/b"), (10, "/a")]

    def test_free_grant_is_archived_and_its_number_never_comes_back(self, world: World) -> None:
        """Promise 2, for the names of grants."""
        found = contents_after(world, [PutGrant(grant(7))], [PutGrant(grant(7, state=GrantState.FREE))])
        assert found == LedgerContents(next_grant=8)

    def test_numbers_rise_even_where_lower_ones_come_later(self, world: World) -> None:
        assert contents_after(world, [PutGrant(grant(7))], [PutGrant(grant(3))]).next_grant == 8

    def test_order_within_a_transaction_does_not_matter(self, world: World) -> None:
        assert contents_after(world, tuple(reversed(HELD))) == contents_after(world, HELD)

    def test_dropping_what_is_not_there_changes_nothing(self, world: World) -> None:
        drops: list[Change] = [
            DropVolume(volume("f").id),
            DropClaim(GrantId(5), "/data"),
            DropGroup("nobody"),
        ]
        assert contents_after(world, drops) == LedgerContents()

    def test_empty_transaction_changes_nothing(self, world: World) -> None:
        assert contents_after(world, [], ()) == LedgerContents()

    @pytest.mark.parametrize(
        "contradiction",
        [
            pytest.param([PutClaim(claim(8))], id="claim of no grant"),
            pytest.param([PutClaim(claim(1, "/other", on=volume("f")))], id="claim on no volume"),
            pytest.param([DropVolume(volume("a").id)], id="volume that is claimed"),
            pytest.param([PutGrant(grant(1, state=GrantState.FREE))], id="freed grant with a claim"),
        ],
    )
    def test_contradiction_is_refused_whole(self, world: World, contradiction: list[Change]) -> None:
        """Promise 9: if `apply` raises, none of its changes have happened, and the ledger stays usable."""
        ledger = world.open()
        ledger.apply(HELD)
        before = ledger.load()
        with pytest.raises(LedgerError):
            ledger.apply([PutGroup(Group("g", 1, 2, 0.5)), *contradiction, PutGrant(grant(50))])
        assert ledger.load() == before
        ledger = reopened(world, ledger)
        assert ledger.load() == before
        ledger.apply([PutGrant(grant(2))])
        assert ledger.load().next_grant == 3
        ledger.close()

    @pytest.mark.parametrize(
        "text",
        ["", "ü/漢字", "a\nb\x1b[31m\x00c", "not utf-8: \udcff\udc80", "'; DROP TABLE grants --", "x" * 5000],
        ids=["empty", "unicode", "controls", "surrogates", "quotes", "long"],
    )
    def test_other_peoples_text_comes_back_as_it_was(self, world: World, text: str) -> None:
        put: list[Change] = [
            PutGrant(grant(1, name=text, shares_with=text, group=text, reservation=text)),
            PutVolume(volume("a", path=text, detail=text)),
            PutClaim(claim(1, text, on=volume("a"), source=text, reason=text, hint=text)),
            PutGroup(Group(text, 1, 2, 0.0)),
        ]
        found = contents_after(world, put)
        assert found.grants[0].name == found.grants[0].shares_with == found.grants[0].group == text
        assert found.volumes[0].path == found.volumes[0].detail == text
        assert found.claims == (claim(1, text, on=volume("a"), source=text, reason=text, hint=text),)
        assert found.groups == (Group(text, 1, 2, 0.0),)
        assert contents_after(world, [DropClaim(GrantId(1), text), DropGroup(text)]).claims == ()

    def test_numbers_of_the_kernel_come_back_as_they_were(self, world: World) -> None:
        most = (1 << 64) - 1
        put = volume("a", identity=Identity(most, 1 << 63), inodes=10**12, skipped={"gone": 3, "": 0})
        put = replace(put, left_out=(LeftOut("mount-point", "a/\udcff\n"), LeftOut("device-node", "b")))
        assert contents_after(world, [PutVolume(put)]).volumes == (put,)

    def test_levels_of_every_size_come_back_as_they_were(self, world: World) -> None:
        levels = [Level(0, 0), Level.of(*range(1024)), Level.of(0, 1, 2, 9), Level(15, 1)]
        put = [PutGrant(grant(number, level=level)) for number, level in enumerate(levels, 1)]
        assert [one.level for one in contents_after(world, put).grants] == levels

    def test_another_thread_may_use_it(self, world: World) -> None:
        ledger = world.open()
        thread = threading.Thread(target=ledger.apply, args=(HELD,))
        thread.start()
        thread.join()
        assert ledger.load().grants == (grant(1),)
        ledger.close()

    def test_closed_ledger_says_so(self, world: World) -> None:
        ledger = world.open()
        ledger.close()
        ledger.close()
        with pytest.raises(LedgerError, match="closed"):
            ledger.load()
        with pytest.raises(LedgerError, match="closed"):
            ledger.apply(HELD)
