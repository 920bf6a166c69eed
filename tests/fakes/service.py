"""A daemon for the socket's tests: a `Service` over values, with a host that has seen some trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mcsd.core.audit.told import ToldAudit
from mcsd.core.booleans import (
    BooleanLease,
    BooleanView,
    ChangeCause,
    Changed,
    Holding,
    Order,
    Refusal,
    Refused,
    Wish,
    rule,
    suggestion,
)
from mcsd.core.changes import Group, LedgerContents
from mcsd.core.containers import Container, ContainerId, EngineInfo, Mount, MountKind
from mcsd.core.denials.telling import Newest, ToldDenial
from mcsd.core.disk import DiskState, Watching
from mcsd.core.exposure import Barrier, Shown, Survey, Weak, Weakness, weaknesses
from mcsd.core.figures import Distribution, Figures
from mcsd.core.fleet.holding import FleetHolding
from mcsd.core.fleet.protocol import Permission, Trouble, View
from mcsd.core.fleet.standing import FleetStanding
from mcsd.core.fleet.storages import SharedMount, StorageUse
from mcsd.core.fleet.trees import FleetTree, SharedPlace
from mcsd.core.fleet.values import Document, Fence, Fleet, FleetRecord, Reading
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.hints import Hint
from mcsd.core.host import Host, SelinuxStatus
from mcsd.core.interfaces import Interface, Network, NetworkKind
from mcsd.core.isolation import Conflict, Evidence, judge
from mcsd.core.labels import CategoryPair, Context, Level, label_in
from mcsd.core.lives import NO_LIFE, Life, LifeRequest, ProcessLife, TimeLife, UnitLife
from mcsd.core.runs import Run, RunRequest
from mcsd.core.snapshot import Event, ForeignHolder, PairCounts, Sighting, Snapshot, WalkProgress
from mcsd.core.state_cache import StateCache
from mcsd.core.strays import Catch, ScanState, Stray
from mcsd.core.verification import Restoration, Verification, VolumeCheck
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId, Identity, Volume, VolumeId, VolumePhase
from mcsd.errors import ConflictError, NotFoundError

NOW = 1_800_000_000.0
FILE = "system_u:object_r:container_file_t:"
PROCESS = "system_u:system_r:container_t:"


def container_id(number: int) -> ContainerId:
    """Sixty-four digits that differ in the first ones."""
    return ContainerId(f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4)


def host(*, enforcing: bool = True, backend: str = "kernel") -> Host:
    """A host with Docker."""
    engine = EngineInfo(
        selinux=True,
        server_version="26.1.5",
        api_version="1.45",
        root_directory="/var/lib/docker",
        default_runtime="runc",
        storage_driver="overlay2",
    )
    return Host(SelinuxStatus(backend, True, enforcing, True, "targeted", 3), {"docker": engine})


@dataclass
class Scene:
    """Collects what a picture shows, one container at a time."""

    now: float = NOW
    host: Host = field(default_factory=host)
    grants: list[Grant] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    containers: list[tuple[Container, str | None, str]] = field(default_factory=list)
    conflicts: dict[ContainerId, tuple[Conflict, ...]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    disks: dict[str, DiskState] = field(default_factory=dict)
    """By volume's path, where it is not watched and all right."""
    booleans: list[BooleanView] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)
    weaknesses: dict[str, tuple[Weakness, ...]] = field(default_factory=dict)
    fleet: FleetStanding = field(default_factory=lambda: FleetStanding("alpha", "c0.c1023"))

    def container(
        self,
        name: str,
        level: str | None,
        *,
        state: GrantState = GrantState.ACTIVE,
        origin: Origin = Origin.ADOPTED,
        process: str | None = "",
        error: str = "",
        **more: object,
    ) -> GrantId:
        """Add a container, and its grant where it has a level; `process` "" is the level itself."""
        number = len(self.containers) + 1
        running = state is GrantState.ACTIVE
        found = Container(
            id=container_id(number),
            name=name,
            running=running,
            pid=1000 + number if running else None,
            process_label=label_in(PROCESS + level if level else None),
            image="alpine:3",
            status="running" if running else "exited",
            **more,  # type: ignore[arg-type]
        )
        seen = PROCESS + level if process == "" and level and running else process or None
        self.containers.append((found, seen, error))
        return (
            self.grant(name, level, state=state, origin=origin, container=found.id) if level else GrantId(0)
        )

    def grant(
        self,
        name: str,
        level: str,
        *,
        state: GrantState,
        origin: Origin = Origin.ADOPTED,
        container: str = "",
        reservation: str = "",
    ) -> GrantId:
        """Add a grant."""
        key = GrantId(len(self.grants) + 1)
        self.grants.append(
            Grant(
                key,
                ContainerId(container),
                name,
                Level.parse(level),
                origin,
                state,
                self.now - 600 * key,
                reservation=reservation,
            )
        )
        return key

    def volume(
        self,
        path: str,
        target: str,
        *,
        phase: VolumePhase = VolumePhase.LABELLED,
        inodes: int = 0,
        skipped: dict[str, int] | None = None,
        detail: str = "",
    ) -> VolumeId:
        """Add a volume at a level."""
        number = len(self.volumes) + 1
        key = VolumeId(f"{number:016x}")
        self.volumes.append(
            Volume(
                key,
                path,
                Identity(64769, 1000 + number),
                Context.parse(FILE + target),
                phase,
                self.now - 60 * number,
                inodes,
                skipped or {},
                detail,
            )
        )
        return key

    def claim(
        self,
        grant: GrantId,
        destination: str,
        source: str,
        volume: VolumeId | None = None,
        *,
        mode: ClaimMode = ClaimMode.PRIVATE,
        state: ClaimState = ClaimState.READY,
        reason: str = "",
        hint: str = "",
    ) -> None:
        """Add a claim."""
        self.claims.append(Claim(grant, destination, source, mode, state, volume, reason=reason, hint=hint))

    def cache(self) -> StateCache:
        """What the ledger would hold."""
        return StateCache(
            LedgerContents(tuple(self.grants), tuple(self.volumes), tuple(self.claims), tuple(self.groups))
        )

    def container_status(self, cache: StateCache) -> tuple[Sighting, ...]:
        """Everyone, judged."""
        return tuple(self._sighting(c, process, error, cache) for c, process, error in self.containers)

    def _sighting(self, container: Container, process: str | None, error: str, cache: StateCache) -> Sighting:
        grant, context = cache.grant_of(container.id), label_in(process)
        conflicts = self.conflicts.get(container.id, ())
        evidence = Evidence(
            host=self.host,
            container=container,
            grant=grant,
            claims=cache.claims_of(grant.id) if grant else (),
            conflicts=conflicts,
            process=context,
            weaknesses=self.weaknesses.get(container.name, ()),
        )
        return Sighting(
            container=container,
            verdict=judge(evidence),
            seen=self.now - 2,
            conflicts=conflicts,
            process=context,
            error=error,
            error_hint="see journalctl -u mcsd" if error else "",
            settled=not error and container.name not in self.unsettled,
            network=self.networks.get(container.name),
            weaknesses=self.weaknesses.get(container.name, ()),
        )

    def _disk(self, volume: Volume) -> DiskState:
        return DiskState(Watching.WATCHED, looked=volume.since)

    def snapshot(self) -> Snapshot:
        """Everything."""
        cache = self.cache()
        return Snapshot(
            now=self.now,
            version="0.1.0",
            started=self.now - 3 * 86400 - 7200,
            host=self.host,
            cache=cache,
            synced=True,
            container_status=self.container_status(cache),
            disks={volume.id: self.disks.get(volume.path, self._disk(volume)) for volume in self.volumes},
            booleans=tuple(self.booleans),
            refusals=tuple(self.refusals),
            fleet=self.fleet,
            pairs=PairCounts(total=523776, free=523770, granted=4, reserved=1, quarantined=1, configured=1),
        )


def quiet_scene() -> Scene:
    """Two containers, each with its volume, all well."""
    scene = Scene()
    web = scene.container("web", "s0:c12,c900")
    scene.claim(web, "/data", "/srv/web", scene.volume("/srv/web", "s0:c12,c900", inodes=1204))
    db = scene.container("db", "s0:c7,c31", origin=Origin.ASSIGNED)
    scene.claim(db, "/var/lib/db", "/srv/db", scene.volume("/srv/db", "s0:c7,c31", inodes=88))
    use = StorageUse(SharedMount("/mnt/media", "ceph", "10.0.0.7:6789:/media"), ("db", "web"))
    scene.fleet = FleetStanding("alpha", "c0.c340", ("alpha", "beta", "gamma"), (use,))
    return scene


_WISHES = ", and ".join(f"/data:shared to the label io.mcsd.volume of {who}" for who in ("web-clone", "web"))


def _weakness(what: Weak, barrier: Barrier, source: str) -> Weakness:
    here = Container(ContainerId("x"), "x", running=True, mounts=(Mount(MountKind.BIND, source, "/host"),))
    survey = Survey(source, shown=(Shown(what, source),), open=barrier is not Barrier.POLICY)
    (found,) = weaknesses(
        here, None, {"/host": survey}, StateCache(), is_confined=barrier is not Barrier.NOTHING
    )
    return found


def troubled_scene() -> Scene:
    """A bad night: every possible state, long names, and hostile text."""
    scene = quiet_scene()
    clone = scene.container("web-clone", "s0:c12,c900")
    scene.conflicts[container_id(1)] = (Conflict("web-clone", "s0:c12,c900", container_id(3)),)
    scene.conflicts[container_id(3)] = (Conflict("web", "s0:c12,c900", container_id(1)),)
    scene.claim(
        clone,
        "/data",
        "/srv/web",
        state=ClaimState.REFUSED,
        reason="web holds /srv/web as private",
        hint=Hint.SHARE.say(wishes=_WISHES, who="both"),
    )
    scene.container("legacy-agent", None, privileged=True)
    scene.weaknesses["legacy-agent"] = (
        _weakness(Weak.HOST_ROOT, Barrier.NOTHING, "/"),
        _weakness(Weak.ENGINE_SOCKET, Barrier.NOTHING, "/run/docker.sock"),
    )
    batch = scene.container(
        "nightly-report-generator-for-the-finance-department", "s0:c100,c200", state=GrantState.IDLE
    )
    deep = "/srv/finance/reports/archive/2026/quarterly/generated/output"
    scene.claim(
        batch,
        "/output",
        deep,
        scene.volume(
            deep,
            "s0:c100,c200",
            inodes=1_104_233,
            skipped={"hard-link": 3, "read-only": 1},
        ),
        state=ClaimState.PARTIAL,
        reason="part of it could not be labelled: 3 hard-link, 1 read-only",
        hint="fix the cause, then restart the container or run mcsctl verify --repair",
    )
    big = scene.container("media", "s0:c300,c301")
    scene.unsettled.add("media")
    scene.weaknesses["media"] = (_weakness(Weak.PROCESSES, Barrier.POLICY, "/proc"),)
    scene.claim(
        big,
        "/media",
        "/srv/media",
        scene.volume("/srv/media", "s0:c300,c301", phase=VolumePhase.LABELLING, inodes=240_000),
        state=ClaimState.PENDING,
    )
    scene.claim(big, "/logs", "/var/log/media", mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED)
    gone = scene.grant("old-web", "s0:c40,c41", state=GrantState.QUARANTINED, container=container_id(99))
    scene.claim(gone, "/data", "/srv/old", scene.volume("/srv/old", "s0:c40,c41"))
    scene.claim(
        gone,
        "/mnt",
        "/mnt/usb",
        scene.volume(
            "/mnt/usb", "s0:c40,c41", phase=VolumePhase.STRANDED, detail="/mnt/usb is not mounted any more"
        ),
    )
    scene.grant("backup", "s0:c60,c61", state=GrantState.RESERVED, reservation="backup")
    build = scene.grant("build", "s0:c62,c63", state=GrantState.RESERVED, reservation="build")
    scene.grants[build - 1] = replace(scene.grants[build - 1], life=ProcessLife(4242, 12345, "0" * 32))
    scene.groups.append(Group("finance", 70, 71, scene.now - 86400))
    scene.container("evil", "s0:c500,c501")
    scene.claim(
        scene.grants[-1].id,
        "/x",
        "/srv/\x1b[31mred\nmcsd: all is well\u202e",
        state=ClaimState.FAILED,
        reason="'/srv/\\x1b[31mred' cannot be opened: no such file or directory",
        hint="make the directory, then restart the container",
    )
    scene.disks["/srv/web"] = DiskState(
        Watching.ROUNDS,
        "more is done in it than a watch may take",
        looked=scene.now - 7200,
        count=3,
    )
    _add_booleans(scene)
    scene.fleet = FleetStanding(
        "alpha",
        "c0.c1023",
        storages=(StorageUse(SharedMount("/mnt/media", "ceph", "10.0.0.7:6789:/media"), ("db", "web")),),
        outside=("evil", "lost", "media", "web"),
        holding=_holding(scene.now),
    )
    scene.networks["web"] = Network(
        NetworkKind.OWN, (Interface("veth8a21c0", 12, "0a:58:c0:a8:01:02", "eth0", 11),)
    )
    scene.container("lost", "s0:c600,c601", process=PROCESS + "s0")
    scene.container("broken", "s0:c700,c701", error="Docker's answer about it makes no sense: no Id")
    return scene


def _holding(now: float) -> FleetHolding:
    """A host that goes on while the store is down; another one has found something wrong before."""
    media = SharedPlace("ceph", "", "/media/films", 1099511627777)
    tree = FleetTree(media, Level.parse("s0:c12,c900"), "web")
    lost = FleetTree(replace(media, storage="archive", path="/2019"), Level.parse("s0:c7,c31"), "db")
    document = Document(frozenset({3, 4, 5, 77}), trees=frozenset({tree, lost}))
    record = FleetRecord(
        fleet="1" * 32,
        name="alpha",
        admission="2" * 32,
        incarnation="3" * 32,
        machine="dmi:4c4c4544",
        generation=2,
        cluster="14841639068965178418",
        number=1204,
        operation="4" * 32,
        document=document,
    )
    hosts = {"alpha": "2" * 32, "beta": "5" * 32, "gamma": "6" * 32}
    fleet = Fleet(record.fleet, record.cluster, 2, True, hosts, "7" * 32)
    fences = {
        "alpha": Fence(record.incarnation, 1204, record.operation, 2),
        "beta": Fence("8" * 32, 31_077, "9" * 32, 2),
    }
    documents = {
        "alpha": document,
        "beta": Document(frozenset(range(10, 22)), "the store is older than beta"),
    }
    view = View(Reading(record.cluster, 40_000), fleet, fences, documents)
    reason = "mcsd-fleet at '/run/mcsd/fleet.sock' cannot be asked: connection refused"
    permission = Permission(True, disputed=frozenset({lost}))
    return FleetHolding(
        "alpha", record, permission, Trouble.UNREACHABLE, reason, view, asked=now - 754, requests=3712
    )


def _add_booleans(scene: Scene) -> None:
    """Add a leased boolean, an unknown one, and one with a refused request."""
    known = {"container_connect_any", "container_use_nfs"}
    wishes = {
        "docker_connect_any": Wish.LEASE,
        "container_use_nfs": Wish.OFF,
        "container_use_cephs": Wish.ON,
    }
    leased, nfs, unknown = rule(wishes, known, lambda name: name)
    holding = Holding(container_id(2), "db", scene.now - 900)
    changed = Changed(scene.now - 900, True, ChangeCause.LEASE_GIVEN)
    request = BooleanLease(container_id(1), "web", "virt_sandbox_use_all_caps", 1001)
    refusal = Refusal(
        request,
        Refused.NOT_CONFIGURED,
        "the configuration does not name the boolean 'virt_sandbox_use_all_caps'",
        'to offer it, put it into [booleans] with the value "lease", and restart mcsd',
    )
    scene.booleans += [
        BooleanView(leased, True, True, True, (holding,), changed=changed),
        BooleanView(nfs, False, False, False),
        BooleanView(unknown, None, hint=suggestion(unknown.resolved)),
    ]
    scene.refusals.append(refusal)


def problem_events(scene: Scene) -> tuple[Event, ...]:
    """What the journal said in the troubled scene, oldest first."""
    refused = (
        "volume /srv/web of container web-clone is not labelled: web holds /srv/web as private; "
        + Hint.SHARE.say(wishes=_WISHES, who="both")
    )
    labelled = (
        "volume /srv/db of container db carries s0:c7,c31: 88 changed, 0 right already, 0 skipped, in 0.01 s"
    )
    privileged = (
        "container legacy-agent is not isolated: it is privileged, and Docker confines no privileged "
        "container; re-create it without that option"
    )
    conflict = "container web-clone at s0:c12,c900 is not separate from web at s0:c12,c900"
    told = [
        (172800, "engine-down", "Docker cannot be reached: connection refused", 4, 0, {}),
        (7300, "conflict", conflict, 3, 3, {"name": "web-clone"}),
        (190, "volume-refused", refused, 4, 3, {"name": "web-clone"}),
        (64, "volume-labelled", labelled, 6, 2, {"name": "db", "changed": "88", "seconds": "0.012"}),
        (3, "not-isolated", privileged, 4, 4, {"name": "legacy-agent"}),
    ]
    return tuple(
        Event(number, scene.now - ago, kind, message, priority, container_id(who) if who else "", fields)
        for number, (ago, kind, message, priority, who, fields) in enumerate(told, 1)
    )


def _life(wanted: LifeRequest) -> Life | None:
    """The life that a reservation gets, whoever lives."""
    if wanted.pid is not None:
        return ProcessLife(wanted.pid, 12345, "0" * 32)
    if wanted.unit:
        return UnitLife(wanted.unit, "1" * 32)
    return TimeLife(NOW + 3600) if wanted.until else None


class FakeService:
    """Meets `mcsd.api.service.Service`. `tell` is what happens while somebody follows."""

    def __init__(self, scene: Scene, *, events: tuple[Event, ...] = (), buffer: int = 256) -> None:
        self.scene = scene
        self.change: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot
        self.bugs: list[tuple[str, BaseException]] = []
        self.done: list[str] = []
        self.newest = Newest()
        self.audited: ToldAudit | None = None
        self.raises: Exception | None = None
        self.refuses_runs: Exception | None = None
        self._events = list(events)
        self._buffer = buffer
        self._readers: dict[asyncio.Event, list[Event | int]] = {}

    @property
    def readers(self) -> int:
        """How many follow."""
        return len(self._readers)

    def tell(self, event: Event) -> None:
        """Something happens; a reader that is too far behind loses the oldest."""
        self._events.append(event)
        for ready, buffer in self._readers.items():
            lost = buffer.pop(0) if buffer and isinstance(buffer[0], int) else 0
            assert isinstance(lost, int)
            if len(buffer) >= self._buffer:
                del buffer[0]
                lost += 1
            buffer[:0] = [lost] if lost else []
            buffer.append(event)
            ready.set()

    def snapshot(self) -> Snapshot:
        if self.raises:
            raise self.raises
        problems = tuple(e for e in reversed(self._events) if e.priority <= 4)
        return self.change(replace(self.scene.snapshot(), problems=problems, denials=self.newest.all()))

    async def within(self, top: str, paths: Collection[str]) -> frozenset[str]:
        return frozenset(path for path in paths if PurePosixPath(path).is_relative_to(top))

    async def figures(self) -> Figures:
        lag = Distribution.over((0.1, 1.0)).with_value(0.05).with_value(0.5).with_value(7.0)
        return Figures(
            lag,
            {"connected": 2, "timer": 5, "lost": 0, "asked": 1},
            4096,
            {"watched": 3, "pending": 0, "rounds": 1},
            77,
            1,
        )

    async def events(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        ready, buffer = asyncio.Event(), list[Event | int]()
        self._readers[ready] = buffer
        try:
            for event in tuple(self._events) if after is not None else ():
                if after is not None and event.sequence > after:
                    yield event
            while True:
                while buffer:
                    yield buffer.pop(0)
                ready.clear()
                await ready.wait()
        finally:
            del self._readers[ready]

    def recent_events(self) -> tuple[Event, ...]:
        return tuple(self._events)

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        self.done.append(f"verify {target} {repair}")
        checks = (
            VolumeCheck("/srv/db", Context.parse(FILE + "s0:c7,c31"), 88, 0, 0),
            VolumeCheck(
                "/srv/web",
                Context.parse(FILE + "s0:c12,c900"),
                1204,
                2,
                0,
                ("/srv/web/a.html", "/srv/web/b\n.html"),
                repaired=repair,
            ),
        )
        if repair:
            return Verification(checks)
        process = f"container lost is granted s0:c600,c601, and a process of it runs as {PROCESS}s0"
        ledger = "volume /srv/lost has originals on disk, and the ledger does not know it"
        return Verification(checks, (process,), (), (ledger,))

    async def restore(self, path: str) -> Restoration:
        self.done.append(f"restore {path}")
        if path == "/srv/web":
            raise ConflictError(
                "the volume /srv/web is claimed by container web", hint="remove the container first"
            )
        return Restoration(path, 12, 1, True, 0.5)

    def strays(self) -> Catch:
        level = Level.parse("s0:c5,c6")
        stray = Stray(level, FILE + "s0:c5,c6", 20, ("/srv/bk/f", "/srv/bk/b\n.html"))
        scan = ScanState(NOW - 60, "", NOW - 10, seen=1204, unseen=3)
        return Catch({level: stray}, scan, NOW - 60)

    def scan(self, top: str, *, gently: bool) -> None:
        self.done.append(f"scan {top} {gently}")

    def denials(self) -> tuple[ToldDenial, ...]:
        return self.newest.all()

    def tell_denials(self, denials: Sequence[ToldDenial]) -> None:
        for one in denials:
            self.newest.add(one)

    def audit(self) -> ToldAudit | None:
        return self.audited

    def tell_audit(self, audit: ToldAudit) -> None:
        self.audited = replace(audit, time=self.scene.now)

    async def reserve(self, name: str, *, group: str | None, life: LifeRequest = NO_LIFE) -> Grant:
        self.done.append(f"reserve {name} {group}" + ("" if life == NO_LIFE else f" {life}"))
        return Grant(
            GrantId(50),
            ContainerId(""),
            name,
            CategoryPair(80, 81).level,
            Origin.ASSIGNED,
            GrantState.RESERVED,
            self.scene.now,
            group=group or "",
            reservation=name,
            life=_life(life),
        )

    async def release(self, name: str) -> None:
        self.done.append(f"release {name}")
        if name != "backup":
            raise NotFoundError(
                f"there is no reservation {name!r}", hint="mcsctl pairs --state reserved lists them"
            )

    async def create_run(self, wanted: RunRequest, pid: int) -> tuple[Run, Context]:
        self.done.append(f"run {wanted.name} {wanted.command}")
        if self.refuses_runs is not None:
            raise self.refuses_runs
        run = Run(
            ContainerId("run-" + "7" * 32),
            wanted.name or "run-4242",
            ProcessLife(pid, 1, "0" * 32),
            Context.parse(f"system_u:system_r:{wanted.domain or 'container_t'}:s0:c82,c83"),
            self.scene.now,
        )
        return run, Context.parse(FILE + "s0:c82,c83")

    async def start_run(self, key: str) -> None:
        self.done.append(f"start {key}")
        if key not in {container.id for container, _, _ in self.scene.containers}:
            raise NotFoundError(f"there is no run {key!r}", hint=Hint.RUN_AGAIN.say())

    async def set_boolean(self, name: str, order: str) -> BooleanView:
        self.done.append(f"boolean {name} {order}")
        for view in self.scene.booleans:
            if view.ruling.asked == name:
                wish = Order(order)
                ruling = replace(view.ruling, order=None if wish is Order.CONFIGURED else wish)
                value = wish is Order.ON
                return replace(view, ruling=ruling, wanted=value, present=value, pending=value)
        raise NotFoundError(
            f"the configuration does not name the boolean {name!r}", hint="mcsctl booleans lists them"
        )

    def report_bug(self, where: str, error: BaseException) -> None:
        self.bugs.append((where, error))


def busy(snapshot: Snapshot) -> Snapshot:
    """The same, with two walks and a foreign holder."""
    walks = (
        WalkProgress(
            VolumeId(f"{4:016x}"), "/srv/media", "relabel", snapshot.now - 42, 104_000, 103_998, 0, 240_000
        ),
        WalkProgress(VolumeId(f"{9:016x}"), "/srv/new", "relabel", snapshot.now - 1, 1200, 1200, 0, 0),
    )
    context = Context.parse("system_u:system_r:svirt_t:s0:c33,c34")
    foreign = (ForeignHolder(context.level, context, 4242),)
    return replace(snapshot, walks=walks, foreign=foreign)
