"""Denials as they were recorded, and storms of them. Plain values.

A container can cause denials as fast as it can make calls, with names that it makes up. So similar denials
are counted as one storm, the number of storms is bounded, and no storm ever displaces another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from mcsd.core.labels import Context, Level
from mcsd.core.processes import OVERLORD, held_level
from mcsd.errors import LabelSyntaxError


class DenialKind(StrEnum):
    """Which part of the kernel recorded it; part of the API."""

    AVC = "avc"
    """SELinux denied something."""
    SECCOMP = "seccomp"
    """A seccomp filter did."""
    CALL = "call"
    """A system call failed with a permission error, and SELinux did not deny it."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One denial.

    `time` is in seconds since the epoch; `path` as the process names it, "" if it is not known.

    `source` and `target` are contexts as they were recorded. `name` is the last part of a path, which is all
    that an AVC may have; `inode` and `device` are the object's. `errno` is the name of a
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
    """How many records this stands for, if they were counted before."""

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
        """The same without the path, which the container can make up."""
        return (*self.likeness[:5], "", self.likeness[6])


def context_of(text: str) -> Context | None:
    """Return a context, None if it is not one."""
    try:
        return Context.parse(text)
    except LabelSyntaxError:
        return None


def level_of(text: str) -> Level | None:
    """Return the level of a context that the kernel compares, None if there is none."""
    context = context_of(text)
    return held_level(context.range) if context else None


def type_of(text: str) -> str:
    """Return a context's type, "" if it is not a context."""
    context = context_of(text)
    return context.type if context else ""


CONTAINER_TYPES = frozenset(
    {
        "container_t", "svirt_lxc_net_t", "container_init_t", "container_kvm_t", "container_logreader_t",
        "container_userns_t", "container_device_t", "container_device_plugin_t", "container_engine_t",
        "container_logwriter_t", "svirt_kvm_net_t", "svirt_qemu_net_t", "spc_t",
    }
)  # fmt: skip
"""Domains of containers in known policies; the domains of running containers are added to these."""

ENGINE_TYPES = frozenset(
    {"container_runtime_t", "dockerd_t", "docker_t", "containerd_t", "container_engine_t"}
)
"""Domains of engines: a denial of theirs keeps a container from starting."""


def concerns_containers(denial: Denial, types: Iterable[str] = ()) -> bool:
    """Tell whether a denial is a container's, or an engine's on behalf of one.

    A process counts if it runs in a container's domain, or at a level with categories as only containers and
    virtual machines have; an administrator with all categories does not.
    """
    source = type_of(denial.source)
    if source in CONTAINER_TYPES or source in ENGINE_TYPES or source in frozenset(types):
        return True
    level = level_of(denial.source)
    return level is not None and 0 < len(level) <= OVERLORD


@dataclass(frozen=True, slots=True)
class Storm:
    """Similar denials: the first, the last one's time, and how many.

    `others` says that their paths differ, so `first.path` is one of many.
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
"""Storms that are kept; beyond this number, new ones are only counted."""
MOST_OF_ONE = 50
"""Storms of one family that are kept apart; beyond this number, paths are not distinguished."""


class Storms:
    """Collect denials into a bounded number of storms."""

    def __init__(self) -> None:
        self._storms: dict[tuple[str, ...], Storm] = {}
        self._families: dict[tuple[str, ...], int] = {}
        self.lost = 0
        """Denials that were only counted, because there were too many storms."""

    def add(self, denial: Denial) -> Storm | None:
        """Add one, and return its storm if that is new."""
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
