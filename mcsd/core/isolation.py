"""Judging isolation: what is missing before mcsd may report a container as isolated.

Promise 8: *isolated* needs all three — the kernel enforces, the process carries the granted level, and
every claimed volume carries its label — and no other holder of a comparable level. Each missing condition is
a `Reason`: a code for programs, a sentence, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mcsd.core.containers import CONTAINERD, DOCKER, RUN, Container, title_of
from mcsd.core.disk import DiskState
from mcsd.core.exposure import Barrier, Weak, Weakness
from mcsd.core.grants import Grant
from mcsd.core.host import SWITCH_ON, Host
from mcsd.core.labels import Label, level_of
from mcsd.core.processes import Stage
from mcsd.core.volumes import Claim, ClaimState, VolumeId


class Why(StrEnum):
    """Stable codes for what keeps a container from being isolated; part of the API."""

    NO_KERNEL = "backend-xattr"
    SELINUX_OFF = "selinux-disabled"
    PERMISSIVE = "selinux-permissive"
    NO_MCS = "policy-without-mcs"
    ENGINE_OFF = "engine-without-selinux"
    PRIVILEGED = "privileged"
    HOST_PID = "pid-host"
    HOST_IPC = "ipc-host"
    LABEL_DISABLED = "label-disabled"
    NO_CATEGORIES = "no-categories"
    PERMISSIVE_DOMAIN = "permissive-domain"
    CONFLICT = "conflict"
    PROCESS_LEVEL = "process-level"
    PROCESS_UNKNOWN = "process-unknown"
    UNBOUND_DOMAIN = "domain-without-mcs"
    ENGINE_SOCKET = "engine-socket"
    VOLUME = "volume"
    DISK = "disk"
    NO_GRANT = "no-grant"


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition that is missing, and what to do about it."""

    why: Why
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another holder that should be separate but is not."""

    name: str
    level: str
    container: str = ""

    @property
    def text(self) -> str:
        """The holder, described."""
        return f"{self.name} at {self.level}"


_HOST = {
    Why.NO_KERNEL: Reason(
        Why.NO_KERNEL,
        "labels are written with no SELinux in the kernel",
        'set [selinux] backend = "kernel" on a host that enforces',
    ),
    Why.SELINUX_OFF: Reason(Why.SELINUX_OFF, "SELinux is disabled in the kernel", SWITCH_ON),
    Why.PERMISSIVE: Reason(Why.PERMISSIVE, "SELinux is permissive: it denies nothing", "run setenforce 1"),
    Why.NO_MCS: Reason(
        Why.NO_MCS, "the loaded policy has no categories", "install a policy with MCS, such as targeted"
    ),
    Why.ENGINE_OFF: Reason(
        Why.ENGINE_OFF,
        "Docker does not label containers",
        'set "selinux-enabled": true in /etc/docker/daemon.json, restart Docker, re-create the container',
    ),
}

_OFF = Reason(
    Why.ENGINE_OFF,
    "its engine does not label containers",
    "have the engine label containers (for Podman: label = true in containers.conf), re-create the container",
)


_UNLABELLED = Reason(
    Why.LABEL_DISABLED,
    "containerd was told no label for it",
    "have its OCI configuration say process.selinuxLabel and linux.mountLabel (ctr run --config), and give "
    "it the gate for its runtime",
)

_ASK_ENGINE = "systemctl status {engine}; see {engine} ps"
_ASKED = {RUN: "see mcsctl containers"}
"""What to look at where it is not the engine: a run has none."""


def host_reasons(host: Host) -> tuple[Reason, ...]:
    """Return what the kernel lacks for any container to be isolated."""
    status = host.selinux
    missing: list[Why] = []
    if status.backend == "xattr":
        missing.append(Why.NO_KERNEL)
    elif not status.enabled:
        missing.append(Why.SELINUX_OFF)
    else:
        missing += [Why.PERMISSIVE] * (not status.enforcing) + [Why.NO_MCS] * (not status.mls)
    return tuple(_HOST[why] for why in missing)


def engine_reasons(host: Host, engine: str) -> tuple[Reason, ...]:
    """Return what an engine lacks for any of its containers to be isolated."""
    info = host.engines.get(engine)
    if info is None or info.selinux:
        return ()
    return (_HOST[Why.ENGINE_OFF] if engine == DOCKER else _OFF,)


def unconfined_reason(container: Container, host: Host) -> Reason | None:
    """Return why an engine that labels containers has not confined this one, None if it has."""
    engine = host.engines.get(container.engine)
    if container.process_label is not None or (engine is not None and not engine.selinux):
        return None
    if host.kind_of(container.engine) == CONTAINERD:
        return _UNLABELLED
    without = "re-create it without that option"
    if container.privileged:
        return Reason(
            Why.PRIVILEGED,
            f"it is privileged, and {title_of(container.engine)} confines no privileged container",
            without,
        )
    if container.pid_mode == "host":
        return Reason(Why.HOST_PID, "it shares the host's processes (--pid=host)", without)
    if container.ipc_mode == "host":
        return Reason(Why.HOST_IPC, "it shares the host's IPC (--ipc=host)", without)
    return Reason(Why.LABEL_DISABLED, "its labelling is disabled (--security-opt label=disable)", without)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was observed of one container: the process's context, None if there is none to read.

    `unbound` says why categories do not constrain the process, "" if they do. `stage` says whether the
    container is starting or ending; one that stays there for too long counts as running.
    """

    host: Host
    container: Container
    grant: Grant | None
    claims: Sequence[Claim] = ()
    conflicts: Sequence[Conflict] = ()
    process: Label | None = None
    permissive_domain: bool = False
    unbound: str = ""
    weaknesses: Sequence[Weakness] = ()
    disks: Mapping[VolumeId, DiskState] = field(default_factory=dict)
    """The claimed volumes' labels as last checked, as far as that is known."""
    stage: Stage = Stage.RUNNING


@dataclass(frozen=True, slots=True)
class Verdict:
    """`isolated` is None if the container has no process to judge: it does not run, is starting or has just
    ended."""

    isolated: bool | None
    reasons: tuple[Reason, ...] = ()


def is_at(context: Label, grant: Grant) -> bool:
    """Tell whether a process that runs in `context` carries the granted level."""
    return level_of(context) == grant.level


def _process_reason(evidence: Evidence, grant: Grant) -> Reason | None:
    engine = evidence.container.engine
    if evidence.process is None:
        return Reason(
            Why.PROCESS_UNKNOWN,
            f"{title_of(engine)} calls it running, and its process is not there",
            _ASKED.get(engine, _ASK_ENGINE.format(engine=engine))
            + ", and whether mcsd sees the host's processes",
        )
    if not is_at(evidence.process, grant):
        return Reason(
            Why.PROCESS_LEVEL,
            f"its process runs as {evidence.process}, not at {grant.level}",
            "re-create the container; if it happens again, see which runtime or option sets the label",
        )
    if evidence.unbound:
        return Reason(
            Why.UNBOUND_DOMAIN,
            evidence.unbound,
            "re-create it without --security-opt label=type, or load a policy that constrains its domain",
        )
    return None


def _grant_reasons(evidence: Evidence, grant: Grant) -> list[Reason]:
    reasons = []
    if not grant.level.categories:
        reasons.append(
            Reason(
                Why.NO_CATEGORIES,
                f"its level {grant.level} has no categories",
                "re-create it without --security-opt label=level, or with one from mcsctl reserve",
            )
        )
    reasons += [
        Reason(
            Why.CONFLICT,
            f"its level is comparable to that of {conflict.text}",
            "re-create one of the two without a level of its own, or with one from mcsctl reserve",
        )
        for conflict in evidence.conflicts
    ]
    if evidence.permissive_domain:
        reasons.append(
            Reason(
                Why.PERMISSIVE_DOMAIN,
                "the policy makes its domain permissive: nothing is denied to it",
                "run semanage permissive -d on the domain",
            )
        )
    return reasons


def _claim_reasons(claims: Sequence[Claim], disks: Mapping[VolumeId, DiskState]) -> list[Reason]:
    labelled = [claim for claim in claims if claim.mode.is_labelled]
    reasons = [
        Reason(Why.VOLUME, f"the volume {claim.source}: {claim.reason or claim.state.value}", claim.hint)
        for claim in labelled
        if claim.state is not ClaimState.READY
    ]
    for claim in labelled:
        disk = disks.get(claim.volume) if claim.volume is not None else None
        if claim.state is ClaimState.READY and disk is not None and disk.is_drifting:
            reasons.append(_disk_reason(claim, disk))
    return reasons


def _disk_reason(claim: Claim, disk: DiskState) -> Reason:
    example = disk.findings[0] if disk.findings else None
    found = f", for instance {example.path}: {example.reason}" if example is not None else ""
    return Reason(
        Why.DISK,
        f"the volume {claim.source}: {disk.count} of its files do not carry its label any more{found}",
        "mcsd labels it again; if it stays so, see journalctl -u mcsd and mcsctl verify",
    )


def _weak_reasons(weaknesses: Sequence[Weakness]) -> list[Reason]:
    """Return the reasons from its mounts: access to an engine's socket makes every level meaningless."""
    return [
        Reason(Why.ENGINE_SOCKET, one.text, one.hint)
        for one in weaknesses
        if one.what is Weak.ENGINE_SOCKET and one.barrier is Barrier.NOTHING
    ]


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on one container."""
    reasons = [*host_reasons(evidence.host), *engine_reasons(evidence.host, evidence.container.engine)]
    unconfined = unconfined_reason(evidence.container, evidence.host)
    if unconfined is not None:
        reasons.append(unconfined)
    elif evidence.grant is None:
        reasons.append(Reason(Why.NO_GRANT, "no level has been granted yet", "see journalctl -u mcsd"))
    else:
        reasons += _grant_reasons(evidence, evidence.grant)
        if evidence.container.running and evidence.stage is Stage.RUNNING and not reasons:
            process = _process_reason(evidence, evidence.grant)
            reasons += [process] if process else []
        reasons += _claim_reasons(evidence.claims, evidence.disks)
        reasons += _weak_reasons(evidence.weaknesses) if evidence.container.process_label is not None else []
    if not evidence.container.running or evidence.stage is not Stage.RUNNING:
        return Verdict(None, tuple(reasons))
    return Verdict(not reasons, tuple(reasons))
