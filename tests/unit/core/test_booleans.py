"""Rules about booleans, case by case; that any history ends well is a property. Promises 9 and 10."""

from __future__ import annotations

from typing import Any

import pytest

from mcsd.core.booleans import (
    MOST_REQUESTS,
    BooleanLease,
    Order,
    Refused,
    Standing,
    Wish,
    admit,
    decide,
    lasting,
    requests_of,
    rule,
    strays,
)
from mcsd.core.containers import Container, ContainerId

KNOWN = {"container_connect_any", "virt_use_nfs", "plain"}
ONE = ContainerId("1" * 64)


def same(name: str) -> str:
    return name


def container(label: str | None, **fields: Any) -> Container:
    labels = (("io.mcsd.boolean", label),) if label is not None else ()
    return Container(ONE, "one", **({"running": True, "pid": 7, "labels": labels} | fields))


def asked(*names: str) -> list[BooleanLease]:
    return [BooleanLease(ONE, "one", name) for name in names]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("plain", ["plain"]),
        ("plain, virt_use_nfs,plain,,", ["plain", "virt_use_nfs"]),
        ("", []),
        (None, []),
        (",".join(map(str, range(99))), [str(n) for n in range(MOST_REQUESTS)]),
    ],
)
def test_a_label_is_a_list_of_names(label: str | None, names: list[str]) -> None:
    assert [one.asked for one in requests_of(container(label))] == names


def test_who_does_not_run_asks_for_nothing() -> None:
    assert requests_of(container("plain", running=False)) == ()


def test_an_image_s_label_is_nobody_s_wish() -> None:
    """Promise 10: whoever built the image is not who runs the container."""
    pair = ("io.mcsd.boolean", "plain")
    assert requests_of(container("plain", image_labels=(pair,))) == ()


@pytest.mark.parametrize(
    ("wish", "held", "wanted"),
    [
        (Wish.ON, None, True),
        (Wish.OFF, True, False),
        (Wish.LEASE, True, True),
        (Wish.LEASE, False, False),
        (Wish.LEASE, None, None),
        (Wish.UNMANAGED, True, None),
    ],
)
def test_what_is_wanted(wish: Wish, held: bool | None, wanted: bool | None) -> None:
    assert rule({"plain": wish}, KNOWN, same)[0].wanted(held=held) is wanted


def test_while_nobody_knows_who_runs_leases_are_neither_given_nor_taken() -> None:
    rulings = rule({"plain": Wish.LEASE, "virt_use_nfs": Wish.OFF}, KNOWN, same)
    standings = {"plain": Standing.at(True), "virt_use_nfs": Standing.at(True)}
    assert decide(rulings, standings, None) == {"virt_use_nfs": False}
    assert decide(rulings, standings, {}) == {"virt_use_nfs": False, "plain": False}


def test_of_two_names_the_policy_s_own_rules() -> None:
    rulings = rule({"docker_connect_any": Wish.OFF, "container_connect_any": Wish.ON}, KNOWN, same)
    assert [one.shadowed_by for one in rulings] == ["container_connect_any", ""]
    assert [one.name for one in rulings] == [None, "container_connect_any"]


def test_of_two_old_names_the_strictest_rules() -> None:
    """Promise 9."""
    subs = {"a": "plain", "b": "plain"}
    rulings = rule({"a": Wish.ON, "b": Wish.LEASE}, KNOWN, lambda name: subs.get(name, name))
    assert [one.shadowed_by for one in rulings] == ["b", ""]


def test_a_container_may_ask_by_either_name() -> None:
    rulings = rule({"docker_connect_any": Wish.LEASE}, KNOWN, same)
    admitted = admit(asked("docker_connect_any", "container_connect_any"), rulings, KNOWN, same)
    assert [one.asked for one in admitted.holders["container_connect_any"]] == [
        "docker_connect_any",
        "container_connect_any",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("virt_use_nfs", Refused.NOT_CONFIGURED),
        ("../../enforce", Refused.NOT_CONFIGURED),
        ("gone", Refused.UNKNOWN),
        ("plain", Refused.NOT_FOR_LEASE),
        ("container_connect_any", Refused.NOT_FOR_LEASE),
    ],
)
def test_what_is_not_offered_is_refused_with_a_reason(name: str, why: Refused) -> None:
    """Promise 10."""
    wishes = {"plain": Wish.ON, "gone": Wish.LEASE, "container_connect_any": Wish.UNMANAGED}
    admitted = admit(asked(name), rule(wishes, KNOWN, same), KNOWN, same)
    assert not admitted.holders
    (refusal,) = admitted.refusals
    assert refusal.why is why and refusal.text and refusal.hint


def test_a_value_pending_is_not_as_wanted() -> None:
    rulings = rule({"plain": Wish.OFF}, KNOWN, same)
    assert decide(rulings, {"plain": Standing(active=False, pending=True)}, {}) == {"plain": False}


def test_strays_are_others_pending_changes() -> None:
    """Promise 10: a commit would put them in force."""
    standings = {"plain": Standing(active=True, pending=False), "virt_use_nfs": Standing.at(True)}
    assert strays(standings, set()) == {"plain": True}
    assert strays(standings, {"plain"}) == {}


def test_an_order_ends_with_configured() -> None:
    wanted = [
        rule({"plain": Wish.OFF}, KNOWN, same, {"plain": order})[0].wanted(held=None) for order in Order
    ]
    assert wanted == [True, False, False]


def test_after_a_reboot_a_lease_is_off() -> None:
    """Promise 9."""
    wishes = {
        "plain": Wish.LEASE,
        "virt_use_nfs": Wish.ON,
        "container_connect_any": Wish.UNMANAGED,
        "no": Wish.ON,
    }
    assert lasting(rule(wishes, KNOWN, same)) == {"plain": False, "virt_use_nfs": True}
