"""Containers' network interfaces as the host sees them: values, and how the two ends find each other.

A pair of virtual Ethernet ends is one interface in the container and one on the host. The kernel tells of
each end the index of the other, and a number for the other's network namespace. Indexes are unique within a
namespace only, so a host's end belongs to a container when both agree.
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

    `peer` is None where the kernel does not let mcsd look into the container's namespace.
    """

    name: str
    index: int
    mac: str
    peer: str | None
    peer_index: int


@dataclass(frozen=True, slots=True)
class Network:
    """A container's network. `shared_with` names the container whose network it uses. `error` is why the
    interfaces are not known, "" where they are; `host` and `none` have none of their own."""

    kind: NetworkKind
    interfaces: tuple[Interface, ...] = ()
    shared_with: str = ""
    error: str = ""


def network_kind(mode: str) -> tuple[NetworkKind, str]:
    """Read the engine's word for a network: its kind, and whose it is where it is shared."""
    if mode in {"none", "host"}:
        return NetworkKind(mode), ""
    word, _, container = mode.partition(":")
    if word == "container":
        return NetworkKind.SHARED, container
    return NetworkKind.OWN, ""


def match_ends(links: Iterable[Link], namespace: int, inside: Mapping[int, str]) -> tuple[Interface, ...]:
    """Return the host's ends whose other end lies in a namespace, by index.

    `namespace` is the host's number for it, `inside` names the interfaces in it by index.
    """
    return tuple(
        Interface(link.name, link.index, link.mac, inside.get(link.peer), link.peer)
        for link in sorted(links, key=lambda one: one.index)
        if link.peer is not None and link.peer_namespace == namespace
    )
