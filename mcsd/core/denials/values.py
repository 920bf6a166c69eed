"""Denials, as they were recorded, and storms of them: plain values, made at the edge.

A container can be denied things as fast as it asks, with names that it makes up, so whoever collects
denials counts: what is alike is one storm, the number of storms is bounded, and the first of each is never
pushed out by another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.labels import Context, Level
from mcsd.core.processes import OVERLORD, held_level
from mcsd.errors import LabelSyntaxError


class DenialKind(StrEnum):
    """Which part of the kernel wrote it down; part of the API."""

    AVC = "avc"
    """SELinux denied something."""
    SECCOMP = "seccomp"
    """A filter of system calls did."""
    CALL = "call"
    """A system call failed for want of permission, and SELinux did not deny it."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One denial.

    `time` is in seconds since the epoch; `path` as the process names it, "" where it is not known.

    `source` and `target` are contexts as they were recorded. `name` is the last part of a path, as an AVC
    has it where it has no more; `inode` and `device` are of what was denied. `errno` is the name of a
    failed call's error, `uid` who made it; `mode` and `owner` are the file's, as the record has them.
    """

    kind: DenialKind
    time: float
    serial: int
    source: str
    pid: int
    command: str = ""
    call: str = ""
    target: str = ""
    tclass: str = ""
    permissions: tuple[str, ...] = ()
    path: str = ""
    name: str = ""
    inode: int | None = None
    device: str = ""
    permissive: bool = False
    errno: str = ""
    signal: int = 0
    uid: int | None = None
    mode: int | None = None
    owner: int | None = None
    times: int = 1
    """How often it was told, where that was counted before."""

    @property
    def likeness(self) -> tuple[str, ...]:
        """What two denials of one storm have in common."""
        return (
            self.kind,
            self.source,
            self.target,
            self.tclass,
            " ".join(self.permissions),
            self.path or self.name,
            self.call if self.kind is not DenialKind.AVC else "",
        )

    @property
    def family(self) -> tuple[str, ...]:
        """The same without the path, which whoever is denied makes up."""
        return (*self.likeness[:5], "", self.likeness[6])


def context_of(text: str) -> Context | None:
    """Return a context, None for what is none."""
    try:
        return Context.parse(text)
    except LabelSyntaxError:
        return None


def level_of(text: str) -> Level | None:
    """Return the level that counts of a context, None where there is none."""
    context = context_of(text)
    return held_level(context.range) if context else None


def type_of(text: str) -> str:
    """Return a context's type, "" where it is none."""
    context = context_of(text)
    return context.type if context else ""


CONTAINER_TYPES = frozenset(
    {
        "container_t", "svirt_lxc_net_t", "container_init_t", "container_kvm_t", "container_logreader_t",
        "container_userns_t", "container_device_t", "container_device_plugin_t", "container_engine_t",
        "container_logwriter_t", "svirt_kvm_net_t", "svirt_qemu_net_t", "spc_t",
    }
)  # fmt: skip
"""Domains of containers on the policies that there are; those of containers that run come on top."""

ENGINE_TYPES = frozenset(
    {"container_runtime_t", "dockerd_t", "docker_t", "containerd_t", "container_engine_t"}
)
"""Domains of engines: what they are denied keeps a container from its start."""


def concerns_containers(denial: Denial, types: Iterable[str] = ()) -> bool:
    """Tell whether a denial is a container's, or an engine's on behalf of one.

    Whoever runs in a container's domain, or at a level with categories as only containers and virtual
    machines have, counts; an administrator at all categories does not.
    """
    source = type_of(denial.source)
    if source in CONTAINER_TYPES or source in ENGINE_TYPES or source in frozenset(types):
        return True
    level = level_of(denial.source)
    return level is not None and 0 < len(level) <= OVERLORD


@dataclass(frozen=True, slots=True)
class Storm:
    """Denials that are alike: the first, the last one's time, and how many.

    `others` says that their paths differ, and `first.path` is one of many.
    """

    first: Denial
    last: float
    count: int = 1
    others: bool = False

    def with_one(self, denial: Denial, *, other: bool = False) -> Storm:
        """Add one more."""
        return replace(
            self,
            last=max(self.last, denial.time),
            count=self.count + denial.times,
            others=self.others or other,
        )


MOST_STORMS = 1000
"""Storms that are told apart; beyond, paths are not."""
MOST_OF_ONE = 50
"""Storms of one family that are told apart."""


class Storms:
    """Collects denials into storms, with an end to what it keeps. The first of each family is always kept."""

    def __init__(self) -> None:
        self._storms: dict[tuple[str, ...], Storm] = {}
        self._families: dict[tuple[str, ...], int] = {}
        self.lost = 0
        """Denials that were only counted: of more families than are kept."""

    def add(self, denial: Denial) -> Storm | None:
        """Add one, and return its storm if it is a new one."""
        key, family = denial.likeness, denial.family
        known = self._storms.get(key)
        if known is None and self._families.get(family, 0) >= MOST_OF_ONE:
            key = family
            known = self._storms.get(key)
            if known is None and len(self._storms) < 2 * MOST_STORMS:
                self._storms[key] = Storm(denial, denial.time, denial.times, others=True)
                return None
        if known is not None:
            self._storms[key] = known.with_one(
                denial, other=key == family and denial.path != known.first.path
            )
            return None
        if len(self._storms) >= MOST_STORMS:
            self.lost += denial.times
            return None
        self._families[family] = self._families.get(family, 0) + 1
        self._storms[key] = Storm(denial, denial.time, denial.times)
        return self._storms[key]

    def all(self) -> tuple[Storm, ...]:
        """Return all storms, the newest last."""
        return tuple(sorted(self._storms.values(), key=lambda one: (one.last, one.first.serial)))
