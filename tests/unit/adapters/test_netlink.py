"""The kernel's announcements as bytes, and the socket's life. Promise 7: what is unclear counts as lost."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from mcsd.adapters.selinux.netlink import POLICYLOAD, SETENFORCE, SelinuxNetlink
from mcsd.core.selinux_state import NetlinkEvent, NetlinkEventKind
from mcsd.errors import SelinuxError
from tests.fakes.running import run

UEVENTS = 15
"""A family that every kernel has, and that tells nothing here."""


def message(kind: int, value: int) -> bytes:
    """struct nlmsghdr, then one 32-bit number: linux/selinux_netlink.h."""
    return struct.pack("=IHHIIi", 20, kind, 0, 0, 0, value)


@pytest.mark.parametrize(
    ("data", "news"),
    [
        (message(SETENFORCE, 0), [NetlinkEvent(NetlinkEventKind.ENFORCING, 0)]),
        (message(SETENFORCE, 1), [NetlinkEvent(NetlinkEventKind.ENFORCING, 1)]),
        (message(POLICYLOAD, 7), [NetlinkEvent(NetlinkEventKind.POLICY, 7)]),
        (
            message(POLICYLOAD, 7) + message(SETENFORCE, 1),
            [NetlinkEvent(NetlinkEventKind.POLICY, 7), NetlinkEvent(NetlinkEventKind.ENFORCING, 1)],
        ),
        (b"", [NetlinkEvent(NetlinkEventKind.LOST)]),
        (message(SETENFORCE, 1)[:17], [NetlinkEvent(NetlinkEventKind.LOST)]),
        (struct.pack("=IHHIIi", 0, SETENFORCE, 0, 0, 0, 1), [NetlinkEvent(NetlinkEventKind.LOST)]),
        (message(0x7F, 1), [NetlinkEvent(NetlinkEventKind.LOST)]),
    ],
)
def test_datagrams(data: bytes, news: list[NetlinkEvent]) -> None:
    assert SelinuxNetlink().decode(data) == news


def test_it_opens_waits_and_closes_and_leaves_nothing() -> None:
    async def story() -> None:
        netlink = SelinuxNetlink(family=UEVENTS)
        await netlink.open()
        await netlink.open()  # again: the first one is closed
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await netlink.next()
        netlink.close()
        netlink.close()
        with pytest.raises(SelinuxError, match="not open"):
            await netlink.next()

    run(story())


def test_what_is_received_is_given_one_by_one() -> None:
    async def story() -> None:
        ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        netlink = SelinuxNetlink()
        netlink._socket = ours
        with kernels:
            kernels.send(message(POLICYLOAD, 3) + message(SETENFORCE, 0))
            assert await netlink.next() == NetlinkEvent(NetlinkEventKind.POLICY, 3)
            assert await netlink.next() == NetlinkEvent(NetlinkEventKind.ENFORCING, 0)
        netlink.close()

    run(story())


@pytest.mark.parametrize(("code", "lost"), [(105, True), (5, False)], ids=["ENOBUFS", "EIO"])
def test_a_full_buffer_is_a_loss_and_anything_else_an_end(
    code: int, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async def fail(*_: Any) -> bytes:
            raise OSError(code, "no")

        netlink = SelinuxNetlink()
        netlink._socket = SimpleNamespace(close=lambda: None)  # type: ignore[assignment]
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", fail)
        if lost:
            assert await netlink.next() == NetlinkEvent(NetlinkEventKind.LOST)
        else:
            with pytest.raises(SelinuxError, match="cannot be read"):
                await netlink.next()

    run(story())


def test_a_family_that_the_kernel_does_not_have_is_an_error_that_says_so() -> None:
    with pytest.raises(SelinuxError, match="netlink socket"):
        run(SelinuxNetlink(family=31).open())
