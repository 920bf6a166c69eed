"""Mounts that show a container more than its own files, and can weaken everybody's isolation.

mcsd does not label these (`mcsd.core.protected`), so no category limits what a container reaches through
them. What does limit it is judged here, from the strongest to nothing:

- policy: the container is denied the root of the mount, so nothing can be reached through it;
- categories: other containers' volumes carry their own, whatever path leads to them;
- types only: the root is accessible, and each file's type decides about what is inside;
- nothing: the container is unconfined, or SELinux denies nothing.

The last two weaken isolation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from mcsd.core.containers import Container, Mount, MountKind
from mcsd.core.grants import Grant
from mcsd.core.protected import Reach
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import ClaimMode


class Weak(StrEnum):
    """Stable codes for what a mount shows, the most serious first; part of the API."""

    HOST_ROOT = "host-root"
    ENGINE_SOCKET = "engine-socket"
    ENGINE_STORAGE = "engine-storage"
    DEVICES = "devices"
    PROCESSES = "host-processes"
    KERNEL = "kernel-interfaces"
    OTHERS = "others-volumes"


class Barrier(StrEnum):
    """What limits the container's access to what a mount shows; part of the API."""

    POLICY = "policy"
    CATEGORIES = "categories"
    TYPES = "types"
    NOTHING = "nothing"

    @property
    def weakens(self) -> bool:
        """Whether it is weaker than isolation by categories."""
        return self in {Barrier.TYPES, Barrier.NOTHING}


@dataclass(frozen=True, slots=True)
class Showing:
    """Places that a mount shows if it is one of them, contains one, or (for a tree) is inside one."""

    what: Weak
    reach: Reach
    paths: tuple[str, ...]


SHOWING: tuple[Showing, ...] = (
    Showing(Weak.HOST_ROOT, Reach.ITSELF, ("/",)),
    Showing(
        Weak.ENGINE_SOCKET,
        Reach.ITSELF,
        (
            "/run/docker.sock",
            "/run/podman/podman.sock",
            "/run/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/libvirt/libvirt-sock",
        ),
    ),
    Showing(Weak.DEVICES, Reach.ITSELF, ("/dev",)),
    Showing(Weak.PROCESSES, Reach.ITSELF, ("/proc",)),
    Showing(Weak.KERNEL, Reach.TREE, ("/sys", "/proc/sys")),
)
"""The engines' storage is taken from `mcsd.core.protected.PLACES`."""

_ABOUT = {
    Weak.HOST_ROOT: "the host's root directory, and everything in it",
    Weak.ENGINE_SOCKET: "the socket of a container engine, whose user can do everything on the host",
    Weak.ENGINE_STORAGE: "an engine's storage: images, and other containers' files and logs",
    Weak.DEVICES: "the host's devices",
    Weak.PROCESSES: "all processes of the host",
    Weak.KERNEL: "settings of the host's kernel",
}

_BEHIND = {
    Barrier.POLICY: "the policy denies it even the first look",
    Barrier.CATEGORIES: "the kernel denies it what carries their categories",
    Barrier.TYPES: "the policy lets it in, and each file's type decides about the rest; no category does",
    Barrier.NOTHING: "nothing holds it back",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that a mount shows: what kind, and which place of the host."""

    what: Weak
    place: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Where a mount's source is, by identity. `path` has links resolved; `label` is its root's, if any.

    `ruled` are those of the paths asked about that are the source or contain it, the nearest first. `mode` is
    the root's st_mode, 0 if unknown. `open` says whether the policy allows the container's process to access
    the root, None if that was not asked.
    """

    path: str
    ruled: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = ()
    label: str | None = None
    mode: int = 0
    open: bool | None = None


@dataclass(frozen=True, slots=True)
class Weakness:
    """One mount that shows more than the container's own files, and what limits access to it."""

    what: Weak
    barrier: Barrier
    source: str
    destination: str
    text: str
    hint: str = ""


def barrier_of(survey: Survey, *, is_confined: bool) -> Barrier:
    """Return what limits a container's access to what one of its mounts shows."""
    if not is_confined:
        return Barrier.NOTHING
    if survey.open is False:
        return Barrier.POLICY
    is_socket = any(one == Shown(Weak.ENGINE_SOCKET, survey.path) for one in survey.shown)
    return Barrier.NOTHING if survey.open and is_socket else Barrier.TYPES


def weaknesses(
    container: Container,
    grant: Grant | None,
    surveys: Mapping[str, Survey],
    cache: StateCache,
    *,
    is_confined: bool,
) -> tuple[Weakness, ...]:
    """Judge each mount of a container that shows more than its own files, by destination.

    A mount that mcsd labels for the container is its own, and is skipped.
    """
    found: list[Weakness] = []
    for mount in sorted(container.mounts, key=lambda one: one.destination):
        survey = surveys.get(mount.destination)
        claim = cache.claim(grant.id, mount.destination) if grant else None
        if survey is None or (claim is not None and claim.mode.is_labelled):
            continue
        barrier = barrier_of(survey, is_confined=is_confined)
        shown = _most(survey.shown, mount)
        found += [_weakness(mount, barrier, one.what, _ABOUT[one.what]) for one in shown]
        others = () if shown and shown[0].what is Weak.HOST_ROOT else _others(container, survey, cache)
        if others:
            barrier = Barrier.CATEGORIES if is_confined else Barrier.NOTHING
            found.append(_weakness(mount, barrier, Weak.OTHERS, f"volumes of {', '.join(others)}"))
    return tuple(found)


def _most(shown: Iterable[Shown], mount: Mount) -> tuple[Shown, ...]:
    """Return each kind once; only the root directory if that is shown."""
    kinds: dict[Weak, Shown] = {}
    for one in shown:
        # A named volume's directory is inside the engine's storage, but does not show the rest of it.
        if mount.kind is not MountKind.VOLUME or one.what is not Weak.ENGINE_STORAGE:
            kinds.setdefault(one.what, one)
    if Weak.HOST_ROOT in kinds:
        return (kinds[Weak.HOST_ROOT],)
    return tuple(kinds[what] for what in Weak if what in kinds)


def _others(container: Container, survey: Survey, cache: StateCache) -> tuple[str, ...]:
    """Name the holders of private and group volumes above or below a mount."""
    names = []
    for volume in (*cache.volumes_at(survey.path), *cache.volumes_around(survey.path)):
        for claim in cache.claims_on(volume.id):
            holder = cache.grant(claim.grant)
            is_own = claim.mode in {ClaimMode.PRIVATE, ClaimMode.GROUP}
            if holder and holder.state.is_living and is_own and holder.container != container.id:
                names.append(holder.name)
    return tuple(dict.fromkeys(names))


def _weakness(mount: Mount, barrier: Barrier, what: Weak, about: str) -> Weakness:
    way = "" if mount.writable else ", read-only"
    return Weakness(
        what=what,
        barrier=barrier,
        source=mount.source,
        destination=mount.destination,
        text=f"{mount.source} shows it {about}{way}: {_BEHIND[barrier]}",
        hint=_hint(barrier, what),
    )


def _hint(barrier: Barrier, what: Weak) -> str:
    if not barrier.weakens:
        return ""
    if what is Weak.ENGINE_SOCKET:
        return "take the socket out, or give it through a proxy that lets only some requests pass"
    return "mount the part of it that the container needs"
