"""The names of the rules by which a volume is not labelled, for the journal's `MCSD_RULE` and metrics.

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
    ELSEWHERE = "elsewhere"
    """Another host of the fleet has the volume, or one that overlaps it, or that is not certain."""
    NOT_SEPARATE = "not-separate"
    """The container's own level is not separate from an earlier holder's."""
    NO_GROUP = "no-group"
    """The container asks for a group's volume, but its level is not a member's."""
    OUTSIDER = "outsider"
    """The level of somebody who is not a member dominates the group's."""
    SYMLINK_IN_PATH = "symlink-in-path"
    DEVICE_NODE = "device-node"
    PSEUDO_FILE_SYSTEM = "pseudo-file-system"
    MULTIPLY_LINKED = "multiply-linked"
    NO_LABELS = "no-labels"
    """The file system cannot store labels."""
    FIXED_LABEL = "fixed-label"
    """The file system is mounted with `context=`: all its files have that label."""
    READ_ONLY = "read-only"
    """The file system or the mount is read-only."""


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
    """Tell whether a rule makes mcsd leave a volume alone instead of refusing it.

    Then the container has it as it would without mcsd, and that is reported. Any other rule means that
    the container cannot have a volume that it should have."""
    return rule in _LEFT_ALONE


RULES: tuple[str, ...] = tuple(dict.fromkeys((*(rule.value for rule in RefusalRule), *_TABLES)))
"""The names of all rules, each once."""
