"""Containers' network interfaces as the host sees them, and how the two ends of a pair are matched.

A veth pair has one end in the container and one on the host. For each end, the kernel reports the index of
the other and a number for the other's network namespace. Indexes are only unique within a namespace, so an
end on the host belongs to a container if both match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class NetworkKind(StrEnum):
    """How a container is connected; part of the API."""

    NONE = "none"
    HOST = "host"
    SHARED = "shared"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Link:
    """One interface in one namespace, as netlink shows it. `peer` is the other end's index, and
    `peer_namespace` the number of its namespace; None where there is none, or it is this one."""

    index: int
    name: str
    mac: str = ""
    kind: str = ""
    peer: int | None = None
    peer_namespace: int | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """A container's interface: its end on the host, and the one that the container sees.

    `peer` is None if mcsd may not look into the container's namespace.
    """

    name: str
    index: int
    mac: str
    peer: str | None
    peer_index: int


@dataclass(frozen=True, slots=True)
class Network:
    """A container's network. `shared_with` names the container whose network it uses. `error` is why the
    interfaces are not known, "" if they are; `host` and `none` have none of their own."""

    kind: NetworkKind
    interfaces: tuple[Interface, ...] = ()
    shared_with: str = ""
    error: str = ""


def network_kind(mode: str) -> tuple[NetworkKind, str]:
    """Parse the engine's network mode: the kind, and whose network it is if it is shared."""
    if mode in {"none", "host"}:
        return NetworkKind(mode), ""
    word, _, container = mode.partition(":")
    if word == "container":
        return NetworkKind.SHARED, container
    return NetworkKind.OWN, ""


def match_ends(links: Iterable[Link], namespace: int, inside: Mapping[int, str]) -> tuple[Interface, ...]:
    """Return the host's ends whose other end is in a namespace, by index.

    `namespace` is the host's number for it, `inside` names the interfaces in it by index.
    """
    return tuple(
        Interface(link.name, link.index, link.mac, inside.get(link.peer), link.peer)
        for link in sorted(links, key=lambda one: one.index)
        if link.peer is not None and link.peer_namespace == namespace
    )
