"""What tells this machine from others, so that a copy of its disk elsewhere is noticed."""

from __future__ import annotations

from pathlib import Path

_SOURCES = (
    ("dmi", "sys/class/dmi/id/product_uuid"),
    ("tree", "proc/device-tree/serial-number"),
    ("id", "etc/machine-id"),
)
"""Firmware first: hypervisors give each machine a UUID of its own (SMBIOS), also to a clone. The last one is
on the disk, and is copied with it; see machine-id(5)."""
_LONGEST = 128


def machine_identity(root: Path = Path("/")) -> str:
    """Return what identifies the machine, and where that is from; "" if nothing does. Raises nothing."""
    for name, place in _SOURCES:
        try:
            text = (root / place).read_text(encoding="ascii").strip("\0 \n")
        except (OSError, UnicodeDecodeError):
            continue  # not on this kind of machine, or nonsense of its firmware: the next one counts
        if text and len(text) <= _LONGEST:
            return f"{name}:{text}"
    return ""
