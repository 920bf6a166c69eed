"""The state of SELinux: what the loaded policy allows, what is wrong with it, and how it changes.

While the daemon runs, the policy can be replaced or switched to permissive, and can lose its categories, the
file type that volumes get, or mcsd's own domain. Each problem has its sentence and its remedy here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.host import SWITCH_ON, SelinuxStatus
from mcsd.core.labels import Label

UNLABELED = "unlabeled_t"
"""The type that the kernel shows for a context that is not valid in the loaded policy."""


class NetlinkEventKind(StrEnum):
    """What the kernel announces on NETLINK_SELINUX. A commit of booleans is announced as a policy load."""

    ENFORCING = "enforcing"
    POLICY = "policy"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class NetlinkEvent:
    """One announcement: the new mode (1: enforcing), the policy's sequence number, or a loss of some."""

    kind: NetlinkEventKind
    value: int = 0


class Trouble(StrEnum):
    """Stable codes for problems with SELinux; part of the API."""

    UNREADABLE = "selinux-unreadable"
    DISABLED = "selinux-disabled"
    PERMISSIVE = "selinux-permissive"
    NO_MCS = "policy-without-mcs"
    NO_FILE_TYPE = "policy-without-file-type"
    NO_OWN_DOMAIN = "policy-without-mcsd"
    DEAF = "kernel-not-heard"


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One problem, and what to do about it."""

    trouble: Trouble
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class SelinuxState:
    """SELinux as observed once. Errors are sentences, "" for none; `own` is mcsd's own context, if any.

    `deaf` is why the kernel's announcements cannot be received; SELinux is then checked more often.
    """

    status: SelinuxStatus
    unreadable: str = ""
    file_type_error: str = ""
    own: Label | None = None
    deaf: str = ""

    @property
    def trusted(self) -> SelinuxStatus:
        """The status for verdicts: not enforcing if the kernel could not be asked."""
        return replace(self.status, enforcing=False) if self.unreadable else self.status


@dataclass(frozen=True, slots=True)
class Move:
    """A state and the one before it. `policy`: whether a policy was loaded, or booleans committed,
    between."""

    old: SelinuxState
    new: SelinuxState
    policy: bool

    @property
    def enforcing(self) -> bool | None:
        """Whether the kernel enforces now, None if that did not change."""
        now = self.new.trusted.enforcing
        return None if now == self.old.trusted.enforcing else now

    @property
    def worse(self) -> tuple[HostFinding, ...]:
        """Problems that are new or have changed."""
        before = {one.trouble for one in findings(self.old)}
        return tuple(one for one in findings(self.new) if one.trouble not in before)

    @property
    def better(self) -> tuple[HostFinding, ...]:
        """Problems that no longer exist."""
        now = {one.trouble for one in findings(self.new)}
        return tuple(one for one in findings(self.old) if one.trouble not in now)


def findings(ground: SelinuxState) -> tuple[HostFinding, ...]:
    """Return what is wrong, the most basic problem first; nothing with the backend xattr."""
    status = ground.status
    if status.backend != "kernel":
        return ()
    if not status.enabled:
        return (
            HostFinding(
                Trouble.DISABLED,
                "SELinux is disabled in the kernel: nothing is confined, and there are no booleans",
                SWITCH_ON,
            ),
        )
    if ground.unreadable:
        return (
            HostFinding(
                Trouble.UNREADABLE,
                ground.unreadable,
                "see ausearch -m avc; if mcsd's policy module was removed, install mcsd-selinux again",
            ),
        )
    return tuple(_findings_of_policy(ground))


def _findings_of_policy(ground: SelinuxState) -> list[HostFinding]:
    found = []
    if not ground.status.enforcing:
        found.append(
            HostFinding(Trouble.PERMISSIVE, "SELinux is permissive: it denies nothing", "run setenforce 1")
        )
    if not ground.status.mls:
        found.append(
            HostFinding(
                Trouble.NO_MCS,
                "the loaded policy has no categories: no container is kept apart from another",
                "install a policy with MCS, such as targeted",
            )
        )
    if ground.file_type_error:
        found.append(
            HostFinding(
                Trouble.NO_FILE_TYPE,
                f"volumes cannot be labelled: {ground.file_type_error}",
                "load the policy's container module (container-selinux), or set [labels] file_type",
            )
        )
    if ground.own is not None and ground.own.type == UNLABELED:
        found.append(
            HostFinding(
                Trouble.NO_OWN_DOMAIN,
                "the loaded policy does not know the domain that mcsd runs in",
                "install mcsd-selinux again, then systemctl restart mcsd",
            )
        )
    if ground.deaf:
        found.append(
            HostFinding(
                Trouble.DEAF,
                f"the kernel's announcements cannot be heard: {ground.deaf}; mcsd looks by itself instead",
                "allow AF_NETLINK sockets in mcsd's unit, and see ausearch -m avc",
            )
        )
    return found
