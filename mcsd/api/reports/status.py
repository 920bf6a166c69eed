"""The status: one line for each thing an administrator wants to know first, with what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mcsd.api.reports.booleans import is_good
from mcsd.api.reports.containers import summarize
from mcsd.api.reports.fleet import fleet_check
from mcsd.api.reports.models import (
    BlockedReport,
    CheckReport,
    Condition,
    ContainerSummary,
    EngineReport,
    EventReport,
    HealthReport,
    SelinuxReport,
    StatusReport,
    VolumeState,
)
from mcsd.api.reports.pairs import pair_summary
from mcsd.api.reports.volumes import TROUBLED, count_states, progress_report, volume_reports
from mcsd.core.blocked import Blocked
from mcsd.core.containers import CONTAINERD, DOCKER, title_of
from mcsd.core.denials.telling import RECENT
from mcsd.core.exposure import Barrier, Weak
from mcsd.core.gating import default_is_gated
from mcsd.core.grants import Grant
from mcsd.core.isolation import engine_reasons, host_reasons
from mcsd.core.json_values import moment, texts
from mcsd.core.selinux_state import Trouble
from mcsd.core.snapshot import Event, PairCounts, Snapshot

_ORDER = (Condition.GOOD, Condition.BUSY, Condition.WARNING, Condition.BAD)

_SHOWN = {
    Weak.HOST_ROOT: "the host's root",
    Weak.ENGINE_SOCKET: "an engine's socket",
    Weak.ENGINE_STORAGE: "an engine's storage",
    Weak.DEVICES: "the host's devices",
    Weak.PROCESSES: "the host's processes",
    Weak.KERNEL: "kernel settings",
    Weak.OTHERS: "others' volumes",
}

_TOLD_BY_HOST = {Trouble.DISABLED, Trouble.PERMISSIVE, Trouble.NO_MCS}
"""Problems that `host_reasons` reports too."""

FEW_PAIRS = 0.05
"""Below this fraction of free pairs, the status warns."""


def event_report(event: Event) -> EventReport:
    """Report one event."""
    return EventReport(
        sequence=event.sequence,
        time=moment(event.time),
        kind=event.kind,
        message=event.message,
        priority=event.priority,
        container=event.container or None,
        fields=texts(event.fields),
    )


def worst_of(conditions: Iterable[Condition]) -> Condition:
    """Return the worst condition; good if there are none."""
    return max(conditions, key=_ORDER.index, default=Condition.GOOD)


def _check(subject: str, condition: Condition, text: str, hint: str = "") -> CheckReport:
    return CheckReport(subject=subject, condition=condition, text=text, hint=hint)


def _selinux(snapshot: Snapshot) -> CheckReport:
    status = snapshot.host.selinux
    missing = [(reason.text, reason.hint) for reason in host_reasons(snapshot.host)]
    more = [finding for finding in snapshot.findings if finding.trouble not in _TOLD_BY_HOST]
    is_bad = bool(missing) or any(finding.trouble is not Trouble.DEAF for finding in more)
    missing += [(finding.text, finding.hint) for finding in more]
    if missing:
        condition = Condition.BAD if is_bad else Condition.WARNING
        return _check("SELinux", condition, "; ".join(text for text, _ in missing), missing[0][1])
    policy = f"policy {status.policy}" if status.policy else "policy unknown"
    return _check("SELinux", Condition.GOOD, f"enforcing, {policy}, with categories")


def _engine_checks(snapshot: Snapshot) -> tuple[CheckReport, ...]:
    return tuple(_engine_check(snapshot, name) for name in snapshot.engines)


def _engine_check(snapshot: Snapshot, name: str) -> CheckReport:
    title, engine = title_of(name), snapshot.host.engines.get(name)
    if name in snapshot.engine_errors:
        error, hint = snapshot.engine_errors[name]
        return _check(title, Condition.BAD, error, hint or f"systemctl status {name}")
    if engine is None:
        return _check(
            title, Condition.BUSY, "has not answered yet", f"systemctl status {name}, if it stays so"
        )
    if engine.kind == CONTAINERD:
        return _check(title, Condition.GOOD, "labels those containers whose configuration says so")
    off = engine_reasons(snapshot.host, name)
    if off:
        return _check(
            title, Condition.BAD, f"{engine.server_version}, does not label containers", off[0].hint
        )
    return _check(title, Condition.GOOD, f"{engine.server_version}, labels containers")


def _unasked_checks(snapshot: Snapshot) -> tuple[CheckReport, ...]:
    """Report the engines that the configuration does not name and whose containers are in the ledger."""
    grants = snapshot.cache.grants()
    left = [grant for grant in grants if grant.is_left_behind(snapshot.engines)]
    names = dict.fromkeys(grant.engine or DOCKER for grant in left)
    return tuple(
        _unasked_check(name, [one for one in left if (one.engine or DOCKER) == name]) for name in names
    )


def _unasked_check(name: str, left: Sequence[Grant]) -> CheckReport:
    many = f"{len(left)} containers" if len(left) > 1 else f"container {left[0].full_name}"
    keeps = "keep" if len(left) > 1 else "keeps"
    again = "[docker] enabled = true" if name == DOCKER else f'[[engine]] with the name "{name}"'
    return _check(
        title_of(name),
        Condition.WARNING,
        f"not asked, as mcsd.toml does not name it; {many} of it {keeps} levels and volumes",
        f"{again} in mcsd.toml, and restart mcsd; or mcsctl release {left[0].full_name}",
    )


def _ledger(snapshot: Snapshot) -> CheckReport:
    if snapshot.ledger_error:
        return _check("Ledger", Condition.BAD, snapshot.ledger_error, "journalctl -u mcsd -p err")
    grants = len(snapshot.cache.grants())
    text = f"written; {grants} {'level' if grants == 1 else 'levels'} held"
    return _check("Ledger", Condition.GOOD, text)


def _counted(counts: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "none"


def _containers(snapshot: Snapshot, summary: ContainerSummary) -> CheckReport:
    text = _counted(
        [
            (summary.isolated, "isolated"),
            (summary.not_isolated, "not isolated"),
            (summary.in_conflict, "in conflict"),
            (summary.passing, "starting or ending"),
            (summary.not_running, "not running"),
            (summary.failed, "could not be handled"),
            (summary.unsettled, "in work"),
        ]
    )
    if summary.not_isolated:  # including those in conflict, and those that failed and run
        return _check("Containers", Condition.BAD, text, "mcsctl containers --isolated no")
    if summary.failed:
        return _check("Containers", Condition.BAD, text, "mcsctl containers --failed")
    if summary.in_conflict:
        return _check("Containers", Condition.WARNING, text, "mcsctl containers --conflicts")
    if not snapshot.synced:
        text = f"{text}; not all have been looked at yet"
        return _check("Containers", Condition.BUSY, text, "mcsctl status, in a moment")
    if summary.unsettled:
        return _check("Containers", Condition.BUSY, text, "mcsctl wait CONTAINER, until it is ready")
    return _check("Containers", Condition.GOOD, text)


def _volumes(counts: dict[VolumeState, int]) -> CheckReport:
    text = _counted([(count, state.value) for state, count in counts.items()])
    troubled = [state for state in TROUBLED if counts.get(state)]
    if troubled:
        return _check(
            "Volumes",
            Condition.BAD,
            text,
            "mcsctl volumes " + " ".join(f"--state {state.value}" for state in troubled),
        )
    busy = counts.get(VolumeState.PENDING) or counts.get(VolumeState.RESTORING)
    return _check(
        "Volumes", Condition.BUSY if busy else Condition.GOOD, text, "mcsctl volumes" if busy else ""
    )


def _mounts(snapshot: Snapshot) -> CheckReport | None:
    """Report containers with mounts that show the host or other containers, unlimited access first."""
    running = [one for one in snapshot.container_status if one.container.running]
    shown = [weakness for one in running for weakness in one.weaknesses]
    if not shown:
        return None
    weak = [(one, weakness) for one in running for weakness in one.weaknesses if weakness.barrier.weakens]
    kinds = Counter(weakness.what for _, weakness in weak)
    held = len(shown) - len(weak)
    text = _counted(
        [*((kinds[what], f"showing {_SHOWN[what]}") for what in Weak), (held, "held back by the policy")]
    )
    if any(weakness.barrier is Barrier.NOTHING for _, weakness in weak):
        return _check("Mounts", Condition.WARNING, text, "mcsctl containers --weakened")
    return _check("Mounts", Condition.GOOD, text)


def _pairs(counts: PairCounts | None) -> CheckReport | None:
    if counts is None:
        return None
    text = _counted(
        [
            (counts.granted, "granted"),
            (counts.reserved, "reserved"),
            (counts.quarantined, "in quarantine"),
            (counts.foreign, "held by others"),
        ]
    )
    text = f"{text}; {counts.free:,} of {counts.total:,} free"
    if counts.elsewhere:
        condition = Condition.GOOD if counts.free else Condition.BAD
        return _check("Pairs", condition, text, "" if counts.free else "mcsctl fleet status")
    if not counts.free:
        return _check(
            "Pairs", Condition.BAD, text, "widen [categories] range, or see mcsctl pairs --state quarantined"
        )
    if counts.free < counts.total * FEW_PAIRS:
        return _check("Pairs", Condition.WARNING, text, "mcsctl pairs --state quarantined")
    return _check("Pairs", Condition.GOOD, text)


def _booleans(snapshot: Snapshot) -> CheckReport | None:
    if not snapshot.booleans and not snapshot.refusals:
        return None
    wrong = [view.ruling.asked for view in snapshot.booleans if not is_good(view)]
    held = sum(bool(view.holdings) for view in snapshot.booleans)
    text = _counted(
        [
            (len(snapshot.booleans) - len(wrong), "as wanted"),
            (len(wrong), "not as wanted"),
            (held, "leased"),
            (len(snapshot.refusals), "refused to containers"),
        ]
    )
    if wrong:
        return _check("Booleans", Condition.BAD, text, "mcsctl booleans")
    if snapshot.refusals:
        return _check("Booleans", Condition.WARNING, text, "mcsctl booleans")
    return _check("Booleans", Condition.GOOD, text)


def _denials(snapshot: Snapshot) -> CheckReport | None:
    """Report the latest denial while it is recent; nothing if none was reported."""
    recent = [one for one in snapshot.denials if snapshot.now - one.time < RECENT]
    if not recent:
        return None
    first = recent[0]
    more = f", and {len(recent) - 1} more in the last hour" if len(recent) > 1 else ""
    who = f"{first.name}: " if first.name else ""
    hint = f"mcsctl why {first.name}" if first.name else "mcsctl why"
    return _check("Denials", Condition.WARNING, f"{who}{first.text} ({first.cause}){more}", hint)


def _waiting(snapshot: Snapshot) -> CheckReport | None:
    """Report what does not answer; everything that does not need it continues."""
    if not snapshot.blocked:
        return None
    first, *more = snapshot.blocked
    text = first.sentence + (f", and {len(more)} more do not answer" if more else "")
    return _check("Waiting", Condition.BAD, text, first.subject.hint)


def _blocked_report(blocked: Blocked) -> BlockedReport:
    subject = blocked.subject
    return BlockedReport(
        party=subject.party,
        name=subject.name,
        seconds=blocked.seconds,
        text=blocked.sentence,
        hint=subject.hint,
    )


def _engine_report(snapshot: Snapshot, name: str) -> EngineReport:
    """Report one engine."""
    engine = snapshot.host.engines.get(name)
    error, hint = snapshot.engine_errors.get(name, ("", ""))
    return EngineReport(
        name=name,
        reachable=engine is not None and not error,
        error=error,
        hint=hint,
        kind=snapshot.host.kind_of(name),
        version=engine.server_version if engine else None,
        api_version=engine.api_version if engine else None,
        labels_containers=engine.selinux if engine else None,
        storage_driver=engine.storage_driver if engine else None,
        default_runtime=engine.default_runtime if engine else None,
        gate=default_is_gated(engine) if engine else None,
        containers=sum(sighting.container.engine == name for sighting in snapshot.container_status),
    )


def engine_reports(snapshot: Snapshot) -> tuple[EngineReport, ...]:
    """Report all engines of the configuration, in its order."""
    return tuple(_engine_report(snapshot, name) for name in snapshot.engines)


def _selinux_report(snapshot: Snapshot) -> SelinuxReport:
    status = snapshot.host.selinux
    return SelinuxReport(
        backend=status.backend,
        enabled=status.enabled,
        enforcing=status.enforcing,
        mls=status.mls,
        policy=status.policy,
        generation=status.generation,
    )


def status_report(snapshot: Snapshot) -> StatusReport:
    """Report the whole status."""
    summary = summarize(snapshot.container_status)
    counts = count_states(volume_reports(snapshot))
    engines = engine_reports(snapshot)
    lines = [
        _selinux(snapshot),
        *_engine_checks(snapshot),
        *_unasked_checks(snapshot),
        _ledger(snapshot),
        _containers(snapshot, summary),
        _volumes(counts),
        _mounts(snapshot),
        _pairs(snapshot.pairs),
        _booleans(snapshot),
        _denials(snapshot),
        fleet_check(snapshot.fleet),
        _waiting(snapshot),
    ]
    checks = tuple(line for line in lines if line is not None)
    return StatusReport(
        version=snapshot.version,
        now=moment(snapshot.now),
        started=moment(snapshot.started),
        condition=worst_of(check.condition for check in checks),
        synced=snapshot.synced,
        ledger_error=snapshot.ledger_error,
        selinux=_selinux_report(snapshot),
        engine=engines[0],
        engines=engines,
        containers=summary,
        volumes=counts,
        pairs=pair_summary(snapshot.pairs),
        checks=checks,
        work=tuple(progress_report(walk) for walk in snapshot.walks),
        blocked=tuple(map(_blocked_report, snapshot.blocked)),
        problems=tuple(event_report(event) for event in snapshot.problems),
    )


def headline(snapshot: Snapshot) -> str:
    """Return a one-line status of mcsd and the host: what is wrong and what to do first, or that all is
    well."""
    checks = [
        _selinux(snapshot),
        *_engine_checks(snapshot),
        *_unasked_checks(snapshot),
        _ledger(snapshot),
    ]
    if (waiting := _waiting(snapshot)) is not None:
        checks.append(waiting)
    amiss = [check for check in checks if check.condition is not Condition.GOOD]
    amiss.sort(key=lambda check: _ORDER.index(check.condition), reverse=True)
    text = "; ".join(map(_sentence, amiss or checks))
    return f"{text} (next: {amiss[0].hint})" if amiss and amiss[0].hint else text


def _sentence(check: CheckReport) -> str:
    has_subject = check.text.lower().startswith(check.subject.lower())
    return check.text if has_subject else f"{check.subject}: {check.text}"


def health_report(snapshot: Snapshot) -> HealthReport:
    """Report whether mcsd itself can do its work: bad if the ledger cannot be written.

    A host that does not enforce is a matter for the status, not for this.
    """
    lines = [_ledger(snapshot)]
    for name in snapshot.engines:
        if name in snapshot.engine_errors or name not in snapshot.host.engines:
            check = _engine_check(snapshot, name)
            lines.append(check.model_copy(update={"condition": Condition.WARNING}))
    ill = [line for line in lines if line.condition is not Condition.GOOD]
    return HealthReport(
        condition=worst_of(line.condition for line in ill),
        version=snapshot.version,
        reasons=tuple(f"{line.subject}: {line.text}" for line in ill),
    )
