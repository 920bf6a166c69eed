"""The status: one line for each thing an administrator wants to know first, with what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mcsd.core.ground import Trouble
from mcsd.core.isolation import Why, host_reasons
from mcsd.core.picture import Event, PairCounts, Picture
from mcsd.core.report.base import moment, texts
from mcsd.core.report.booleans import is_good
from mcsd.core.report.containers import summarize
from mcsd.core.report.models import (
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
from mcsd.core.report.pairs import pair_summary
from mcsd.core.report.volumes import TROUBLED, count_states, progress_report, volume_reports

_ORDER = (Condition.GOOD, Condition.BUSY, Condition.WARNING, Condition.BAD)

_TOLD_BY_HOST = {Trouble.DISABLED, Trouble.PERMISSIVE, Trouble.NO_MCS}
"""What `host_reasons` says too."""

FEW_PAIRS = 0.05
"""Below this share of the range, running out of pairs is worth a word."""


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
    """Give the worst condition; good when there are none."""
    return max(conditions, key=_ORDER.index, default=Condition.GOOD)


def _check(subject: str, condition: Condition, text: str, hint: str = "") -> CheckReport:
    return CheckReport(subject=subject, condition=condition, text=text, hint=hint)


def _selinux(picture: Picture) -> CheckReport:
    status = picture.host.selinux
    missing = [(r.text, r.hint) for r in host_reasons(picture.host) if r.why is not Why.ENGINE_OFF]
    more = [finding for finding in picture.findings if finding.trouble not in _TOLD_BY_HOST]
    is_bad = bool(missing) or any(finding.trouble is not Trouble.DEAF for finding in more)
    missing += [(finding.text, finding.hint) for finding in more]
    if missing:
        condition = Condition.BAD if is_bad else Condition.WARNING
        return _check("SELinux", condition, "; ".join(text for text, _ in missing), missing[0][1])
    policy = f"policy {status.policy}" if status.policy else "policy unknown"
    return _check("SELinux", Condition.GOOD, f"enforcing, {policy}, with categories")


def _docker(picture: Picture) -> CheckReport:
    engine = picture.host.engine
    if picture.engine_error:
        return _check(
            "Docker", Condition.BAD, picture.engine_error, picture.engine_hint or "systemctl status docker"
        )
    if engine is None:
        return _check(
            "Docker", Condition.BUSY, "has not answered yet", "systemctl status docker, if it stays so"
        )
    off = [reason for reason in host_reasons(picture.host) if reason.why is Why.ENGINE_OFF]
    if off:
        return _check(
            "Docker", Condition.BAD, f"{engine.server_version}, does not label containers", off[0].hint
        )
    return _check("Docker", Condition.GOOD, f"{engine.server_version}, labels containers")


def _ledger(picture: Picture) -> CheckReport:
    if picture.ledger_error:
        return _check("Ledger", Condition.BAD, picture.ledger_error, "journalctl -u mcsd -p err")
    grants = len(picture.book.grants())
    text = f"written; {grants} {'level' if grants == 1 else 'levels'} held"
    return _check("Ledger", Condition.GOOD, text)


def _counted(counts: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {what}" for count, what in counts if count) or "none"


def _containers(picture: Picture, summary: ContainerSummary) -> CheckReport:
    text = _counted(
        [
            (summary.isolated, "isolated"),
            (summary.not_isolated, "not isolated"),
            (summary.in_conflict, "in conflict"),
            (summary.not_running, "not running"),
            (summary.failed, "could not be looked after"),
            (summary.unsettled, "in work"),
        ]
    )
    if summary.not_isolated:  # those in conflict are among them, and those that failed and run
        return _check("Containers", Condition.BAD, text, "mcsctl containers --isolated no")
    if summary.failed:
        return _check("Containers", Condition.BAD, text, "mcsctl containers --failed")
    if summary.in_conflict:
        return _check("Containers", Condition.WARNING, text, "mcsctl containers --conflicts")
    if not picture.synced:
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
    if not counts.free:
        return _check(
            "Pairs", Condition.BAD, text, "widen [categories] range, or see mcsctl pairs --state quarantined"
        )
    if counts.free < counts.total * FEW_PAIRS:
        return _check("Pairs", Condition.WARNING, text, "mcsctl pairs --state quarantined")
    return _check("Pairs", Condition.GOOD, text)


def _booleans(picture: Picture) -> CheckReport | None:
    if not picture.booleans and not picture.refusals:
        return None
    wrong = [view.ruling.asked for view in picture.booleans if not is_good(view)]
    held = sum(bool(view.holdings) for view in picture.booleans)
    text = _counted(
        [
            (len(picture.booleans) - len(wrong), "as wanted"),
            (len(wrong), "not as wanted"),
            (held, "leased"),
            (len(picture.refusals), "refused to containers"),
        ]
    )
    if wrong:
        return _check("Booleans", Condition.BAD, text, "mcsctl booleans")
    if picture.refusals:
        return _check("Booleans", Condition.WARNING, text, "mcsctl booleans")
    return _check("Booleans", Condition.GOOD, text)


def _engine(picture: Picture) -> EngineReport:
    engine = picture.host.engine
    return EngineReport(
        reachable=engine is not None and not picture.engine_error,
        error=picture.engine_error,
        hint=picture.engine_hint,
        version=engine.server_version if engine else None,
        api_version=engine.api_version if engine else None,
        labels_containers=engine.selinux if engine else None,
        storage_driver=engine.storage_driver if engine else None,
        default_runtime=engine.default_runtime if engine else None,
    )


def _selinux_report(picture: Picture) -> SelinuxReport:
    status = picture.host.selinux
    return SelinuxReport(
        backend=status.backend,
        enabled=status.enabled,
        enforcing=status.enforcing,
        mls=status.mls,
        policy=status.policy,
        generation=status.generation,
    )


def status_report(picture: Picture) -> StatusReport:
    """Report everything at one glance."""
    summary = summarize(picture.sightings)
    counts = count_states(volume_reports(picture))
    lines = [
        _selinux(picture),
        _docker(picture),
        _ledger(picture),
        _containers(picture, summary),
        _volumes(counts),
        _pairs(picture.pairs),
        _booleans(picture),
    ]
    checks = tuple(line for line in lines if line is not None)
    return StatusReport(
        version=picture.version,
        now=moment(picture.now),
        started=moment(picture.started),
        condition=worst_of(check.condition for check in checks),
        synced=picture.synced,
        ledger_error=picture.ledger_error,
        selinux=_selinux_report(picture),
        engine=_engine(picture),
        containers=summary,
        volumes=counts,
        pairs=pair_summary(picture.pairs),
        checks=checks,
        work=tuple(progress_report(walk) for walk in picture.walks),
        problems=tuple(event_report(event) for event in picture.problems),
    )


def headline(picture: Picture) -> str:
    """Say in one line how mcsd and the host stand: what is amiss and what to do first, or that nothing is."""
    checks = (_selinux(picture), _docker(picture), _ledger(picture))
    amiss = [check for check in checks if check.condition is not Condition.GOOD]
    amiss.sort(key=lambda check: _ORDER.index(check.condition), reverse=True)
    text = "; ".join(map(_sentence, amiss or checks))
    return f"{text} (next: {amiss[0].hint})" if amiss and amiss[0].hint else text


def _sentence(check: CheckReport) -> str:
    has_subject = check.text.lower().startswith(check.subject.lower())
    return check.text if has_subject else f"{check.subject}: {check.text}"


def health_report(picture: Picture) -> HealthReport:
    """Report whether mcsd itself can do its work: bad when it can write nothing down.

    A host that does not enforce is the status' business, not this one's.
    """
    lines = [_ledger(picture)]
    docker = _docker(picture)
    if picture.engine_error or picture.host.engine is None:
        lines.append(docker.model_copy(update={"condition": Condition.WARNING}))
    ill = [line for line in lines if line.condition is not Condition.GOOD]
    return HealthReport(
        condition=worst_of(line.condition for line in ill),
        version=picture.version,
        reasons=tuple(f"{line.subject}: {line.text}" for line in ill),
    )
