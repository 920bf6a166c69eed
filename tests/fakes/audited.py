"""Containers and hosts to be audited: all well unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcsd.core.audit.facts import (
    AuditedMount,
    ContainerFacts,
    ContainerSettings,
    Facts,
    HostFacts,
    Kernel,
    Proof,
    Seccomp,
    Sort,
)

ID = "ab" * 32
HOST = HostFacts("host", remaps_users=True, live_restore=True, enforcing=True)


def settings(name: str = "web", **more: Any) -> ContainerSettings:
    """Make the settings of a container that runs as a user of its own, with nothing left to drop."""
    least = ContainerSettings(
        id=ID,
        name=name,
        running=True,
        image="registry.example/web:1",
        user="1000",
        cap_drop=frozenset({"ALL"}),
        security_options=("no-new-privileges",),
        memory=1 << 29,
        processes=512,
    )
    return replace(least, **more)


def kernel(**more: Any) -> Kernel:
    """Make what the kernel shows of it."""
    least = Kernel(
        seccomp=Seccomp.FILTER,
        no_new_privileges=True,
        bounding=frozenset(),
        effective=frozenset(),
        root_inside=False,
        root_outside=False,
        shared=frozenset({"user"}),
        memory=1 << 29,
        processes=512,
    )
    return replace(least, **more)


def container(
    name: str = "web",
    *,
    seen: dict[str, Any] | None = None,
    unseen: str = "",
    proof: Proof | None = None,
    **more: Any,
) -> ContainerFacts:
    """Make a container; `seen` is what the kernel shows otherwise, `more` what the engine was asked for."""
    contents = more.pop("contents", ())
    shown = None if unseen else kernel(**(seen or {}))
    proven = proof or Proof(isolated=True, level="s0:c1,c2")
    return ContainerFacts(settings(name, **more), shown, contents, proven, unseen)


def mount(source: str, sort: Sort = Sort.DIRECTORY, *, real: str = "", kind: str = "bind") -> AuditedMount:
    """Make a mount."""
    return AuditedMount(source, "/inside", kind=kind, real=real or source, sort=sort)


def host(*containers: ContainerFacts, **more: Any) -> Facts:
    """Make everything."""
    return Facts(replace(HOST, **more), containers)
