"""The outside world as mcsd sees it: one Protocol for each thing, with its contract.

Adapters in `mcsd.adapters` implement these, and so do the fakes of the tests; `tests/contracts` runs one
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
from mcsd.core.fleet.storages import SharedMount
from mcsd.core.fleet.values import Reading, Swap
from mcsd.core.host import SelinuxStatus as SelinuxStatus
from mcsd.core.interfaces import Network
from mcsd.core.labels import Context, Label, Level
from mcsd.core.lives import ProcessLife, UnitLife
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
        """Return what the engine is."""
        ...

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        ...

    async def inspect(self, container: str) -> Container:
        """Inspect one container by id or name; raise `ContainerGoneError` if there is none."""
        ...

    async def list_one(self, container: ContainerId) -> Container:
        """Return one container without waiting for what the engine is doing with it.

        `inspect` waits while the engine starts the container; this does not, and has less: name, mounts and
        labels, nothing about processes, options or modes. Raises `ContainerGoneError`.
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
        """Return the current status from the kernel."""
        ...

    def canonical(self, context: str) -> str:
        """Return the kernel's spelling of a context; raise `SelinuxError` if the policy does not have it."""
        ...

    def file_context(self, file_type: str, level: str) -> Context:
        """Return the file context of a type, or of its name in the loaded policy, at a level; raise
        `SelinuxError` if the policy does not accept it."""
        ...

    def container_domain(self, domain: str) -> Context:
        """Return the context that the policy has for containers' processes, at `s0`, with another type if
        `domain` names one.

        Raises `SelinuxError` if the policy does not accept it, or there is no SELinux.
        """
        ...

    def process_context(self, pid: int) -> Label | None:
        """Return a process's context, None when it is gone or there is no SELinux.

        Raises `SelinuxError` if the kernel refuses to show it.
        """
        ...

    def next_context(self, pid: int) -> Label | None:
        """Return the context that a process has set for its next execve(2), None if it has set none, is gone,
        or there is no SELinux.

        A runtime's first process sets one: with that call it gets the container's context, and has the
        runtime's until then. Raises as `process_context` does.
        """
        ...

    def is_permissive(self, context: Label) -> bool:
        """Tell whether the policy makes the domain of a process with this context permissive."""
        ...

    def separates(self, context: Label, file_type: str) -> bool:
        """Tell whether categories constrain a process with this context, by two access decisions.

        True if the policy lets it read and write files of a type at its own level, but neither at a level
        that is not comparable: not every domain is constrained by categories. `file_type` is as for
        `file_context`. Raises `LabelSyntaxError` for a context that cannot be read.
        """
        ...

    def lets_in(self, context: Label, label: str, mode: int) -> bool:
        """Tell whether the policy lets a process access a file with a label and a kind (st_mode).

        Access means to search a directory, to write to a socket, to read anything else. Raises `SelinuxError`
        if the kernel cannot tell.
        """
        ...

    def may_relabel(self, label: str) -> bool:
        """Tell whether this process may relabel a file from this label, according to the loaded policy.

        True if nothing prevents it (SELinux is disabled or permissive, or its domain is), and for a label
        that is invalid in the policy, which the kernel treats as unlabeled.
        """
        ...

    def label_of_new(self, process: Context, directory: Context) -> Label:
        """Return the context of a new file from a process with one context in a directory with another."""
        ...

    def default_label(self, path: str, mode: int) -> str | None:
        """Return the context from the host's file contexts for a path, None if there is none."""
        ...

    def close(self) -> None:
        """Release all resources; idempotent."""
        ...


class BooleanSwitches(Protocol):
    """The booleans of the loaded policy. Blocking, quick and thread-safe.

    Each method except `substitute` raises `BooleanError` if there is no SELinux in the kernel, or the kernel
    refuses.
    """

    def names(self) -> frozenset[str]:
        """List the booleans in the loaded policy."""
        ...

    def substitute(self, name: str) -> str:
        """Return the substitute for a name in the policy's list, or the name itself."""
        ...

    def standing(self, name: str) -> Standing:
        """Read one boolean."""
        ...

    def standings(self) -> Mapping[str, Standing]:
        """Read all booleans."""
        ...

    def change(self, values: Mapping[str, bool]) -> None:
        """Set all these and commit once; if one cannot be set, none is, and nothing stays pending."""
        ...


class NetlinkEvents(Protocol):
    """The kernel's announcements about SELinux: hints, which may be lost or duplicated."""

    async def open(self) -> None:
        """Begin to listen; raise `SelinuxError` if the kernel has no announcements."""
        ...

    async def next(self) -> NetlinkEvent:
        """Wait for the next announcement; raise `SelinuxError` if there will be no more."""
        ...

    def close(self) -> None:
        """Stop listening; idempotent."""
        ...


class PidWatcher(Protocol):
    """A followed process or unit."""

    def release(self) -> None:
        """Stop following it; idempotent."""
        ...


class PidWatchers(Protocol):
    """Notices when processes end. Call it from the event loop's thread."""

    def follow(self, pid: int, container: ContainerId, ended: Callable[[], None]) -> PidWatcher | None:
        """Call `ended` once when the process ends; None if that container's process does not exist.

        Raises `HostError` if it cannot be followed; then its end is only known from the engine."""
        ...


class ProcessLives(Protocol):
    """Processes as lives. Call it from the event loop's thread; nothing blocks."""

    def identify(self, pid: int) -> ProcessLife | None:
        """Return the process that has this pid now; None if there is none.

        Raises `HostError` if the kernel refuses to tell."""
        ...

    def follow(self, life: ProcessLife, ended: Callable[[], None]) -> PidWatcher | None:
        """Call `ended` once when the process ends; None if it has ended already, whoever has its pid now.

        The call is a hint: following it again says whether it is over. Raises `HostError` if it cannot be
        followed.
        """
        ...


class UnitLives(Protocol):
    """Starts of systemd's units as lives. Call it from the event loop's thread; nothing blocks."""

    def identify(self, name: str) -> UnitLife | None:
        """Return the present start of a unit; None if it is not active, or systemd does not run.

        Raises `HostError` if the system refuses to tell."""
        ...

    def follow(self, life: UnitLife, ended: Callable[[], None]) -> PidWatcher | None:
        """Call `ended` once when that start of the unit has ended; None if it has ended already.

        The call is a hint: following it again says whether it is over. Raises `HostError` if it cannot be
        followed.
        """
        ...


class Networks(Protocol):
    """Containers' network interfaces as the host sees them. Blocking, thread-safe."""

    def network_of(self, pid: int, mode: str) -> Network:
        """Return the network of a running container; `mode` is the engine's network mode.

        If the kernel cannot be asked, the result's `error` says why.
        """
        ...


class Processes(Protocol):
    """The processes of this host. Blocking, thread-safe."""

    def process_levels(self) -> tuple[ProcessLevel, ...]:
        """List the processes whose level has categories, by pid; `()` without SELinux.

        A process that ends meanwhile is left out. Raises `SelinuxError` if a process's label may not be read,
        because leaving it out would mean that its level is not in use.
        """
        ...


class VolumeEngine(Protocol):
    """Labels on disk. Blocking, thread-safe; see `mcsd.relabel` for how it keeps promises 3 to 6.

    Raises `VolumeRefusedError` if a rule forbids the volume, and `VolumeFailedError` if it cannot be opened,
    is not the given one, or the walk cannot continue. A walk that is ended by `cancelled` returns with
    `complete` False.
    """

    walks_in: str
    """The language of the loop over a volume, with the reason where it is the slower one, for people."""

    def examine(self, path: str, *, allowed: Collection[str] = (), storage: Collection[str] = ()) -> Root:
        """Open a volume's root and check it against the rules; `allowed` are paths that an explicit rule
        names.

        `storage` are storage paths that engines report: protected like the known ones.
        """
        ...

    def survey(self, path: str, *, within: Sequence[str] = (), storage: Collection[str] = ()) -> Survey:
        """Return where a mount's source is, and what it shows of the host.

        `within` are paths to compare with by identity: the source may be one or inside one. Raises nothing.
        """
        ...

    def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths that lead to what is at `top`, or below it, under whatever names.

        Links are followed, and two mounts of the same directory are one. A path that no longer exists is
        compared by name. Raises nothing.
        """
        ...

    def identify(self, volume: VolumeId, path: str, identity: Identity) -> Identity:
        """Return a volume's current identity if its device number has changed, else the given one. Raises
        nothing."""
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
        """Write `target` to everything in scope, originals first, root last."""
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
        """Restore the originals of files whose current label is one that mcsd wrote.

        `target` and `was_complete` are from the ledger: what was to be written last, and whether all of it
        was. If the originals are lost, and a file may carry such a label, this raises `VolumeFailedError`.
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
        """Write `target` to what is at these paths below the root, and to everything below directories.

        The rest of the volume carries it already.
        """
        ...

    def give_back(
        self, volume: VolumeId, path: str, identity: Identity, *, cancelled: threading.Event | None = None
    ) -> Walk:
        """Restore the originals of something that was moved out of a volume, and is at `path` now."""
        ...

    def forget(self, volume: VolumeId) -> None:
        """Delete the originals of a restored volume; idempotent."""
        ...


class DiskWatch(Protocol):
    """Changes of labels in volumes, as reported by the kernel: hints, which may be lost or duplicated.

    This process's own changes are not reported. Call it from the event loop's thread; nothing blocks.
    """

    async def watch(
        self, volume: VolumeId, path: str, identity: Identity, target: str, *, with_files: bool = False
    ) -> Watched:
        """Watch a volume, or change the target of its watch, which is the expected context.

        When this returns, all later changes are reported. A volume that is not the given one, is too large,
        or is on a file system without events is not watched, and the result says why. New directories are
        reported; new files only `with_files`, if the policy may give them another label. Raises nothing.
        """
        ...

    def release(self, volume: VolumeId) -> None:
        """Stop watching a volume; idempotent."""
        ...

    async def next(self) -> tuple[WatchEvent | Loss, ...]:
        """Wait for the next changes, and return what does not carry its volume's target.

        Of what was moved out, return what still carries it. Several observations of one file are in order.
        """
        ...

    def mounts_inside(self, volume: VolumeId) -> tuple[str, ...]:
        """Return the mount points inside a watched volume: quick, from the last read of all mounts."""
        ...

    def directories(self) -> int:
        """Return the number of watched directories."""
        ...

    def close(self) -> None:
        """Stop watching everything; idempotent."""
        ...


class FleetStore(Protocol):
    """The store that the hosts of a fleet have in common. Blocking, thread-safe.

    Each method raises `FleetError` if the store does not answer, or with something that makes no sense. A
    transaction may have been done, or be done later, whatever was answered.
    """

    def read(self) -> Reading:
        """Return everything that is in the store at one moment, not earlier than the call."""
        ...

    def swap(self, swap: Swap) -> bool:
        """Do a transaction as a whole or not at all, and return whether it is said to be done."""
        ...


class SharedStorages(Protocol):
    """Labelled file systems that other hosts can mount. Blocking, thread-safe."""

    def shared(self, paths: Collection[str]) -> Mapping[str, SharedMount]:
        """Return those of the paths that are on such a file system, with its mount; raises `OSError`."""
        ...


class FileScanner(Protocol):
    """Scans the host's own file systems. `scan` and `level_at` block; thread-safe."""

    def places(self, top: str) -> tuple[str, ...]:
        """Return the directories to scan for everything below a path, "" for all: one per mount."""
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
        """Scan one place, and call `met` with path, label and level of files with a container's level.

        `told` is called with the current directory, the number of inodes read, and the number that could not
        be read. A scan continues `after` such a directory. Takes a `share` of a processor. False if it was
        stopped. Raises `OSError` if the place cannot be opened.
        """
        ...

    def level_at(self, path: str) -> Level | None:
        """Return the level of the file at a path, None if it has none; does not follow a link at its end.

        Raises `OSError` if it cannot be read."""
        ...


class StrayStore(Protocol):
    """The results of scans, on disk. Blocking."""

    def load(self) -> tuple[Catch, Mapping[Level, Stray]]:
        """Return the results, and those of an unfinished scan so far; raises nothing: if they cannot be read,
        the results say that they are lost."""
        ...

    def save(self, catch: Catch, caught: Mapping[Level, Stray]) -> None:
        """Store the results durably; if that raises `OSError`, the old ones stay."""
        ...


class Ledger(Protocol):
    """Durable memory: grants, volumes, claims, reservations. One writer. Blocking; call it from one thread.

    Raises `LedgerError` and its kinds. After `apply` has returned, the changes survive `kill -9` and loss
    of power; when it raises, none of them happened.
    """

    def load(self) -> LedgerContents:
        """Return everything that is live, without free grants."""
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
        """Write one entry; never raises if there is no journal, never blocks for long."""
        ...


class Clock(Protocol):
    """Time as a parameter."""

    def now(self) -> float:
        """Return the seconds since the epoch: wall-clock time, which may be set forward and back."""
        ...

    def steady(self) -> float:
        """Return the seconds of a monotonic clock, for durations, which also counts while the host is
        suspended.

        It starts again with each boot.
        """
        ...
