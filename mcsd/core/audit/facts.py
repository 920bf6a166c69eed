"""The facts of an audit, from the engine, the kernel, the disk and mcsd, as plain values.

A fact that could not be determined is `None` or empty. No rule may take that for a "no": what was not seen is
reported as unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mcsd.core.containers import CONTAINERD, DOCKER, RUN, full_name, title_of


class Sort(StrEnum):
    """What a mount's source is on the host."""

    DIRECTORY = "directory"
    FILE = "file"
    SOCKET = "socket"
    DEVICE = "device"
    OTHER = "other"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class AuditedMount:
    """One mount of a container. `real` is its source with links resolved, "" if that does not exist."""

    source: str
    destination: str
    writable: bool = True
    kind: str = "bind"
    real: str = ""
    sort: Sort = Sort.UNKNOWN


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """A container as the engine's inspect shows it. Limits in bytes and processes, None for no limit.

    `engine` is the engine's name in the configuration, `kind` which program it is, for a run `RUN`.
    Capabilities are upper-case names without `CAP_`; "ALL" stands for all. Modes are the engine's own words.
    """

    id: str
    name: str
    running: bool
    image: str = ""
    user: str = ""
    privileged: bool = False
    cap_add: frozenset[str] = frozenset()
    cap_drop: frozenset[str] = frozenset()
    pid_mode: str = ""
    ipc_mode: str = ""
    network_mode: str = ""
    uts_mode: str = ""
    userns_mode: str = ""
    security_options: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memory: int | None = None
    processes: int | None = None
    mounts: tuple[AuditedMount, ...] = ()
    engine: str = DOCKER
    kind: str = DOCKER

    @property
    def full_name(self) -> str:
        """The name, with the engine's before it unless that is Docker, or mcsd itself."""
        return full_name(self.name, self.engine)

    @property
    def program(self) -> str:
        """The command that shows the settings."""
        return "mcsctl show" if self.has_no_settings else f"{self.kind} inspect"

    @property
    def has_no_settings(self) -> bool:
        """Whether mcsd alone describes it: a run, or a task of containerd's."""
        return self.kind in {CONTAINERD, RUN}

    @property
    def title(self) -> str:
        """Who has the container, as a word in a sentence."""
        return title_of(self.engine)

    def security_option(self, key: str) -> str | None:
        """Return the value of `KEY=VALUE` or `KEY:VALUE`, "" for the bare key, None if it is not there."""
        found = None
        for option in self.security_options:
            word, _, value = option.replace(":", "=", 1).partition("=")
            found = value if word == key else found
        return found

    @property
    def keeps_privileges(self) -> bool:
        """Whether the settings ask for no-new-privileges."""
        return self.security_option("no-new-privileges") in {"", "true"}


class Seccomp(StrEnum):
    """`Seccomp:` of proc_pid_status(5)."""

    OFF = "off"
    STRICT = "strict"
    FILTER = "filter"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A container's processes as the kernel shows them.

    `seccomp`, `no_new_privileges`, `bounding` and `shared` are the first process's; `effective` is what any
    of them has; `root_inside` whether any is user 0 as the container sees it, `root_outside` as the host
    does. `shared` names the namespaces that are the host's own (`/proc/PID/ns`), None where they could not
    be read.
    """

    seccomp: Seccomp
    no_new_privileges: bool
    bounding: frozenset[str]
    effective: frozenset[str]
    root_inside: bool
    root_outside: bool
    shared: frozenset[str] | None = None
    memory: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class VolumeContents:
    """What a volume contains: the first few paths of each kind, and how many inodes were examined.

    `suid` are executable files with the set-user-ID or set-group-ID bit; `writable` what everybody may write,
    except directories with the sticky bit. `complete` is False if the search ended at its limit.
    """

    source: str
    suid: tuple[str, ...] = ()
    suid_count: int = 0
    writable: tuple[str, ...] = ()
    writable_count: int = 0
    seen: int = 0
    complete: bool = True
    error: str = ""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One reason that mcsd gives about a container's isolation: a code, a sentence, what to do."""

    code: str
    text: str
    hint: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What mcsd proves about a container: `isolated` is its verdict, None if it has no process to judge."""

    isolated: bool | None
    level: str = ""
    missing: tuple[Shortfall, ...] = ()
    weakened: tuple[Shortfall, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """All that is known of one container; `unseen` says why the kernel's side is missing."""

    settings: ContainerSettings
    kernel: Kernel | None = None
    contents: tuple[VolumeContents, ...] = ()
    proof: Proof | None = None
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address on which the engine serves its API.

    `verifies` is whether clients must show certificates.
    """

    address: str
    encrypts: bool
    verifies: bool


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts about the host. `silent` is why mcsd gave no proof, "" if it did.

    What is about Docker is None where mcsd looks after no Docker. `unlabelled` names the other engines that
    label no containers.
    """

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    labels_containers: bool | None = True
    filters_calls: bool | None = True
    remaps_users: bool | None = False
    live_restore: bool | None = False
    unlabelled: tuple[str, ...] = ()
    enforcing: bool | None = None
    silent: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one audit."""

    host: HostFacts
    containers: tuple[ContainerFacts, ...] = ()
