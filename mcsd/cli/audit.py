"""`mcsctl audit`: what is open on this host besides levels.

Collects what mcsd proves, what the engines were asked for, what the kernel shows, and what volumes contain;
judges it (`mcsd.core.audit`), removes what is accepted, and prints the rest. Only root can see all of it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcsd import __version__
from mcsd.adapters.docker.audit import endpoints, read_options
from mcsd.adapters.host.contents import search, sorted_out
from mcsd.adapters.host.whole_file import put
from mcsd.adapters.proc.kernel_facts import KernelFacts, command_line, listening
from mcsd.cli.arguments import INODES
from mcsd.cli.audited import AuditedEngine, audited_engines, inspected
from mcsd.cli.client import Client, Object
from mcsd.cli.daemon_json import read
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen
from mcsd.config import DEFAULT_PATH, Config, load
from mcsd.core.audit.baseline import AuditOutcome, Ignored, news, settle
from mcsd.core.audit.facts import (
    ContainerFacts,
    ContainerSettings,
    Endpoint,
    Facts,
    HostFacts,
    Proof,
    Shortfall,
    Sort,
    VolumeContents,
)
from mcsd.core.audit.findings import SEVERITIES, Finding, Severity
from mcsd.core.audit.host import audit as judge
from mcsd.core.audit.telling import as_json, as_sarif
from mcsd.core.audit.told import telling
from mcsd.core.containers import DOCKER
from mcsd.core.daemon_json import DAEMON_JSON, parse
from mcsd.core.notices import printable
from mcsd.errors import ConfigurationError, HostError, McsdError

PID_FILES = ("/run/docker.pid", "/var/run/docker.pid")
_STYLES = {Severity.CRITICAL: "bad", Severity.HIGH: "bad", Severity.MEDIUM: "warning", Severity.LOW: "faint"}


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What was asked for.

    `inodes` is the most that are examined in each volume; `known` the file with known findings.
    """

    container: str = ""
    stopped: bool = False
    ignore: tuple[str, ...] = ()
    severity: str = "low"
    inodes: int = INODES
    known: str = ""
    tell: bool = False
    sarif: bool = False
    json: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class AuditPaths:
    """Paths on the host; tests use others."""

    config: Path = DEFAULT_PATH
    daemon_json: str = DAEMON_JSON
    sockets: Mapping[str, str] = field(default_factory=dict)
    """Engines' sockets by name, in place of the configuration's."""
    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    pid_files: tuple[str, ...] = PID_FILES


def audit(wish: AuditOptions, place: AuditPaths, client: Client, screen: Screen, notes: Screen) -> Exit:
    """Run `mcsctl audit`; raise `CtlError`. Returns `FAILED` if any finding counts."""
    if wish.tell and wish.container:
        raise CtlError(
            "--tell is for an audit of everything, not of one container",
            hint="leave out the one or the other",
            status=Exit.USAGE,
        )
    config = _configured(place)
    ignored = _ignored(config, wish)
    facts = _facts(wish, place, client, audited_engines(config, place.sockets), notes)
    least = Severity[wish.severity.upper()]
    outcome = settle(judge(facts), ignored, least=least)
    before = _known(wish.known)
    new = outcome.open if before is None else news(outcome.open, before)
    if wish.known:
        _remember(wish.known, outcome.open)
    if wish.tell:
        client.post("/v1/audit", telling(outcome, audited=len(facts.containers)))
    if wish.known:
        outcome = replace(outcome, open=new)
    if wish.sarif:
        screen.line(json.dumps(as_sarif(outcome, host=facts.host.name, version=__version__), indent=2))
    elif wish.json:
        told = as_json(outcome, new=(one.key for one in new), audited=len(facts.containers))
        screen.line(json.dumps(told, indent=2))
    elif wish.quiet:
        for finding in outcome.open:
            screen.line(printable(finding.key))
    else:
        is_news = before is not None
        in_full = bool(wish.container) or is_news
        _show(screen, outcome, len(facts.containers), is_news=is_news, in_full=in_full)
    return Exit.FAILED if outcome.open else Exit.DONE


def _configured(place: AuditPaths) -> Config:
    try:
        return load(place.config)
    except ConfigurationError as exc:
        raise CtlError(exc.what, hint=exc.hint) from exc


def _ignored(config: Config, wish: AuditOptions) -> tuple[Ignored, ...]:
    try:
        return tuple(Ignored.parse(one) for one in (*config.audit.ignore, *wish.ignore))
    except ConfigurationError as exc:
        raise CtlError(exc.what, hint=exc.hint, status=Exit.USAGE) from exc


# --- what was known before -----------------------------------------------------------------------------


def _known(path: str) -> frozenset[str] | None:
    """Return the keys that were open in the last run; None if there was none."""
    if not path:
        return None
    try:
        content = json.loads(Path(path).read_bytes())
        return frozenset(str(key) for key in content["keys"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CtlError(
            f"what was known before cannot be read from {path!r}: {exc}", hint="move it away to begin anew"
        ) from exc


def _remember(path: str, findings: Iterable[Finding]) -> None:
    """Store what is open, completely or not at all."""
    content = json.dumps({"version": 1, "keys": sorted({one.key for one in findings})}, indent=1)
    try:
        put(Path(path), content + "\n", mode=0o666)
    except OSError as exc:
        raise CtlError(
            f"what is open cannot be written to {path!r}: {exc.strerror}", hint="see who may write there"
        ) from exc


# --- facts ---------------------------------------------------------------------------------------------


def _facts(
    wish: AuditOptions, place: AuditPaths, client: Client, engines: Sequence[AuditedEngine], notes: Screen
) -> Facts:
    told = _told(client, {one.name for one in engines})
    host = replace(_host(place, engines), silent=told.silent, enforcing=told.enforcing)
    host = replace(host, unlabelled=told.unlabelled)
    kernel = KernelFacts(place.proc, place.cgroups)
    seen: dict[str, VolumeContents] = {}
    asked = inspected(engines, told.described, wish.container, stopped=wish.stopped, notes=notes)
    found = tuple(_container(wish, *one, kernel, told.proofs, seen) for one in asked)
    notes.progress("")
    return Facts(host, found)


def _container(
    wish: AuditOptions,
    settings: ContainerSettings,
    pid: int | None,
    kernel: KernelFacts,
    proofs: Mapping[str, Proof],
    seen: dict[str, VolumeContents],
) -> ContainerFacts:
    settings = replace(settings, mounts=tuple(map(sorted_out, settings.mounts)))
    found, unseen = None, ""
    if pid is not None:
        try:
            found = kernel.of(pid)
        except HostError as exc:
            unseen = exc.what
    for mount in settings.mounts:
        # The host's own trees are not volumes: the mount is reported, but not its content.
        if mount.sort in {Sort.DIRECTORY, Sort.FILE} and mount.real not in {*seen, *_HOSTS}:
            seen[mount.real] = search(mount.real, limit=wish.inodes)
    contents = tuple(seen[real] for real in dict.fromkeys(m.real for m in settings.mounts) if real in seen)
    return ContainerFacts(settings, found, contents, proofs.get(settings.id), unseen)


_HOSTS = frozenset({"/", "/boot", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var"})  # noqa: S108


@dataclass(frozen=True, slots=True)
class _Told:
    """What mcsd says: what it proves about each container, by id; those that nobody else describes; why it
    does not answer."""

    proofs: Mapping[str, Proof] = field(default_factory=dict)
    described: tuple[Object, ...] = ()
    unlabelled: tuple[str, ...] = ()
    silent: str = ""
    enforcing: bool | None = None


def _told(client: Client, asked: Collection[str]) -> _Told:
    try:
        status = client.get("/v1/status")
        items = client.every("/v1/containers")["items"]
    except CtlError as exc:
        if exc.status in {Exit.NO_DAEMON, Exit.TIMED_OUT}:
            return _Told(silent=exc.what)
        raise
    selinux = status["selinux"]
    return _Told(
        {str(item["id"]): _proof(item) for item in items},
        tuple(item for item in items if item["engine"] not in asked),
        tuple(
            str(one["name"])
            for one in status.get("engines", ())
            if one["name"] != DOCKER and one["labels_containers"] is False
        ),
        enforcing=bool(selinux["enabled"] and selinux["enforcing"]),
    )


def _proof(item: Object) -> Proof:
    return Proof(
        item.get("isolated"),
        str(item.get("level") or ""),
        tuple(Shortfall(one["code"], one["text"], one["hint"]) for one in item.get("reasons", ())),
        tuple(
            Shortfall(one["code"], one["text"], one["hint"], one["destination"])
            for one in item.get("weaknesses", ())
            if one["weakens"]
        ),
    )


def _host(place: AuditPaths, engines: Sequence[AuditedEngine]) -> HostFacts:
    docker = next((one for one in engines if one.name == DOCKER), None)
    if docker is None:
        return HostFacts(socket.gethostname(), (), None, None, None, None)
    try:
        options, live_restore = read_options(docker.ask("/info"))
        settings = parse(read(place.daemon_json), place.daemon_json)
    except McsdError as exc:
        raise CtlError(exc.what, hint=exc.hint) from exc
    return HostFacts(
        name=socket.gethostname(),
        endpoints=_endpoints(place, settings),
        labels_containers="selinux" in options,
        filters_calls="seccomp" in options,
        remaps_users="userns" in options or "rootless" in options,
        live_restore=live_restore,
    )


def _endpoints(place: AuditPaths, settings: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    for path in place.pid_files:
        with suppress(OSError, ValueError):
            pid = int(Path(path).read_text(encoding="ascii"))
            return endpoints(settings, command_line(place.proc, pid), listening(place.proc, pid))
    return endpoints(settings, (), ())


# --- the screen ----------------------------------------------------------------------------------------


def _show(screen: Screen, outcome: AuditOutcome, audited: int, *, is_news: bool, in_full: bool) -> None:
    if in_full:
        for finding in outcome.open:
            _show_finding(screen, finding)
    elif outcome.open:
        _show_table(screen, outcome.open)
    if outcome.open:
        screen.line()
    counts = {word: sum(one.weight.word == word for one in outcome.open) for word in SEVERITIES}
    shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    what = "new since it was last looked" if is_news else "open"
    total = f"{audited} container{'' if audited == 1 else 's'} and the host looked at"
    screen.line(f"{shown} {what}; {total}" if shown else f"nothing {what}; {total}")
    named = sorted({one.subject for one in outcome.open if one.container})
    if named and not in_full:
        text = f"mcsctl audit {printable(named[0])} says of each what was looked at, and how to mend it"
        screen.paragraph(text, first="next: ", rest="      ")
    if outcome.accepted:
        screen.line(f"{len(outcome.accepted)} accepted:")
        for finding, reason in outcome.accepted:
            screen.paragraph(reason, first=f"  {printable(finding.key)}: ", rest="    ")
    for wish in outcome.idle:
        screen.line(f"nothing is left of what is ignored as {printable(wish.target)}: take it out")


def _show_table(screen: Screen, findings: Sequence[Finding]) -> None:
    from mcsd.cli.tables import Cell, Column, show_table

    columns = [Column("SEVERITY"), Column("RULE"), Column("WHERE", long=True), Column("WHAT", long=True)]
    rows: list[list[Cell]] = []
    for one in findings:
        rows.append([(one.weight.word, _STYLES[one.weight]), one.rule.id, one.subject, one.text])
    show_table(screen, columns, rows)


def _show_finding(screen: Screen, finding: Finding) -> None:
    word = f"{finding.weight.word:<9}"
    where = " ".join(
        part
        for part in (
            f"guide {finding.rule.guide}" if finding.rule.guide else "",
            f"CIS {finding.rule.cis}" if finding.rule.cis else "",
        )
        if part
    )
    title = f"{printable(finding.subject)}: {finding.rule.title}"
    screen.paragraph(
        f"{title}  ({finding.rule.id}{', ' + where if where else ''})",
        first=word,
        rest=" " * 9,
        painted=screen.paint(word, _STYLES[finding.weight]),
    )
    screen.paragraph(finding.text, first=" " * 9, rest=" " * 9)
    screen.paragraph(finding.seen, first=" " * 9 + "seen: ", rest=" " * 15)
    screen.paragraph(finding.remedy, first=" " * 9 + "next: ", rest=" " * 15)
