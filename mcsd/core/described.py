"""A container as its OCI bundle describes it to the gate.

Podman holds a container's lock while it starts it, and answers no question about it meanwhile, not even a
list; containerd is never asked. So the gate passes on what the bundle says. What is not in it, for one the
labels of Podman, mcsd knows only if it has inspected the container earlier; annotations are in it, so they
are how a container that starts through these engines' gate asks for something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mcsd.core.containers import LABEL_PREFIX, PODMAN, Container, ContainerId, Mount, MountKind

_OWN = re.compile(r"/overlay-containers/[0-9a-f]{64}/userdata(/|\Z)")
"""Podman's own directory of a container, or of its pod's infra container."""


@dataclass(frozen=True, slots=True)
class BoundMount:
    """A bind mount in a bundle, with its options as runtimes take them."""

    source: str
    destination: str
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Described:
    """What a bundle says; `annotations` are those that begin as mcsd's labels do, `kind` is the engine's."""

    name: str
    mounts: tuple[BoundMount, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    kind: str = PODMAN

    def container(self, ident: ContainerId, engine: str, seen: Container | None, storage: str) -> Container:
        """Return the container of an engine; `seen` is what was known, `storage` the engine's directory."""
        known = seen or Container(id=ident, name=self.name or ident[:12], running=False)
        ours = {key: value for key, value in self.annotations if key.startswith(LABEL_PREFIX)}
        return replace(
            known,
            engine=engine,
            name=self.name or known.name,
            labels=tuple(sorted({**dict(known.labels), **ours}.items())),
            mounts=tuple(_mounts(self.mounts, storage)),
        )


def _mounts(mounts: Iterable[BoundMount], storage: str) -> Iterable[Mount]:
    for mount in mounts:
        if _OWN.search(mount.source):
            continue
        name = _volume_at(mount.source, storage)
        yield Mount(
            kind=MountKind.VOLUME if name else MountKind.BIND,
            source=mount.source,
            destination=mount.destination,
            name=name,
            driver="local" if name else "",
            options=mount.options,
            writable="ro" not in mount.options,
        )


def _volume_at(source: str, storage: str) -> str:
    """Return the name of the volume whose data are at a path, "" if there is none."""
    path, volumes = PurePosixPath(source), PurePosixPath(storage or "/nowhere", "volumes")
    if not path.is_relative_to(volumes):
        return ""
    parts = path.relative_to(volumes).parts
    return parts[0] if len(parts) > 1 and parts[1] == "_data" else ""
