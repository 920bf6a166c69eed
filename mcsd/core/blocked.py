"""What mcsd waits for outside itself, and the messages about a call that does not return.

A hung file system may only stop its own users: they get an error, everybody else continues, and the status
names it. Each party has its sentence and its remedy here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Party(StrEnum):
    """Who a call waits for; part of the API."""

    VOLUME = "volume"
    LEDGER = "ledger"
    ORIGINALS = "originals"
    PROCESSES = "processes"
    PROCESS = "process"
    POLICY = "policy"
    MOUNTS = "mounts"
    BOOLEANS = "booleans"
    PLACES = "places"
    ACCOUNTS = "accounts"
    FLEET = "fleet"


_WHO = {
    Party.VOLUME: "the file system of volume {name!r}",
    Party.LEDGER: "the disk of mcsd's ledger",
    Party.ORIGINALS: "the disk of mcsd's originals",
    Party.PROCESSES: "the kernel, asked for the host's processes,",
    Party.PROCESS: "the kernel, asked for process {name},",
    Party.POLICY: "the kernel, asked for SELinux's policy,",
    Party.MOUNTS: "the kernel, asked for the host's mounts,",
    Party.PLACES: "the file system at {name!r}, which protected places are on,",
    Party.ACCOUNTS: "the host's directory of accounts",
    Party.FLEET: "the service mcsd-fleet, asked for the fleet's store,",
    Party.BOOLEANS: "the kernel, asked for the policy's booleans,",
}

_DISK = "see dmesg and the disk of mcsd's state directory; nothing is granted or labelled until it answers"
_KERNEL = "see dmesg for tasks that are blocked; mcsd goes on when the kernel answers"
_HINTS = {
    Party.VOLUME: "is its server or disk down? see findmnt -T PATH and dmesg; mcsd goes on when it answers",
    Party.LEDGER: _DISK,
    Party.ORIGINALS: _DISK,
    Party.PROCESSES: _KERNEL,
    Party.PROCESS: _KERNEL,
    Party.BOOLEANS: _KERNEL,
    Party.POLICY: _KERNEL,
    Party.MOUNTS: _KERNEL,
    Party.PLACES: "is its server or disk down? see findmnt -T PATH and dmesg; what was last known counts",
    Party.FLEET: "systemctl status mcsd-fleet.service; mcsd goes on with the pairs that this host holds",
    Party.ACCOUNTS: "see getent passwd and the service behind it (sssd); what was last known of homes counts",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about: whom it waits for, and which one of several."""

    party: Party
    name: str = ""

    @property
    def who(self) -> str:
        """Name the party, as the beginning of a sentence."""
        return _WHO[self.party].format(name=self.name)

    @property
    def failure(self) -> str:
        """Say that the call failed; the reason follows."""
        return f"{self.who.rstrip(',')} failed"

    @property
    def hint(self) -> str:
        """Say what to do about it."""
        return _HINTS[self.party].replace("PATH", self.name)


@dataclass(frozen=True, slots=True)
class Blocked:
    """A call that has not returned, and has shown no sign of life, for so many seconds."""

    subject: Subject
    seconds: float

    @property
    def sentence(self) -> str:
        """Say what does not answer, and for how long."""
        return f"{self.subject.who} has not answered for {self.seconds:.0f} s"
