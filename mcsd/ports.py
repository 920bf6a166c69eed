"""The outside world as mcsd sees it: one Protocol for each thing, with its contract.

Adapters in `mcsd.adapters` meet these, and so do the fakes of the tests; `tests/contracts` runs one
suite against both. Nothing here decides anything.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol

from mcsd.core.booleans import Standing
from mcsd.core.changes import Change, LedgerContents
from mcsd.core.containers import Container, ContainerId, EngineEvent, EngineInfo
from mcsd.core.disk import Loss, Watched, WatchEvent
from mcsd.core.exposure import Survey
from mcsd.core.host import SelinuxStatus as SelinuxStatus
from mcsd.core.interfaces import Network
from mcsd.core.labels import Level
from mcsd.core.notices import Notice
from mcsd.core.processes import ProcessLevel
from mcsd.core.selinux_state import NetlinkEvent
from mcsd.core.strays import Catch, Stray
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import Progress, Root, Walk


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

    async def list_one(self, container: ContainerId) -> Container:
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
        """Return the kernel's own spelling of a context; raise `SelinuxError` where the policy has none."""
        ...

    def file_context(self, file_type: str, level: str) -> str:
        """Return the canonical file context of a type, or of what the loaded policy calls it, at a level."""
        ...

    def process_context(self, pid: int) -> str | None:
        """Return a process's context, None when it is gone or there is no SELinux.

        Raises `SelinuxError` where the kernel refuses to show it.
        """
        ...

    def next_context(self, pid: int) -> str | None:
        """Return the context that a process has asked for its next execve(2), None where it has asked for
        none, is gone, or there is no SELinux.

        A runtime's first process has: it becomes the container's with that call, and carries the runtime's
        own context until then. Raises as `process_context` does.
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

    def lets_in(self, context: str, label: str, mode: int) -> bool:
        """Tell whether the policy lets a process of a context in at a file of a label and a kind (st_mode).

        That is to search a directory, to write to a socket, to read anything else. Raises `SelinuxError`
        where the kernel cannot say.
        """
        ...

    def may_relabel(self, label: str) -> bool:
        """Tell whether the process itself may take a label off a file, as far as the loaded policy says so.

        Where nothing keeps it (SELinux is disabled or permissive, its domain is) it may; so it may with a
        label that the policy does not know, which the kernel takes for none.
        """
        ...

    def label_of_new(self, process: str, directory: str) -> str:
        """Return the context of a file that a process with one context makes in a directory with another."""
        ...

    def default_label(self, path: str, mode: int) -> str | None:
        """Return the context that the host's own file contexts name for a path, None where they name none."""
        ...

    def close(self) -> None:
        """Release what is held; idempotent."""
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
        """Return what the policy's list of substitutions has for a name, or the name itself."""
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


class NetlinkEvents(Protocol):
    """What the kernel announces about SELinux: hints, which may be lost or doubled."""

    async def open(self) -> None:
        """Begin to listen; raise `SelinuxError` where the kernel has nothing to tell."""
        ...

    async def next(self) -> NetlinkEvent:
        """Wait for the next announcement; raise `SelinuxError` when there will be none any more."""
        ...

    def close(self) -> None:
        """Stop listening; idempotent."""
        ...


class PidWatcher(Protocol):
    """A process that is followed."""

    def release(self) -> None:
        """Stop following it; idempotent."""
        ...


class PidWatchers(Protocol):
    """Knows the moment a process ends. Call it from the event loop's thread."""

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
        """Call `ended` once when the process ends; None where that process of that container is not there.

        Raises `HostError` where it cannot be followed: its end is known from the engine then."""
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

    def process_levels(self) -> tuple[ProcessLevel, ...]:
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

    def examine(self, path: str, *, allowed: Collection[str] = (), storage: Collection[str] = ()) -> Root:
        """Open a volume's root and judge what was opened; `allowed` are paths an explicit rule names.

        `storage` is where engines say that theirs is: protected as what is known of them without a word.
        """
        ...

    def survey(self, path: str, *, within: Sequence[str] = (), storage: Collection[str] = ()) -> Survey:
        """Find out where a mount's source is, and what it shows of the host.

        `within` are paths that it may be, or lie in, by identity. Raises nothing.
        """
        ...

    def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths that lead to what is at `top`, or below it, by whatever names.

        Links are followed, and what is mounted at two places is one. What is not there any more goes by its
        name. Raises nothing.
        """
        ...

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """Return the identity that a volume has now, where its device has another number since; else the
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
        target: str,
        *,
        was_complete: bool,
        progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """Put the originals back where the present label is one that mcsd wrote.

        `target` and `was_complete` are the ledger's: what was to be written last, and whether all of it was.
        Where the originals are lost, and anything may carry such a label, this raises `VolumeFailedError`.
        """
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

    def amend(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        target: str,
        names: Collection[str],
        *,
        cancelled: threading.Event | None = None,
    ) -> Walk:
        """Write `target` on what is at these paths below the root, and below those that are directories.

        The rest of the volume carries it already.
        """
        ...

    def give_back(
        self, volume: VolumeId, path: str, identity: Identity, *, cancelled: threading.Event | None = None
    ) -> Walk:
        """Put the originals back on something that was moved out of a volume, and is at `path` now."""
        ...

    def forget(self, volume: VolumeId) -> None:
        """Drop the originals of a volume that has them back; idempotent."""
        ...


class DiskWatch(Protocol):
    """What others do to the labels in volumes, as the kernel tells it: hints, which may be lost or doubled.

    What this process writes itself is not told. Call it from the event loop's thread; nothing blocks.
    """

    async def watch(
        self, volume: VolumeId, path: str, identity: Identity, target: str, *, with_files: bool = False
    ) -> Watched:
        """Take a volume under watch, or watch it for another target: a context that is as it should be.

        When this returns, all that happens later is told. One that is not what was named, is too large, or
        lies on a file system that tells nothing is not watched, and the answer says why. New directories
        are looked at; new files are `with_files`, where a policy may give them another label. Raises nothing.
        """
        ...

    def release(self, volume: VolumeId) -> None:
        """Stop watching a volume; idempotent."""
        ...

    async def next(self) -> tuple[WatchEvent | Loss, ...]:
        """Wait for what happens next, and give what carries something else than its volume's target.

        Of what has been moved out, what still carries it. Several sights of one thing are in order.
        """
        ...

    def mounts_inside(self, volume: VolumeId) -> tuple[str, ...]:
        """Where something is mounted inside a watched volume: quick, from the last look at all mounts."""
        ...

    def directories(self) -> int:
        """How many directories are watched."""
        ...

    def close(self) -> None:
        """Stop watching everything; idempotent."""
        ...


class FileScanner(Protocol):
    """Everything on the host's own file systems. `scan` and `level_at` block; thread-safe."""

    def places(self, top: str) -> tuple[str, ...]:
        """Return the directories to scan for everything below a path, "" for all: each one mount's."""
        ...

    def scan(
        self,
        place: str,
        *,
        after: str,
        share: float,
        told: Callable[[str, int, int], None],
        met: Callable[[str, str, Level], None],
        stopped: threading.Event,
    ) -> bool:
        """Go through one place, and call `met` with path, label and level of what has somebody's level.

        Goes on `after` a path that `told` was called with earlier: with the directory it has come to, and how
        many inodes it has seen and how many things it could not look at. Takes a `share` of a processor.
        False where it was stopped. Raises `OSError` where the place cannot be opened.
        """
        ...

    def level_at(self, path: str) -> Level | None:
        """Return the level on what is at a path, None where there is none; follows no link at its end.

        Raises `OSError` where that cannot be told."""
        ...


class StrayStore(Protocol):
    """What scans have found, on disk. Blocking."""

    def load(self) -> tuple[Catch, Mapping[Level, Stray]]:
        """Read what is known, and what an unfinished scan has found so far; raises nothing: where it cannot
        be read, the catch says that it is lost."""
        ...

    def save(self, catch: Catch, caught: Mapping[Level, Stray]) -> None:
        """Make it durable; raises `OSError`, and what was there stays."""
        ...


class Ledger(Protocol):
    """Durable memory: grants, volumes, claims, reservations. One writer. Blocking; call it from one thread.

    Raises `LedgerError` and its kinds. After `apply` has returned, the changes survive `kill -9` and loss
    of power; when it raises, none of them happened.
    """

    def load(self) -> LedgerContents:
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
        """Seconds since the epoch, for people: it may be set, forward and back."""
        ...

    def steady(self) -> float:
        """Seconds that only go forward, while the host sleeps too: a difference is how long something took.

        They begin anew when the host is started.
        """
        ...
