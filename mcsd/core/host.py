"""What is known of the host: its kernel's SELinux, its engine, and what mcsd writes on it."""

from __future__ import annotations

from dataclasses import dataclass

from mcsd.core.containers import EngineInfo

SWITCH_ON = (
    "set SELINUX=enforcing in /etc/selinux/config, take selinux=0 off the kernel's command line, reboot"
)
"""What to do where SELinux is disabled: either of the two may be why."""


@dataclass(frozen=True, slots=True)
class SelinuxStatus:
    """What the kernel says of itself.

    `backend` is "kernel" or "xattr"; with "xattr" nothing enforces. `policy` is the host's SELINUXTYPE
    (`targeted`, `default`), "" when unknown. `generation` rises with each policy load, as far as the
    kernel tells.
    """

    backend: str
    enabled: bool
    enforcing: bool
    mls: bool
    policy: str
    generation: int = 0


NOT_ASKED = SelinuxStatus("kernel", enabled=True, enforcing=False, mls=False, policy="")
"""What counts until the kernel has answered for the first time: nothing is called enforced."""


@dataclass(frozen=True, slots=True)
class Host:
    """One look at the host. `engine` is None while Docker has not answered yet."""

    selinux: SelinuxStatus
    engine: EngineInfo | None = None
