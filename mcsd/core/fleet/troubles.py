"""What each trouble of a fleet means for this host, and what an administrator can do about it."""

from __future__ import annotations

from collections.abc import Mapping

from mcsd.core.fleet.protocol import Trouble

_RECOVER = "mcsctl fleet recover, once all hosts have been told of the restored store: see mcsd-fleet(8)"
_AGAIN = (
    "remove its containers; then mcsctl fleet evict {name} --gone, and mcsctl fleet admit {name}: it joins "
    "anew when nothing here has a pair of its former blocks"
)
_ADMIT = "mcsctl fleet admit {name}"

_TEXTS: Mapping[Trouble, tuple[str, str]] = {
    Trouble.UNKNOWN: ("the store has not answered yet", "systemctl status mcsd-fleet.service"),
    Trouble.UNREACHABLE: ("the store cannot be asked", "systemctl status mcsd-fleet.service"),
    Trouble.NO_FLEET: ("the store has no fleet", "mcsctl fleet init HOST..., or restore the store's backup"),
    Trouble.UNREADABLE: (
        "the store has values that this mcsd cannot read",
        "are all hosts of one version? see journalctl -u mcsd-fleet",
    ),
    Trouble.OTHER_FLEET: (
        "the store has another fleet than this host's",
        "see endpoints and prefix in /etc/mcsd/fleet.toml",
    ),
    Trouble.NOT_ADMITTED: ("the fleet does not have this host, {name!r}", _ADMIT),
    Trouble.EVICTED: ("this host was evicted", _AGAIN),
    Trouble.NAME_TAKEN: (
        "another host, or this one before its ledger was lost, has the name {name!r}",
        _AGAIN,
    ),
    Trouble.COPIED: ("this is a copy of another host's disk, or its hardware was replaced", _AGAIN),
    Trouble.BEHIND: (
        "the fleet knows newer operations of this host than its ledger: it was put back to an earlier "
        "state, or a copy of it is at work",
        _AGAIN,
    ),
    Trouble.TAMPERED: ("somebody else has written what the store has of this host", _AGAIN),
    Trouble.RESTORED: ("the store was restored from a backup, and may lack what hosts hold", _RECOVER),
    Trouble.RECOVERING: (
        "the fleet is being recovered, and hosts write what they hold",
        "mcsctl fleet open, when all have",
    ),
    Trouble.MISSED_RECOVERY: ("the fleet was recovered without this host", _AGAIN),
    Trouble.DOUBTED: ("a host has found that the store was restored from a backup", _RECOVER),
    Trouble.CROWDED: (
        "what all hosts hold does not fit into a request to the store any more",
        "have fewer containers with directories on shared storage: mcsctl fleet status lists them",
    ),
    Trouble.FULL: ("other hosts hold all blocks that are left", "evict hosts that are gone for ever"),
}


def text_of(trouble: Trouble, name: str) -> tuple[str, str]:
    """Return a sentence about a trouble of this host, and what to do about it."""
    text, hint = _TEXTS[trouble]
    return text.format(name=name), hint.format(name=name)
