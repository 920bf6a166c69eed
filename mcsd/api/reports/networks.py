"""Containers' networks, as reports: which interface of the host leads to which container."""

from __future__ import annotations

from pydantic import Field

from mcsd.api.reports.answer import Answer, Text
from mcsd.core.interfaces import Network, NetworkKind


class InterfaceReport(Answer):
    """A container's interface, seen from the host."""

    name: Text = Field(description="its end on the host")
    index: int
    mac: str
    peer: Text | None = Field(description="its name in the container; null where that cannot be seen")
    peer_index: int


class NetworkReport(Answer):
    """How a running container is connected."""

    kind: NetworkKind
    shared_with: Text | None = Field(description="the container whose network it uses")
    interfaces: tuple[InterfaceReport, ...]
    error: Text = Field(description="why the interfaces are not known; may be empty")


def network_report(network: Network | None) -> NetworkReport | None:
    """Report a network, None if it was not determined."""
    if network is None:
        return None
    return NetworkReport(
        kind=network.kind,
        shared_with=network.shared_with or None,
        interfaces=tuple(
            InterfaceReport(name=i.name, index=i.index, mac=i.mac, peer=i.peer, peer_index=i.peer_index)
            for i in network.interfaces
        ),
        error=network.error,
    )
