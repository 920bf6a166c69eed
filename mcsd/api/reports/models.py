"""The objects the socket answers with. Their JSON Schema is the API's documentation."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from mcsd.api.reports.answer import Answer, Count, Text
from mcsd.api.reports.networks import NetworkReport
from mcsd.core.blocked import Party
from mcsd.core.disk import Watching
from mcsd.core.exposure import Barrier, Weak
from mcsd.core.fleet.protocol import Trouble
from mcsd.core.grants import Origin
from mcsd.core.isolation import Why
from mcsd.core.lives import LifeKind
from mcsd.core.processes import Stage
from mcsd.core.snapshot import Work
from mcsd.core.volumes import ClaimMode, ClaimState


class ContainerState(StrEnum):
    """A container's hold on a level: its grant's state, `none` if it holds no level."""

    RESERVED = "reserved"
    ACTIVE = "active"
    IDLE = "idle"
    QUARANTINED = "quarantined"
    NONE = "none"


class VolumeState(StrEnum):
    """The state of a volume: that of its least advanced claim, or what is left after the last one."""

    PENDING = "pending"
    READY = "ready"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    UNMANAGED = "unmanaged"
    LINGERING = "lingering"
    RESTORING = "restoring"
    STRANDED = "stranded"


class PairState(StrEnum):
    """Who holds a level: a grant in one of its states, a group, or something outside the ledger."""

    RESERVED = "reserved"
    ACTIVE = "active"
    IDLE = "idle"
    QUARANTINED = "quarantined"
    GROUP = "group"
    FOREIGN = "foreign"


class Condition(StrEnum):
    """The condition of one line of the status."""

    GOOD = "good"
    BUSY = "busy"
    WARNING = "warning"
    BAD = "bad"


class ReasonReport(Answer):
    """One thing that keeps a container from being isolated."""

    code: Why
    text: Text
    hint: Text = Field(description="what to do about it")


class ConflictReport(Answer):
    """Another holder that should be separate from this one but is not."""

    name: Text
    level: str
    container: str | None = Field(description="its full id, if it is a container")


class WeaknessReport(Answer):
    """One mount that shows more than the container's own files, and what limits access to it."""

    code: Weak
    barrier: Barrier = Field(description="policy and categories hold; types and nothing weaken isolation")
    weakens: bool
    source: Text
    destination: Text
    text: Text
    hint: Text = Field(description="what to do about it; empty where it holds")


class NoteReport(Answer):
    """A remark about what a container's labels and options ask for."""

    subject: Text = Field(description="the label or option")
    text: Text
    hint: Text = Field(description="what to write instead; may be empty")
    misread: bool = Field(description="whether it says nothing to mcsd as it stands")


class LeftOutReport(Answer):
    """A file in a volume that the container cannot read, because a rule keeps its label."""

    path: Text = Field(description="on the host")
    code: str
    text: Text
    hint: Text = Field(description="what to do about it")


class DiskReport(Answer):
    """The labels on disk of a volume that is ready."""

    looked: datetime | None = Field(
        description="when all of it was last looked at and carried its label; null where that was not yet"
    )
    watching: Watching = Field(
        description="how changes since then become known: watched, at once; rounds, by looking at all of it "
        "from time to time; pending, as rounds until it is watched"
    )
    reason: Text = Field(description="why it cannot be watched; may be empty")
    drifted: Count = Field(description="what in it carries another label by now, and is being put right")


class ClaimReport(Answer):
    """A container's claim on the source of one of its mounts."""

    container: str | None = Field(description="full id; null for a container that is gone")
    name: Text = Field(description="the container's name")
    source: Text = Field(description="the host path as the engine names it")
    destination: Text = Field(description="the path inside the container")
    mode: ClaimMode
    state: ClaimState
    writable: bool
    reason: Text = Field(description="why it is not ready, shared, or left alone; may be empty")
    hint: Text = Field(description="what to do about it; may be empty")
    left_out: tuple[LeftOutReport, ...] = Field(
        description="what cannot be read although the claim is ready; a few, where there are many"
    )
    disk: DiskReport | None = Field(
        description="null while the claim is not ready, and where mcsd labels nothing"
    )


class ReadyCount(Answer):
    """Claims that mcsd labels for a container."""

    ready: Count
    total: Count
    partly: Count = Field(description="ready, but for what rules leave out")
    unmanaged: Count = Field(description="claims that mcsd leaves alone; not part of total")


class ContainerReport(Answer):
    """One container of an engine."""

    id: str = Field(description="the engine's full id")
    name: Text
    engine: str = Field(default="docker", description="the engine's name in the configuration")
    image: Text
    status: Text = Field(description="the engine's word: created, running, paused, exited…")
    running: bool
    pid: int | None
    state: ContainerState
    since: datetime | None = Field(description="when the present state began")
    level: str | None = Field(description="in the kernel's own spelling")
    origin: Origin | None = Field(description="who chose the level: the engine (adopted) or mcsd (assigned)")
    group: Text | None
    reservation: Text | None
    shares_with: Text | None = Field(description="the container whose level this one holds on purpose")
    isolated: bool | None = Field(
        description="null while it has no process of its own to keep apart: it does not run, starts, or ends"
    )
    stage: Stage | None = Field(
        description="starting: its first process is the runtime's still; ending: it is gone, and the engine "
        "has not said so yet; null while it does not run"
    )
    reasons: tuple[ReasonReport, ...] = Field(description="what is missing, most basic first")
    conflicts: tuple[ConflictReport, ...]
    weaknesses: tuple[WeaknessReport, ...] = Field(
        default=(), description="what its mounts show of the host and of other containers"
    )
    notes: tuple[NoteReport, ...] = Field(
        default=(), description="what cannot be understood in its labels, and what its options come to"
    )
    process: str | None = Field(description="the context its init process runs in")
    process_label: str = Field(description="what the engine was to run it as; empty: unconfined")
    volumes: ReadyCount
    claims: tuple[ClaimReport, ...] = Field(description="by destination")
    network: NetworkReport | None = Field(description="null while it does not run")
    settled: bool = Field(description="whether nothing was left to do when it was last looked at")
    seen: datetime = Field(description="when it was last looked at")
    error: Text = Field(description="why it could not be handled; may be empty")
    hint: Text


class ProgressReport(Answer):
    """A running walk over a volume."""

    path: Text
    work: Work
    started: datetime
    seen: Count = Field(description="inodes looked at so far")
    changed: Count
    skipped: Count
    expected: Count = Field(description="inodes the last walk met; 0: not known")


class VolumeReport(Answer):
    """A host directory or file that is bound into containers, or was and still carries their label."""

    path: Text
    id: str | None = Field(description="the ledger's name; null where nothing was labelled")
    device: int | None
    inode: int | None
    target: str | None = Field(description="the full context last intended")
    level: str | None
    state: VolumeState
    mode: ClaimMode | None = Field(description="null when nobody claims it any more")
    since: datetime | None
    inodes: Count = Field(description="inodes the last complete walk met")
    skipped: dict[str, int] = Field(description="inodes passed over, by reason")
    reason: Text = Field(description="why it is not ready; may be empty")
    hint: Text
    claims: tuple[ClaimReport, ...]
    progress: ProgressReport | None


class LifeReport(Answer):
    """What a reservation lasts as long as."""

    kind: LifeKind
    pid: int | None = Field(description="of the process, on the host")
    unit: Text | None = Field(description="the unit's full name")
    until: datetime | None
    text: Text = Field(description="the life in words")


class PairReport(Answer):
    """A level that is held."""

    level: str
    pair: str | None = Field(description="the level's categories when they are a pair")
    state: PairState
    origin: Origin | None
    container: str | None = Field(description="full id")
    name: Text = Field(description="the container's, reservation's or group's name, or a process's context")
    since: datetime | None
    group: Text | None
    reservation: Text | None
    shares_with: Text | None
    pid: int | None = Field(description="of a process outside all containers of mcsd's")
    engine: Text | None = Field(default=None, description="the engine that has the container, by its name")
    volumes: Count = Field(description="volumes that carry the level on this grant's behalf")
    reason: Text = Field(default="", description="what keeps a level in quarantine; empty for the others")
    holder: Text = Field(
        default="",
        description="the machine or container that a process belongs to, by the name of its control group",
    )
    life: LifeReport | None = Field(
        default=None, description="what the reservation lasts as long as; null: until it is released"
    )


class PairSummary(Answer):
    """How many pairs of the configured range are in which state."""

    total: Count
    free: Count
    granted: Count
    reserved: Count
    quarantined: Count
    foreign: Count
    configured: Count = Field(description="set aside by the configuration")
    elsewhere: Count = Field(
        default=0, description="not this host's: of a fleet's other hosts, or nobody's yet"
    )


class RunReport(Answer):
    """What a run has been given."""

    id: str = Field(description="`run-` and 32 hex digits; it is a container's everywhere else")
    name: Text
    level: str
    context: str | None = Field(
        description="what to execute the command in; null without SELinux in the kernel"
    )
    file_context: str | None = Field(
        description="the label of files that its command may write; null without SELinux in the kernel"
    )


class EventReport(Answer):
    """One message, as in the journal."""

    sequence: Count = Field(description="rises by one each, and starts again with the daemon")
    time: datetime
    kind: str
    message: Text
    priority: int = Field(ge=0, le=7, description="as in syslog(3): 3 error, 4 warning, 5 notice, 6 info")
    container: str | None
    fields: dict[str, str]


class LostReport(Answer):
    """A line of the event stream: this reader was too slow, and so many events were dropped."""

    lost: Count


class SelinuxReport(Answer):
    """The kernel's status of SELinux."""

    backend: str
    enabled: bool
    enforcing: bool
    mls: bool = Field(description="whether the loaded policy has levels")
    policy: str
    generation: int = Field(description="rises with each policy load")


class EngineReport(Answer):
    """An engine as it was last reached."""

    name: str = Field(default="docker", description="its name in the configuration")
    kind: str = Field(default="docker", description="which program it is: docker, podman or containerd")
    reachable: bool
    error: Text
    hint: Text
    version: str | None
    api_version: str | None
    labels_containers: bool | None = Field(description="whether it was started with selinux-enabled")
    storage_driver: str | None
    default_runtime: str | None
    gate: bool | None = Field(default=None, description="whether new containers start through the gate")
    containers: Count = Field(default=0, description="its containers that mcsd knows")


class ContainerSummary(Answer):
    """Numbers of containers. Isolated, not isolated, passing and not running add up to the total."""

    total: Count
    isolated: Count
    not_isolated: Count
    not_running: Count
    passing: Count = Field(description="starting or ending: there is no process to judge")
    in_conflict: Count
    weakened: Count = Field(default=0, description="have a mount that weakens everybody's isolation")
    failed: Count = Field(description="could not be handled")
    unsettled: Count = Field(description="something is still to do")


class CheckReport(Answer):
    """One line of the status."""

    subject: str
    condition: Condition
    text: Text
    hint: Text = Field(description="what to do next; empty where all is well")


class BlockedReport(Answer):
    """A call to the host that has not returned; everything that does not need it continues."""

    party: Party = Field(description="who is asked")
    name: Text = Field(description="which one: a volume's path, a process's number; empty where there is one")
    seconds: float = Field(ge=0, description="since when nothing was heard of it")
    text: Text
    hint: Text


class StatusReport(Answer):
    """The whole status."""

    version: str
    now: datetime
    started: datetime
    condition: Condition = Field(description="the worst of the checks")
    synced: bool = Field(
        description="whether all containers were looked at since the engines were last reached"
    )
    ledger_error: Text = Field(description="why the ledger cannot be written; empty when it can")
    selinux: SelinuxReport
    engine: EngineReport = Field(description="the first of the engines")
    engines: tuple[EngineReport, ...] = ()
    containers: ContainerSummary
    volumes: dict[VolumeState, int] = Field(description="volumes by state; states without any are left out")
    pairs: PairSummary | None
    checks: tuple[CheckReport, ...]
    work: tuple[ProgressReport, ...]
    blocked: tuple[BlockedReport, ...] = Field(description="what does not answer, the longest first")
    problems: tuple[EventReport, ...] = Field(description="the newest warnings and errors, newest first")


class HealthReport(Answer):
    """Whether mcsd can do its work."""

    condition: Condition
    version: str
    reasons: tuple[Text, ...] = Field(description="what is not well; each is a check's text")


class StorageReport(Answer):
    """A mount of labelled storage that other hosts may mount, with volumes on it."""

    path: Text = Field(description="where it is mounted")
    file_system: str
    source: Text = Field(description="its server or device")
    containers: tuple[Text, ...] = Field(description="who has volumes on it, by name")


class TreeReport(Answer):
    """A directory on shared storage that no container of another host has, unless at the same level."""

    path: Text = Field(description="where on the storage it is")
    file_system: str
    storage: Text = Field(description="what `[[fleet.storage]]` calls the storage; mostly empty")
    level: str
    holder: Text = Field(description="the container that claimed it, by name")
    disputed: bool = Field(description="whether another host has it as well: then neither labels it")


class MemberReport(Answer):
    """A host of the fleet, as the store has it."""

    name: Text
    blocks: Count = Field(description="how many blocks it holds")
    directories: Count = Field(default=0, description="how many directories on shared storage it has")
    operations: Count = Field(description="how many operations it has done; 0: it has not joined yet")
    generation: Count
    doubt: Text = Field(description="why it thinks that the store was restored; mostly empty")


class FleetStoreReport(Answer):
    """What this host holds of the pairs in a common store."""

    trouble: Trouble | None = Field(description="why nothing is taken or granted; null if all is well")
    grants: bool = Field(description="whether levels are granted from what it holds")
    blocks: str = Field(description="the blocks that are granted from, such as `0-3,7`")
    contested: str = Field(
        description="blocks that another host claims as well: nothing is granted from them"
    )
    pending: Count = Field(description="operations whose outcome is not known yet")
    fleet: str | None = Field(description="the fleet's id; null before this host has joined one")
    generation: Count | None = Field(description="rises with each recovery")
    cluster: str | None = Field(description="the store's identity")
    open: bool | None = Field(description="false while a recovery goes on; null if it was never read")
    answered: datetime | None = Field(description="when the store last answered")
    requests: Count = Field(description="requests to the store since mcsd started")
    members: tuple[MemberReport, ...]
    directories: tuple[TreeReport, ...] = Field(
        default=(), description="what this host has on shared storage, by path"
    )


class FleetReport(Answer):
    """How this host stands among those that mount the same labelled storage."""

    condition: Condition
    name: Text = Field(description="this host's name in the plan")
    hosts: tuple[Text, ...] = Field(description="all hosts of the plan; empty without one")
    range: str = Field(description="the categories that pairs are chosen from")
    planned: str | None = Field(
        description="the range that the plan has for this host; null if there is none"
    )
    own: bool | None = Field(
        description="whether no other host's range has a pair of this one's; null: no plan"
    )
    storages: tuple[StorageReport, ...]
    outside: tuple[Text, ...] = Field(description="who holds a level that is not this host's, by name")
    store: FleetStoreReport | None = Field(default=None, description="null without a common store")
    checks: tuple[CheckReport, ...] = Field(description="what is not as it should be")


class ContainerPage(Answer):
    """Containers by name."""

    items: tuple[ContainerReport, ...]
    total: Count = Field(description="how many match, on all pages")
    next: str | None = Field(description="give it as `after` for the next page; null on the last one")


class VolumePage(Answer):
    """Volumes by path."""

    items: tuple[VolumeReport, ...]
    total: Count
    next: str | None


class PairPage(Answer):
    """Levels in the order of their categories."""

    items: tuple[PairReport, ...]
    total: Count
    next: str | None
    summary: PairSummary | None


class EventPage(Answer):
    """Events that are still kept, oldest first."""

    items: tuple[EventReport, ...]
    total: Count
    next: str | None


class VolumeCheckReport(Answer):
    """How a volume's labels on disk compare with the ledger."""

    path: Text
    target: str
    seen: Count
    wrong: Count = Field(description="inodes that do not carry the target")
    skipped: Count
    examples: tuple[Text, ...] = Field(description="some of the wrong ones")
    error: Text = Field(description="why it could not be looked at; may be empty")
    repaired: bool


class VerificationReport(Answer):
    """What was compared, and what differs."""

    good: bool = Field(description="whether everything agrees now")
    volumes: tuple[VolumeCheckReport, ...]
    processes: tuple[Text, ...] = Field(
        description="containers whose process does not carry the granted level"
    )
    pairs: tuple[Text, ...] = Field(
        description="processes of others whose level is not separate from a container's"
    )
    ledger: tuple[Text, ...] = Field(
        description="what the ledger says, and the engines or the originals on disk do not"
    )


class RestorationReport(Answer):
    """What was restored."""

    path: Text
    changed: Count
    skipped: Count
    complete: bool
    seconds: float


class StrayReport(Answer):
    """The strays at one level, with the first paths."""

    level: Text
    label: Text
    count: Count
    paths: tuple[Text, ...]
    remedy: Text


class ScanReport(Answer):
    """A scan for strays below `path`, null for everything; `at` is the directory that it has reached.

    Times are seconds since the epoch, `finished` null while it runs. `unseen` counts what could not be read,
    including directories.
    """

    path: Text | None
    began: float
    finished: float | None
    at: Text
    seen: Count
    unseen: Count


class StraysReport(Answer):
    """What scans have found, and the last scan; `complete` is when the last finished full scan began."""

    items: tuple[StrayReport, ...]
    lost: Text = Field(
        description="why what was known is not known until everything was scanned; may be empty"
    )
    scan: ScanReport | None
    complete: float | None


class DenialReport(Answer):
    """One kind of denial that concerned a container."""

    time: datetime = Field(description="of the first")
    container: str | None = Field(description="full id; null where it is not known")
    name: Text
    cause: Text = Field(description="the first cause's code, as mcsctl why has it")
    text: Text
    because: Text = Field(description="the first cause, as a sentence; may be empty")
    hint: Text = Field(description="what to type, or to do; may be empty")


class EnginesReport(Answer):
    """The engines of the configuration, in its order."""

    items: tuple[EngineReport, ...]


class DenialsReport(Answer):
    """The latest denials that were reported to mcsd, the newest first."""

    items: tuple[DenialReport, ...]


class ProblemReport(Answer):
    """An error, as `application/problem+json` (RFC 9457)."""

    type: str = Field(description="urn:mcsd:problem: and the code")
    title: str
    status: int
    detail: Text
    hint: Text
    code: str
