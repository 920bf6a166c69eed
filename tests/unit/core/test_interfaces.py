"""How the ends of a pair find each other."""

from __future__ import annotations

import pytest

from mcsd.core.interfaces import Interface, Link, NetworkKind, match_ends, network_kind


@pytest.mark.parametrize(
    ("mode", "kind", "shared_with"),
    [
        ("none", NetworkKind.NONE, ""),
        ("host", NetworkKind.HOST, ""),
        ("bridge", NetworkKind.OWN, ""),
        ("default", NetworkKind.OWN, ""),
        ("my-network", NetworkKind.OWN, ""),
        ("container:" + "1" * 64, NetworkKind.SHARED, "1" * 64),
    ],
)
def test_the_engine_s_words(mode: str, kind: NetworkKind, shared_with: str) -> None:
    assert network_kind(mode) == (kind, shared_with)


def test_ends_belong_together_by_namespace_and_index() -> None:
    links = [
        Link(1, "lo"),
        Link(9, "veth9", "aa", "veth", peer=2, peer_namespace=4),
        Link(7, "veth7", "bb", "veth", peer=3, peer_namespace=4),
        Link(8, "veth8", "cc", "veth", peer=2, peer_namespace=5),
        Link(6, "vlan6", "dd", "vlan", peer=1),
    ]
    assert match_ends(links, 4, {2: "eth0"}) == (
        Interface("veth7", 7, "bb", None, 3),
        Interface("veth9", 9, "aa", "eth0", 2),
    )
