"""The name in the loaded policy of a boolean that somebody names.

In this order: the name as given; the policy's own list of substitutions (`booleans.subs_dist`, read by
selinux_boolean_sub(3)); the table of renames below, in either direction, because a configuration outlives
policies and an old host has the old name. Otherwise it is unknown, and the most similar names in the policy
are returned.

Names of different policies for similar things (`container_use_nfs` of the reference policy,
`virt_use_nfs` of Fedora's) are not renames: they allow different things to different domains, and mcsd does
not turn one on where the other was asked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

NEAREST = 3
"""How many names are suggested for an unknown one."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


class NameSource(StrEnum):
    """How a name was found; part of the API."""

    GIVEN = "as-given"
    SUBSTITUTED = "policy-substitution"
    RENAMED = "renamed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BooleanRename:
    """A boolean that is called `new` since the change that `source` names."""

    old: str
    new: str
    source: str


RENAMES = (
    BooleanRename(
        "docker_connect_any",
        "container_connect_any",
        "container-selinux c0a5e9606b35, 2016-10-03, 'Rename docker types to container'",
    ),
    BooleanRename(
        "virt_sandbox_use_nfs",
        "virt_use_nfs",
        "selinux-policy ac9046cf5caf, 2016-03-10, 'Remove declaration of empty booleans in virt policy'; "
        "booleans.subs_dist",
    ),
    BooleanRename(
        "virt_sandbox_use_samba",
        "virt_use_samba",
        "selinux-policy ac9046cf5caf, 2016-03-10, 'Remove declaration of empty booleans in virt policy'",
    ),
)

DROPPED: Mapping[str, str] = {
    # selinux-policy 91859baab548, 2015-02-10: the transition has no boolean since.
    "docker_transition_unconfined": "policies since 2015 have no such boolean, and nothing in its place",
}
"""Names that were dropped without a successor."""


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """`name` is the policy's, None if it has none; `note` says how it was found or why not."""

    asked: str
    name: str | None
    how: NameSource
    note: str = ""
    nearest: tuple[str, ...] = ()


def is_name(text: str) -> bool:
    """Tell whether a text can be a boolean's name at all: it becomes part of a path in selinuxfs."""
    return _NAME.fullmatch(text) is not None and text not in {".", ".."}


def _renamed(asked: str, known: Collection[str]) -> ResolvedName | None:
    for rename in RENAMES:
        for old, new in ((rename.old, rename.new), (rename.new, rename.old)):
            if asked == old and new in known:
                return ResolvedName(asked, new, NameSource.RENAMED, f"renamed: {rename.source}")
    return None


def resolve(asked: str, known: Collection[str], substitute: str) -> ResolvedName:
    """Find what the policy with the names `known` calls a boolean.

    `substitute` is what the policy's own list says for it: the same name if it lists none.
    """
    if not is_name(asked):
        return ResolvedName(asked, None, NameSource.UNKNOWN, "no boolean can have this name")
    if asked in known:
        return ResolvedName(asked, asked, NameSource.GIVEN)
    if substitute in known:
        return ResolvedName(
            asked, substitute, NameSource.SUBSTITUTED, "substituted by the policy's booleans.subs_dist"
        )
    renamed = _renamed(asked, known)
    if renamed is not None:
        return renamed
    note = DROPPED.get(asked, "the loaded policy has no boolean of this name")
    return ResolvedName(asked, None, NameSource.UNKNOWN, note, nearest_names(asked, known))


def nearest_names(asked: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the policy's names that are most similar to an unknown one, the most similar first."""
    return tuple(difflib.get_close_matches(asked, sorted(known), n=NEAREST, cutoff=0.5))
