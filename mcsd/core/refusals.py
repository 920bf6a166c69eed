"""The rules by which a volume is not labelled, by name: for the journal's `MCSD_RULE` and the measurements.

Names are part of the interface. A protected place or type has its own name, in the tables of
`mcsd.core.protected`; the others are here.
"""

from __future__ import annotations

from enum import StrEnum

from mcsd.core.protected import HOME, IN_HOMES, PLACES, TYPES


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
    FIXED_LABEL = "fixed-label"
    """The file system is mounted with `context=`: everything in it has the label that stands there."""
    READ_ONLY = "read-only"
    """The file system, or the mount, cannot be written."""


_TABLES = (*(place.name for place in (*PLACES, *IN_HOMES, HOME)), *(one.name for one in TYPES))

_LEFT_ALONE = {
    *_TABLES,
    RefusalRule.DEVICE_NODE,
    RefusalRule.PSEUDO_FILE_SYSTEM,
    RefusalRule.MULTIPLY_LINKED,
    RefusalRule.NO_LABELS,
    RefusalRule.FIXED_LABEL,
    RefusalRule.READ_ONLY,
}


def is_left_alone(rule: str) -> bool:
    """Tell whether what a rule forbids is none of mcsd's to prepare: then the container has it as it would
    without mcsd, and that is reported. Any other rule says that somebody, or something, stands in the way of
    a volume that the container is to have."""
    return rule in _LEFT_ALONE


RULES: tuple[str, ...] = tuple(dict.fromkeys((*(rule.value for rule in RefusalRule), *_TABLES)))
"""The names of all rules, each once."""
