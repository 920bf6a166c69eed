"""What every `FleetStore` must do, the fake included: one suite, run against each of them."""

from __future__ import annotations

import threading

from mcsd.core.fleet.values import Swap
from mcsd.ports import FleetStore


class FleetStoreContract:
    """A module that subclasses this provides a fixture `store`, which is empty."""

    def test_an_empty_store_has_an_identity_and_a_revision(self, store: FleetStore) -> None:
        reading = store.read()
        assert reading.values == {} and reading.revision >= 1
        assert reading.cluster.isdecimal() and store.read() == reading

    def test_what_is_written_is_read(self, store: FleetStore) -> None:
        texts = {"fleet": '{"a":"ü\\u2028\\n"}', "hosts/alpha": "x" * 20_000, "state/b.c-d_e": "[]"}
        before = store.read()
        assert store.swap(Swap({}, dict(texts)))
        after = store.read()
        assert after.values == texts and after.cluster == before.cluster
        assert after.revision > before.revision

    def test_each_condition_counts(self, store: FleetStore) -> None:
        store.swap(Swap({}, {"one": "1", "two": "2"}))
        for conditions in (
            {"one": "1", "two": "3"},
            {"one": None},
            {"three": "3"},
            {"three": ""},
            {"one": "1", "two": None},
        ):
            before = store.read()
            assert not store.swap(Swap(conditions, {"one": "changed", "four": "4"}))
            assert store.read() == before
        assert store.swap(Swap({"one": "1", "two": "2", "three": None}, {"one": "changed", "two": None}))
        assert store.read().values == {"one": "changed"}

    def test_an_empty_value_is_a_value(self, store: FleetStore) -> None:
        assert store.swap(Swap({"one": None}, {"one": ""}))
        assert store.read().values == {"one": ""}
        assert not store.swap(Swap({"one": None}, {"one": "x"}))
        assert store.swap(Swap({"one": ""}, {"one": None}))
        assert store.read().values == {}

    def test_a_transaction_that_is_done_twice_is_done_once(self, store: FleetStore) -> None:
        store.swap(Swap({}, {"fence": "1"}))
        again = Swap({"fence": "1"}, {"fence": "2", "state": "b"})
        assert store.swap(again) and not store.swap(again)
        assert store.read().values == {"fence": "2", "state": "b"}

    def test_as_many_conditions_as_a_fleet_may_need(self, store: FleetStore) -> None:
        """120 hosts, the fleet's value and a fence: etcd's default allows 128 in a transaction."""
        for start in range(0, 120, 60):
            store.swap(Swap({}, {f"state/{number}": "[]" for number in range(start, start + 60)}))
        conditions: dict[str, str | None] = {f"state/{number}": "[]" for number in range(120)}
        assert store.swap(Swap({**conditions, "fleet": None, "hosts/a": None}, {"hosts/a": "1", "b": "2"}))

    def test_of_many_at_once_one_wins(self, store: FleetStore) -> None:
        done: list[int] = []

        def take(number: int) -> None:
            if store.swap(Swap({"block": None}, {"block": str(number)})):
                done.append(number)

        threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.read().values == {"block": str(done[0])} and len(done) == 1
