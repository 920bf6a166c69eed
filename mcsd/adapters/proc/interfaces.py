"""Containers' network interfaces from rtnetlink, with pyroute2's messages, without entering any namespace.

- RTM_GETNSID returns the host's number for a process's network namespace; the host's end of a veth pair has
  that number and the other end's index. Neither needs a capability, nor does listing the host's own links.
- The names inside come from `/proc/PID/net`, which shows the process's own namespace. An interface that is
  down and has no address is not listed there: its name stays unknown.

Messages go over our own socket: pyroute2's request functions differ between 0.7 and 0.9, and use an event
loop from 0.8 on; its message classes have stayed the same.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pyroute2.netlink import NETLINK_ROUTE, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE
from pyroute2.netlink.nlsocket import Marshal
from pyroute2.netlink.rtnl import RTM_GETLINK, RTM_GETNSID, RTM_NEWLINK, RTM_NEWNSID
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.nsidmsg import nsidmsg

from mcsd.core.interfaces import Link, Network, NetworkKind, match_ends, network_kind

_UNASSIGNED = 1 << 31
"""Namespace numbers are signed; from this value on they are negative, which means that there is none."""


_LARGEST = 1 << 17
_PATIENCE = 2.0
"""Seconds for an answer; the kernel answers at once."""


class _Answers(Marshal):  # type: ignore[misc]  # pyroute2 has no types
    """Parses the two kinds of answers used here; pyroute2's own parser loads all kinds."""

    msg_map: ClassVar[dict[int, type]] = {RTM_NEWLINK: ifinfmsg, RTM_NEWNSID: nsidmsg}


class KernelNetworks:
    """`mcsd.ports.Networks` of the running kernel."""

    def __init__(self, proc: str | os.PathLike[str] = "/proc") -> None:
        self._proc = Path(proc)

    def network_of(self, pid: int, mode: str) -> Network:
        """See `mcsd.ports.Networks`."""
        kind, shared_with = network_kind(mode)
        if kind in {NetworkKind.NONE, NetworkKind.HOST}:
            return Network(kind)
        try:
            with socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
            ) as route:
                route.settimeout(_PATIENCE)
                namespace = _number_of(route, pid)
                links = [_link(message) for message in _ask(route, ifinfmsg(), RTM_GETLINK, dump=True)]
        except OSError as exc:
            reason = exc.strerror or str(exc)
            return Network(
                kind,
                shared_with=shared_with,
                error=f"the kernel does not show the container's interfaces: {reason}",
            )
        if namespace is None:
            return Network(kind, shared_with=shared_with)
        return Network(kind, match_ends(links, namespace, self._names_inside(pid)), shared_with)

    def _names_inside(self, pid: int) -> dict[int, str]:
        names: dict[int, str] = {}
        for words in self._table(pid, "if_inet6"):
            names[int(words[1], 16)] = words[5]
        for words in self._table(pid, "dev_mcast"):
            names[int(words[0])] = words[1]
        return names

    def _table(self, pid: int, name: str) -> list[list[str]]:
        try:
            text = (self._proc / str(pid) / "net" / name).read_text(encoding="ascii", errors="replace")
        except OSError:  # the process ended, or there is no IPv6: the names stay unknown
            return []
        return [line.split() for line in text.splitlines()]


def _ask(route: socket.socket, question: Any, kind: int, *, dump: bool) -> Iterator[Any]:
    """Send a request, and return the answers: one, or all up to the end of a list. Raises `OSError`."""
    question["header"]["type"] = kind
    question["header"]["flags"] = NLM_F_REQUEST | (NLM_F_DUMP if dump else 0)
    question.encode()
    route.send(question.data)
    marshal = _Answers()
    while True:
        for answer in marshal.parse(route.recv(_LARGEST)):
            error = answer["header"]["error"]
            if error is not None:
                code = getattr(error, "code", 0) or errno.EPROTO
                raise OSError(code, os.strerror(code))
            if answer["header"]["type"] == NLMSG_DONE:
                return
            yield answer
            if not dump:
                return


def _number_of(route: socket.socket, pid: int) -> int | None:
    """Return the host's number for a process's namespace; None if no link leads there."""
    question = nsidmsg()
    question["attrs"] = [("NETNSA_PID", pid)]
    for answer in _ask(route, question, RTM_GETNSID, dump=False):
        number = answer.get_attr("NETNSA_NSID")
        if number is not None and 0 <= number < _UNASSIGNED:
            return int(number)
    return None


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        mac=message.get_attr("IFLA_ADDRESS") or "",
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        peer=message.get_attr("IFLA_LINK"),
        peer_namespace=message.get_attr("IFLA_LINK_NETNSID"),
    )
