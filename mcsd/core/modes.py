"""Which mode a mount is claimed in: configured rules, the container's own wishes, Docker's z and Z.

In order of precedence: a rule that keeps mcsd from labelling (*observe*, *ignore*), `io.mcsd.volume` on the
container, any other rule, the `z` or `Z` of a bind mount, the default. Docker adds `z` to local named volumes
without a mode, so there it does not express the user's wish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath

from mcsd.core.containers import Container, Mount, MountKind
from mcsd.core.volumes import ClaimMode
from mcsd.core.wishes import wishes


@lru_cache(4096)  # each look at a volume asks for the same paths again
def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts


@dataclass(frozen=True, slots=True)
class PathRule:
    """A path and everything below it, and the mode that volumes there get."""

    path: str
    mode: ClaimMode
    parts: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """The components of the path, by which paths are compared."""

    def __post_init__(self) -> None:
        """Split the path once: every look at a volume compares it."""
        object.__setattr__(self, "parts", _parts(self.path))


@dataclass(frozen=True, slots=True)
class VolumePolicy:
    """The configuration's part in deciding who may have a volume."""

    default: ClaimMode = ClaimMode.PRIVATE
    share_on_conflict: bool = False
    rules: tuple[PathRule, ...] = ()


_HANDS_OFF = (ClaimMode.OBSERVE, ClaimMode.IGNORE)


def rule_for(path: str, rules: Sequence[PathRule]) -> PathRule | None:
    """Return the rule with the longest path that contains `path`; of two equal ones, the later."""
    if not rules:
        return None
    here = _parts(path)
    matching = [rule for rule in rules if here[: len(rule.parts)] == rule.parts]
    return max(reversed(matching), key=lambda rule: len(rule.parts), default=None)


def mode_for(
    mount: Mount,
    container: Container,
    policy: VolumePolicy,
    *,
    paths: Sequence[str] = (),
    ruled: Sequence[str] = (),
) -> ClaimMode:
    """Decide the mode of a claimable mount.

    `paths` are all its names (as the engine has it, and as it was opened). `ruled` are the paths of rules
    that are the mount's source or contain it, by identity, the nearest first: the nearest one's rule decides.
    A rule with *observe* or *ignore* counts under any name, so that a symbolic link cannot evade it.
    """
    names = (*(paths or (mount.source,)), *ruled[:1])
    rules = [rule for path in names if (rule := rule_for(path, policy.rules))]
    off = next((rule for rule in rules if rule.mode in _HANDS_OFF), None)
    if off is not None:
        return off.mode
    rule = rules[-1] if rules else None
    wish = wishes(container).get(str(PurePosixPath(mount.destination)))
    if wish is not None and (wish is not ClaimMode.GROUP or container.label("group")):
        return wish
    if rule is not None:
        return rule.mode
    if mount.kind is MountKind.BIND and "z" in mount.options:
        return ClaimMode.SHARED
    if mount.kind is MountKind.BIND and "Z" in mount.options:
        return ClaimMode.PRIVATE
    return policy.default
