"""The outside world as mcsd sees it: one Protocol for each thing, with its contract.

Adapters in `mcsd.adapters` meet these, and so do the fakes of the tests; `tests/contracts` runs one
suite against both. Nothing here decides anything.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol

from mcsd.core.booleans import Standing
from mcsd.core.changes import Change, Contents
from mcsd.core.containers import Container, ContainerId, EngineEvent, EngineInfo
from mcsd.core.ground import News
from mcsd.core.host import SelinuxStatus as SelinuxStatus
from mcsd.core.interfaces import Network
from mcsd.core.notices import Notice
from mcsd.core.processes import Carrier
from mcsd.core.volumes import Identity, VolumeId
from mcsd.relabel.values import Progress, Root, Walk


class ContainerEngine(Protocol):
    """Docker, through its socket.

    Each method raises `EngineUnavailableError` when the socket is missing, refuses, hangs beyond its
    deadline or closes, and `EngineProtocolError` when an answer is not what Docker's API promises.
    """

    async def info(self) -> EngineInfo:
        """Ask what the engine is."""
        ...

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        ...

    async def inspect(self, container: str) -> Container:
        """Look at one container by id or name; raise `ContainerGoneError` when there is none."""
        ...

    async def glance(self, container: ContainerId) -> Container:
        """Look at one container without waiting for what the engine is doing with it.

        `inspect` waits while the engine starts the container; this does not, and sees less: name, mounts
        and labels, nothing about processes, options or modes. Raises `ContainerGoneError`.
        """
        ...

    def events(self) -> AsyncIterator[EngineEvent]:
        """Stream container events from now on, until cancelled.

        The subscription is in place when the first `__anext__` is awaited far enough to have a
        response; the adapter yields one event with the action "subscribed" and an empty container id
        then, so that a caller can list after subscribing. Events may be lost, doubled or reordered.
        Raises as all methods do when the stream breaks; malformed lines raise `EngineProtocolError`.
        """
        ...

    async def close(self) -> None:
        """Release every connection and thread."""
        ...


class Selinux(Protocol):
    """The host's policy and the labels of its processes. Every method is quick, blocking and thread-safe."""

    def status(self) -> SelinuxStatus:
        """Ask the kernel now."""
        ...

    def canonical(self, context: str) -> str:
        """Give the kernel's own spelling of a context; raise `SelinuxError` where the policy has none."""
        ...

    def file_context(self, file_type: str, level: str) -> str:
        """Give the canonical file context of a type, or of what the loaded policy calls it, at a level."""
        ...

    def process_context(self, pid: int) -> str | None:
        """Give a process's context, None when it is gone or there is no SELinux.

        Raises `SelinuxError` where the kernel refuses to show it.
        """
        ...

    def is_permissive(self, context: str) -> bool:
        """Tell whether the policy makes the domain of a process with this context permissive."""
        ...

    def separates(self, context: str, file_type: str) -> bool:
        """Tell whether categories keep a process with this context apart, by asking for two decisions.

        True where the policy lets it read and write files of a type at its own level, and neither at a level
        that is not comparable to its own: a domain need not be constrained by categories. `file_type` is as
        for `file_context`.
        """
        ...

    def default_label(self, path: str, mode: int) -> str | None:
        """Give the context that the host's own file contexts name for a path, None where they name none."""
        ...

    def close(self) -> None:
        """Give back what is held; idempotent."""
        ...


class BooleanSwitches(Protocol):
    """The booleans of the loaded policy. Blocking, quick and thread-safe.

    Each method but `substitute` raises `BooleanError` where there is no SELinux in the kernel, or the kernel
    refuses.
    """

    def names(self) -> frozenset[str]:
        """List the booleans that the policy has now."""
        ...

    def substitute(self, name: str) -> str:
        """Give what the policy's list of substitutions has for a name, or the name itself."""
        ...

    def standing(self, name: str) -> Standing:
        """Look at one boolean."""
        ...

    def standings(self) -> Mapping[str, Standing]:
        """Look at all booleans."""
        ...

    def change(self, values: Mapping[str, bool]) -> None:
        """Set all these and commit once; where one cannot be set, none is, and nothing stays pending."""
        ...


class PolicyNews(Protocol):
    """What the kernel announces about SELinux: hints, which may be lost or doubled."""

    async def open(self) -> None:
        """Begin to listen; raise `SelinuxError` where the kernel has nothing to tell."""
        ...

    async def next(self) -> News:
        """Wait for the next announcement; raise `SelinuxError` when there will be none any more."""
        ...

    def close(self) -> None:
        """Stop listening; idempotent."""
        ...


class Lifeline(Protocol):
    """A process that is followed."""

    def release(self) -> None:
        """Stop following it; idempotent."""
        ...


class Lifelines(Protocol):
    """Knows the moment a process ends. Call it from the event loop's thread."""

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> Lifeline | None:
        """Call `ended` once when the process ends; None where that process of that container is not there."""
        ...


class Networks(Protocol):
    """Containers' network interfaces as the host sees them. Blocking, thread-safe."""

    def network_of(self, pid: int, mode: str) -> Network:
        """Look at the network of a running container; `mode` is the engine's word for it.

        Where the kernel cannot be asked, the answer's `error` says why.
        """
        ...


class Processes(Protocol):
    """Everybody who runs on this host. Blocking, thread-safe."""

    def carriers(self) -> tuple[Carrier, ...]:
        """List the processes whose level has categories, by pid; `()` where there is no SELinux.

        A process that ends while it is looked at is left out. Raises `SelinuxError` where a process's label
        may not be read, because leaving it out would say that nobody carries it.
        """
        ...


class VolumeEngine(Protocol):
    """Labels on disk. Blocking, thread-safe; see `mcsd.relabel` for how it keeps promises 3 to 6.

    Raises `VolumeRefusedError` where a rule forbids the volume, and `VolumeFailedError` where it cannot be
    opened, is not the one that was named, or the walk cannot go on. A walk that is broken off by
    `cancelled` returns with `complete` False.
    """

    def examine(self, path: str, *, allowed: Collection[str] = ()) -> Root:
        """Open a volume's root and judge what was opened; `allowed` are paths an explicit rule names."""
        ...

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """Give the identity that a volume has now, where its device has another number since; else the
        one that was given. Raises nothing."""
        ...

    def relabel(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """Write `target` on everything in scope, originals first, root last."""
        ...

    def restore(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """Put the originals back where the present label is one that mcsd wrote."""
        ...

    def verify(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        *,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """Count what does not carry `target`, without writing."""
        ...

    def forget(self, volume: VolumeId) -> None:
        """Drop the originals of a volume that has them back; idempotent."""
        ...


class Ledger(Protocol):
    """Durable memory: grants, volumes, claims, reservations. One writer. Blocking; call it from one thread.

    Raises `LedgerError` and its kinds. After `apply` has returned, the changes survive `kill -9` and loss
    of power; when it raises, none of them happened.
    """

    def load(self) -> Contents:
        """Read everything that is live, free grants left out."""
        ...

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all the changes durable, or none."""
        ...

    def close(self) -> None:
        """Close the database; idempotent."""
        ...


class Journal(Protocol):
    """Where notices go: journald in production."""

    def emit(self, notice: Notice) -> None:
        """Write one entry; never raises for a journal that is not there, never blocks for long."""
        ...


class Clock(Protocol):
    """Time as a parameter."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...
