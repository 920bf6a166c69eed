"""`mcsctl why`: which rule of the kernel denied something to a container, and what to do.

Reads the audit log (or the journal), asks mcsd about containers and levels, and the loaded policy which rule
it was. Only root may read the log; audit2why is loaded here and not in the daemon.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from mcsd.adapters.audit.devices import names_of
from mcsd.adapters.audit.log import LOG, JournalRecords, LogFiles, open_log
from mcsd.adapters.audit.records import Records
from mcsd.adapters.audit.rules import PolicyRules, expected_label, label_of
from mcsd.adapters.proc.processes import ProcProcesses
from mcsd.cli.client import Client, segment
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen, clock, duration
from mcsd.cli.why_world import ask_world
from mcsd.core.denials.causes import FILE_CLASSES, Cause, explain, standing
from mcsd.core.denials.facts import DenyingRule, Held, PolicyVerdict, Scene, Somebody
from mcsd.core.denials.sought import Sought, candidates, claimants, gone, is_sought, where, whose
from mcsd.core.denials.values import (
    ENGINE_TYPES,
    Denial,
    DenialKind,
    Storm,
    Storms,
    concerns_containers,
    context_of,
    type_of,
)
from mcsd.core.durations import seconds_in
from mcsd.core.json_values import encodable, moment
from mcsd.core.notices import printable
from mcsd.errors import HostError, SelinuxError

SHOWN = 10
"""Default number of storms that are shown, the newest."""
INSIDE = 50
"""The most volumes inside one mount that are checked."""
AGAIN = 600.0
"""Seconds after which a continuing denial is reported again."""
TOLD_AT_ONCE = 100
SEARCHED = 20_000
"""The most inodes that are searched for one without a recorded path, in each mount."""


class PolicyAccess(Protocol):
    """The policy, as far as it is needed; tests have their own."""

    def ask(self, source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> PolicyVerdict:
        """See `mcsd.adapters.audit.rules.PolicyRules`."""
        ...


@dataclass(frozen=True, slots=True)
class WhyOptions:
    """The options. `since` is in seconds since the epoch."""

    name: str = ""
    since: float = 0.0
    follow: bool = False
    lines: int = SHOWN
    json: bool = False
    tell: bool = False


@dataclass(frozen=True, slots=True)
class WhyPaths:
    """Paths on the host; tests use others."""

    log: Path = LOG
    proc: Path = Path("/proc")
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A storm with its scene and causes."""

    storm: Storm
    scene: Scene
    causes: tuple[Cause, ...]


def moment_of(text: str, now: float) -> float:
    """Parse `10min`, `2h`, `1d` as so long ago, or a date or time; raise `CtlError`."""
    ago = None if text.isdecimal() else seconds_in(text)  # a plain number is a date, 20261129
    if ago is not None:
        return now - ago
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        raise CtlError(
            f"--since: {text!r} is no time",
            hint='write "10min", "2h", "1d" or "2026-11-29 14:00"',
            status=Exit.USAGE,
        ) from exc


def why(wish: WhyOptions, place: WhyPaths, client: Client, screen: Screen) -> Exit:
    """Run `mcsctl why`; raise `CtlError`."""
    try:
        rules = PolicyRules(place.policy)
        try:
            return WhyRun(wish, place, client, rules, open_log(place.log)).run(screen)
        finally:
            rules.close()
    except HostError as exc:
        raise CtlError(exc.what, hint=exc.hint) from exc


class WhyRun:
    """One run."""

    def __init__(
        self,
        wish: WhyOptions,
        place: WhyPaths,
        client: Client,
        rules: PolicyAccess,
        log: LogFiles | JournalRecords,
    ) -> None:
        self._wish, self._place, self._client, self._rules, self._log = wish, place, client, rules, log
        self._world = ask_world(client)
        self._sought = self._what_is_sought()
        self._types = {type_of(one.process) for one in self._world.containers}
        self._records = Records()

    def run(self, screen: Screen) -> Exit:
        """Print what was denied, and follow new denials if requested."""
        if self._wish.tell:
            self._follow(screen)
            return Exit.DONE
        storms = self._collected()
        told = tuple(map(self._told, storms.all()[-self._wish.lines :])) if self._wish.lines else ()
        still = () if told else self._standing()
        if self._wish.json and not self._wish.follow:
            screen.line(json.dumps(self._as_json(told, still, storms), indent=2))
        elif self._wish.json:
            for one in told:
                screen.line(json.dumps(_as_object(one)))
        else:
            self._show(screen, told, still, storms)
        if self._wish.follow:
            self._follow(screen)
        return Exit.DONE

    # --- what is sought ------------------------------------------------------------------------------

    def _what_is_sought(self) -> Sought:
        name = self._wish.name
        if not name:
            return Sought(self._wish.since)
        if name[:1] in {"/", "."}:
            return Sought(self._wish.since, path=os.path.abspath(name))  # noqa: PTH100  (links stay)
        try:
            item = self._client.get(f"/v1/containers/{segment(name)}")
        except CtlError as exc:
            level = gone(name, self._world)
            if exc.status is not Exit.NOT_FOUND or not level:
                raise
            return Sought(self._wish.since, level=level)
        return Sought(self._wish.since, container=str(item["id"]))

    def _collected(self) -> Storms:
        storms = Storms()
        for lines in self._log.since(self._wish.since):
            for denial in (*self._records.feed(lines), *self._records.age()):
                self._add(storms, denial)
        for denial in self._records.flush():
            self._add(storms, denial)
        return storms

    def _add(self, storms: Storms, denial: Denial) -> Storm | None:
        if denial.time < self._sought.since or not concerns_containers(denial, self._types):
            return None
        if not self._sought.is_everything:  # otherwise a storm would read /proc for each denial
            who, host, _ = self._placed(denial, search=bool(self._sought.path))
            if not is_sought(self._sought, denial, who, host):
                return None
        return storms.add(denial)

    def _placed(self, denial: Denial, *, search: bool) -> tuple[Somebody | None, str, Held | None]:
        """Return a denial's container, host path and claim; with `search`, by inode if no path is known."""
        if type_of(denial.source) in ENGINE_TYPES:
            return self._engines(denial)
        who = whose(denial, self._world, self._container_of(denial))
        host, claim = where(denial, who)
        if search and not host:
            host, claim = self._by_inode(denial, who)
        return who, host, claim

    def _engines(self, denial: Denial) -> tuple[Somebody | None, str, Held | None]:
        """Find the container that an engine worked for, by device and inode of the mount's source.

        The recorded path is the engine's mount point."""
        for one in self._world.containers if denial.inode is not None else ():
            for claim in one.claims:
                with suppress(OSError):
                    if os.stat(claim.source).st_ino == denial.inode and _is_on(claim.source, denial.device):
                        return one, claim.source, claim
        return None, "", None

    def _container_of(self, denial: Denial) -> str:
        """Return the container of a process, if it is still the one that was denied."""
        try:
            carrier = ProcProcesses(self._place.proc).level_of(denial.pid)
        except SelinuxError:
            return ""
        return carrier.container if carrier is not None and str(carrier.context) == denial.source else ""

    # --- what is found out ---------------------------------------------------------------------------

    def _told(self, storm: Storm) -> Told:
        scene = self._scene(storm.first)
        return Told(storm, scene, explain(scene, self._world))

    def _scene(self, denial: Denial) -> Scene:
        who, host, claim = self._placed(denial, search=True)
        scene = Scene(denial, who, PolicyVerdict(DenyingRule.UNKNOWN), host, claim)
        if denial.kind is not DenialKind.AVC:
            return scene
        scene = replace(scene, verdict=self._verdict(denial))
        return self._with_labels(scene) if host and denial.tclass in FILE_CLASSES else scene

    def _verdict(self, denial: Denial) -> PolicyVerdict:
        found = self._rules.ask(denial.source, denial.target, denial.tclass, denial.permissions)
        if found.rule not in {DenyingRule.TYPES, DenyingRule.BOOLEAN}:
            return found
        return replace(found, categories=self._by_levels_alone(denial))

    def _by_levels_alone(self, denial: Denial) -> bool | None:
        """Tell whether the levels would be denied too, if the file had the type of containers' files."""
        context = context_of(denial.target)
        if context is None or denial.tclass not in FILE_CLASSES:
            return None
        as_container = replace(context, type=self._world.file_type)
        found = self._rules.ask(denial.source, str(as_container), denial.tclass, denial.permissions)
        return found.rule is DenyingRule.CONSTRAINT

    def _with_labels(self, scene: Scene) -> Scene:
        denial = scene.denial
        try:
            found = os.lstat(scene.host)
        except OSError:
            return scene
        label, now = label_of(scene.host), None
        if label and label != denial.target and denial.inode in {None, found.st_ino}:
            now = self._rules.ask(denial.source, label, denial.tclass, denial.permissions)
        expected = expected_label(scene.host, found.st_mode)
        return replace(scene, label=label, expected=expected, links=found.st_nlink, now=now)

    def _by_inode(self, denial: Denial, who: Somebody | None) -> tuple[str, Held | None]:
        for claim in candidates(denial, who):
            found = _searched(claim.source, denial)
            if found:
                return found, claim
        return "", None

    # --- without a record ----------------------------------------------------------------------------

    def _standing(self) -> tuple[Told, ...]:
        """Return what would be denied now: for the requested path, or for the container's mounts."""
        found = []
        for who, path, claim in self._stands():
            denial = _reading(who, path, self._place.proc)
            if denial is None or not denial.target:
                continue
            verdict = self._verdict(denial)
            scene = replace(
                Scene(denial, who, verdict, path, claim), label=denial.target, expected=_policys(path)
            )
            causes = standing(scene, self._world, who=who)
            if causes:
                found.append(Told(Storm(denial, denial.time, 0), scene, causes))
        return tuple(found)

    def _stands(self) -> Iterator[tuple[Somebody, str, Held]]:
        sought = self._sought
        for one in claimants(sought.path, self._world.containers) if sought.path else self._world.containers:
            if sought.container and one.id != sought.container:
                continue
            if not one.running or not (sought.path or sought.container):
                continue
            for claim in one.claims:
                if not sought.path:
                    yield one, claim.source, claim
                    # Denials of others' volumes below it are what policies most often do not audit.
                    for volume in islice(self._below(claim.source), INSIDE):
                        yield one, volume, claim
                elif claim is one.claim_at(sought.path):
                    yield one, sought.path, claim

    def _below(self, source: str) -> Iterator[str]:
        return (
            volume
            for volume in self._world.volumes
            if volume != source and PurePosixPath(volume).is_relative_to(source)
        )

    # --- following -----------------------------------------------------------------------------------

    def _follow(self, screen: Screen) -> None:
        storms, begun = Storms(), time.monotonic()
        for lines in self._log.follow():
            if time.monotonic() - begun > AGAIN:
                storms, begun = Storms(), time.monotonic()
            found = [*self._records.feed(lines), *self._records.age()]
            new = [storm for denial in found if (storm := self._add(storms, denial)) is not None]
            if new:
                self._world = ask_world(self._client)
            told = tuple(map(self._told, new))
            if self._wish.tell:
                self._tell(told)
                continue
            for one in told:
                if self._wish.json:
                    screen.line(json.dumps(_as_object(one)))
                else:
                    _show_one(screen, one)
                screen.out.flush()

    def _tell(self, told: tuple[Told, ...]) -> None:
        for start in range(0, len(told), TOLD_AT_ONCE):
            items = [_short(one) for one in told[start : start + TOLD_AT_ONCE]]
            self._client.post("/v1/denials", {"items": items})

    # --- how it is told ------------------------------------------------------------------------------

    def _as_json(self, told: Iterable[Told], still: Iterable[Told], storms: Storms) -> Mapping[str, Any]:
        return {
            "version": 1,
            "source": self._log.name(),
            "since": _moment(self._wish.since),
            "denials": [_as_object(one) for one in told],
            "standing": [_as_object(one) for one in still],
            "uncounted": storms.lost,
        }

    def _show(self, screen: Screen, told: tuple[Told, ...], still: tuple[Told, ...], storms: Storms) -> None:
        for number, one in enumerate((*told, *still)):
            if number:
                screen.line()
            _show_one(screen, one)
        hidden = len(storms.all()) - len(told)
        if hidden > 0:
            screen.line()
            what = f"{self._wish.name} " if self._wish.name else ""
            screen.line(printable(f"{hidden} older ones: mcsctl why {what}--lines {len(told) + hidden}"))
        if storms.lost:
            screen.line(f"{storms.lost:,} more were of other kinds than could be told apart")
        if not told:
            self._show_nothing(screen, bool(still))

    def _show_nothing(self, screen: Screen, still: bool) -> None:
        if still:
            screen.line()
        who = printable(self._wish.name) if self._wish.name else "any container"
        ago = duration(screen.now - self._wish.since)
        screen.paragraph(
            f"SELinux has denied nothing to {who} in the last {ago} that {self._log.name()} knows of.",
            first="",
            rest="",
        )
        if not still:
            text = (
                "What is told Permission denied all the same is denied by file modes, capabilities or "
                "seccomp; or by "
                "a rule that the policy keeps silent about: semodule -DB has it written down, "
                "semodule -B ends that."
            )
            screen.paragraph(text, first="", rest="")


def _policys(path: str) -> str:
    try:
        return expected_label(path, os.lstat(path).st_mode)
    except OSError:
        return ""


def _is_on(path: str, device: str) -> bool:
    """Tell whether a path is on the file system that a record names; True if it names none."""
    return not device or device in names_of(path)


def _searched(top: str, denial: Denial) -> str:
    """Return the path of an inode below a directory, "" if it is not among the first `SEARCHED`."""
    seen, inode, name = 0, denial.inode, denial.name
    try:
        at_top = os.lstat(top)
        if not _is_on(top, denial.device):
            return ""
    except OSError:
        return ""
    if PurePosixPath(top).name == name and at_top.st_ino == inode:
        return top
    for path, directories, files, descriptor in os.fwalk(top):
        for entry in (*directories, *files):
            seen += 1
            if seen > SEARCHED:
                return ""
            if entry == name:
                with suppress(OSError):
                    found = os.stat(entry, dir_fd=descriptor, follow_symlinks=False)
                    if (found.st_dev, found.st_ino) == (at_top.st_dev, inode):
                        return os.path.join(path, entry)
    return ""


def _reading(who: Somebody, path: str, proc: Path) -> Denial | None:
    """Return reading a path as a denial, to be judged."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    tclass = {stat.S_IFDIR: "dir", stat.S_IFSOCK: "sock_file"}.get(stat.S_IFMT(found.st_mode), "file")
    wanted = {"dir": ("read", "search"), "sock_file": ("write",)}.get(tclass, ("open", "read"))
    return Denial(
        DenialKind.AVC,
        time=0.0,
        serial=0,
        source=who.process,
        pid=who.pid or 0,
        target=label_of(path),
        tclass=tclass,
        permissions=wanted,
        path=path,
        inode=found.st_ino,
        uid=_user(who, proc),
        mode=found.st_mode,
        owner=found.st_uid,
    )


def _user(who: Somebody, proc: Path) -> int | None:
    """Return the user id, on the host, of a container's first process."""
    try:
        text = (proc / str(who.pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^Uid:\t\d+\t(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


# --- one screen ----------------------------------------------------------------------------------------


def _moment(seconds: float | None) -> str | None:
    return moment(seconds).isoformat() if seconds else None


def _as_object(told: Told) -> dict[str, Any]:
    storm, scene = told.storm, told.scene
    denial = storm.first
    shown = {
        "kind": denial.kind.value,
        "first": _moment(denial.time),
        "last": _moment(storm.last),
        "count": storm.count,
        "others": storm.others,
        "container": scene.who.id if scene.who else None,
        "name": scene.who.name if scene.who else None,
        "command": denial.command,
        "call": denial.call or None,
        "permissions": list(denial.permissions),
        "class": denial.tclass or None,
        "path": denial.path or denial.name or None,
        "host_path": scene.host or None,
        "volume": scene.claim.source if scene.claim else None,
        "source": denial.source,
        "target": denial.target or None,
        "label": scene.label or None,
        "expected": scene.expected or None,
        "rule": scene.verdict.rule.value if denial.kind is DenialKind.AVC else None,
        "booleans": list(scene.verdict.booleans),
        "categories": scene.verdict.categories,
        "silent": scene.verdict.silent,
        "serial": denial.serial or None,
        "causes": [
            {
                "code": cause.code.value,
                "text": encodable(cause.text),
                "commands": [encodable(one) for one in cause.commands],
                "advice": encodable(cause.advice),
                "since": _moment(cause.since),
            }
            for cause in told.causes
        ],
    }
    return {key: encodable(value) for key, value in shown.items()}


def _short(told: Told) -> dict[str, Any]:
    scene, cause = told.scene, told.causes[0]
    return {
        "time": told.storm.first.time,
        "container": scene.who.id if scene.who else "",
        "name": encodable(scene.who.name[:256]) if scene.who else "",
        "cause": cause.code.value,
        "text": encodable(_what(told)[:500]),
        "because": encodable(cause.text[:500]),
        "hint": encodable((cause.commands[0] if cause.commands else cause.advice)[:500]),
    }


def _who(told: Told) -> str:
    scene = told.scene
    if scene.who is not None:
        return scene.who.name
    context = context_of(scene.denial.source)
    return f"a process at {context.range} that is no container's now" if context else "a process"


def _what(told: Told) -> str:
    denial = told.storm.first
    if denial.kind is not DenialKind.AVC:
        return denial.call or "a system call"
    where_ = denial.path or (f"something named {denial.name}" if denial.name else f"a {denial.tclass}")
    others = " and others" if told.storm.others else ""
    verb = "would be denied" if told.storm.count == 0 else "was denied"
    return f"{verb} {' '.join(denial.permissions)} on {where_}{others}"


def _show_one(screen: Screen, told: Told) -> None:
    """Print one denial: what, by whom, where, why, and what to do."""
    storm, scene = told.storm, told.scene
    denial = storm.first
    did = f" ({denial.command})" if denial.command else ""
    what = _what(told) if denial.kind is DenialKind.AVC else f"could not {_what(told)}"
    screen.paragraph(f"{_who(told)}{did} {what}", first="", rest="  ", style="strong")
    if storm.count:
        times = "once" if storm.count == 1 else f"{storm.count:,} times, the last"
        _entry(screen, "when", f"{times} at {clock(storm.last)}")
    if scene.host and scene.host != denial.path:
        _entry(screen, "on host", scene.host)
    if scene.claim is not None:
        _entry(screen, "volume", f"{scene.claim.source} on {scene.claim.destination} ({scene.claim.mode})")
    if denial.target:
        changed = f", and now {scene.label}" if scene.label and scene.label != denial.target else ""
        _entry(screen, "label", f"{denial.target}{changed}; asked by {denial.source}")
    for number, cause in enumerate(told.causes):
        since = f" (since {clock(cause.since)})" if cause.since else ""
        _entry(screen, "and" if number else "because", f"{cause.code.value}: {cause.text}{since}")
        for command in cause.commands:
            screen.line(f"  {'type':<8} {printable(command)}")  # not wrapped, so that it can be copied
        if cause.advice:
            _entry(screen, "next" if not cause.commands else "or", cause.advice)


def _entry(screen: Screen, key: str, text: str) -> None:
    screen.paragraph(text, first=f"  {key:<8} ", rest=" " * 11)
