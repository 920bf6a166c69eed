"""Booleans where the kernel has no SELinux: every way in says so plainly."""

from __future__ import annotations

import os

import pytest

from mcsd.adapters.selinux.booleans import KernelBooleans
from mcsd.errors import BooleanError

pytestmark = pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this host has SELinux")


def test_without_selinux_there_are_no_booleans() -> None:
    switches = KernelBooleans()
    for ask in (
        switches.names,
        switches.standings,
        lambda: switches.standing("docker_connect_any"),
        lambda: switches.change({"docker_connect_any": False}),
    ):
        with pytest.raises(BooleanError, match="SELinux is disabled in the kernel") as caught:
            ask()
        assert "/etc/selinux/config" in caught.value.hint


@pytest.mark.parametrize("name", ["docker_connect_any", "", "../x", "a\0b"])
def test_a_substitute_is_never_an_error(name: str) -> None:
    assert KernelBooleans().substitute(name) == name
