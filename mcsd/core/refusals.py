"""The rules by which a volume is not labelled, by name: for the journal's `MCSD_RULE` and the measurements.

Names are part of the interface. A protected place or type has its own name, in the tables of
`mcsd.core.protected`; the others are here.
"""

from __future__ import annotations

from enum import StrEnum

from mcsd.core.protected import HOME, PLACES, TYPES


class RefusalRule(StrEnum):
    """Rules that are about neither a place nor a type."""

    HELD = "held"
    """Another container holds the volume, or one that overlaps it."""
    NOT_SEPARATE = "not-separate"
    """The container's own level is not separate from somebody's who had it before."""
    NO_GROUP = "no-group"
    """A group is asked for by a container whose level is no member's."""
    OUTSIDER = "outsider"
    """Somebody who is no member reads what is the group's."""
    SYMLINK_IN_PATH = "symlink-in-path"
    DEVICE_NODE = "device-node"
    PSEUDO_FILE_SYSTEM = "pseudo-file-system"
    MULTIPLY_LINKED = "multiply-linked"
    NO_LABELS = "no-labels"
    """The file system keeps none."""


_TABLES = (*(place.name for place in (*PLACES, HOME)), *(one.name for one in TYPES))

RULES: tuple[str, ...] = tuple(dict.fromkeys((*(rule.value for rule in RefusalRule), *_TABLES)))
"""The names of all rules, each once."""
