"""Which rule denied something, and what to do. Pure, from a scene and the world around it.

A denial can have two causes, and both have to be fixed: if no rule allows the types, the policy's answer says
nothing about categories, so they are judged separately. Every cause has a code for programs, a sentence, and
what to do: commands that can be typed as they are, or advice if no command can do it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath

from mcsd.core.denials.calls import capability_for, kept_out
from mcsd.core.denials.facts import DenyingRule, Held, LevelHolder, Scene, Somebody, World
from mcsd.core.denials.values import ENGINE_TYPES, DenialKind, level_of, type_of
from mcsd.core.labels import Level
from mcsd.core.leftout import LeftOut


class Code(StrEnum):
    """Causes; part of the API."""

    OTHERS_VOLUME = "others-volume"
    STRAY = "stray"
    STALE = "stale"
    NOT_LABELLED = "not-labelled"
    REFUSED = "refused"
    LEFT_OUT = "left-out"
    LEFT_ALONE = "left-alone"
    OTHERS_PROCESS = "others-process"
    TYPE = "type"
    BOOLEAN = "boolean"
    ENGINE = "engine"
    OTHER_RULE = "other-rule"
    SECCOMP = "seccomp"
    FILE_MODE = "file-mode"
    CAPABILITY = "capability"
    PERMISSIVE = "permissive"
    MENDED = "mended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    `commands` are to be run as root, one after the other; `advice` is for what no command can do.
    """

    code: Code
    text: str
    commands: tuple[str, ...] = ()
    advice: str = ""
    since: float | None = None
    """Since when the other holder has held the level."""


FILE_CLASSES = frozenset({"file", "dir", "lnk_file", "chr_file", "blk_file", "sock_file", "fifo_file"})
_LABELLED = frozenset({"private", "shared", "group"})
_BUSY = "pending"
_BROKEN = frozenset({"refused", "failed", "partial"})


def explain(scene: Scene, world: World) -> tuple[Cause, ...]:
    """Return the causes of a denial, at least one, in the order in which to fix them."""
    denial = scene.denial
    match denial.kind:
        case DenialKind.SECCOMP:
            return (_seccomp(scene),)
        case DenialKind.CALL:
            return (_call(scene),)
    if denial.permissive:
        text = f"it was let through: {type_of(denial.source)} is permissive, or SELinux does not enforce"
        return (Cause(Code.PERMISSIVE, text, ("mcsctl status",)),)
    if _is_mended(scene):
        return (_mended(scene),)
    if type_of(denial.source) in ENGINE_TYPES:
        return (_engine(scene),)
    found = [*_of_claim(scene, world)]
    if not found:
        found += _categories(scene, world)
        found += _types(scene, world, alone=not found)
    return tuple(found) or (_other_rule(scene),)


def _is_mended(scene: Scene) -> bool:
    if scene.now is not None:
        return scene.now.rule is DenyingRule.ALLOWED
    return scene.verdict.rule is DenyingRule.ALLOWED


def _mended(scene: Scene) -> Cause:
    now = scene.now is not None
    text = (
        f"it would be allowed now: {scene.host or scene.denial.path} carries {scene.label}, and carried "
        f"{scene.denial.target} then"
        if now
        else "the loaded policy allows it now: a rule or a boolean has changed since"
    )
    return Cause(Code.MENDED, text, _restart(scene), "a program that has given up has to be started again")


def _restart(scene: Scene) -> tuple[str, ...]:
    return (f"docker restart {_quoted(scene.who.name)}",) if scene.who else ()


def _quoted(text: str) -> str:
    return shlex.quote(text)


def _place(scene: Scene) -> str:
    return scene.host or scene.denial.path or scene.denial.name


# --- the claim that it is behind -----------------------------------------------------------------------


def _of_claim(scene: Scene, world: World) -> Iterator[Cause]:
    """Return what mcsd's claim on the volume explains: not labelled yet, not at all, or not this file."""
    claim, who = scene.claim, scene.who
    if claim is None or who is None or scene.denial.tclass not in FILE_CLASSES:
        return
    for path, (why, hint) in claim.left_out.items():
        if scene.host and PurePosixPath(scene.host).is_relative_to(path):
            text = f"{path} is in its volume {claim.source} and left as it is: {why}"
            yield Cause(Code.LEFT_OUT, text, advice=hint)
            return
    if claim.mode in _LABELLED and scene.links > 1 and scene.denial.tclass != "dir":
        known = LeftOut("multiply-linked", scene.host)
        text = f"{scene.host} is in its volume {claim.source} and left as it is: {known.text}"
        yield Cause(Code.LEFT_OUT, text, (f"find / -xdev -samefile {_quoted(scene.host)}",), known.hint)
    elif claim.state == _BUSY:
        text = f"its volume {claim.source} is not labelled for it yet: it carries {scene.denial.target}"
        yield Cause(Code.NOT_LABELLED, text, (f"mcsctl wait {_quoted(who.name)}", *_restart(scene)))
    elif claim.state in _BROKEN:
        text = f"its volume {claim.source} is not labelled for it: {claim.reason or claim.state}"
        yield Cause(Code.REFUSED, text, (f"mcsctl show {_quoted(who.name)}",), claim.hint)
    elif _is_left_alone(claim) and not _is_others(scene, world):
        yield _left_alone(scene)
        yield from _types(scene, world, alone=not _denied_by_categories(scene))


def _is_left_alone(claim: Held) -> bool:
    return claim.mode not in _LABELLED or claim.state == "unmanaged"


def _is_others(scene: Scene, world: World) -> bool:
    """Tell whether a path below a mount that mcsd leaves alone is in another container's volume."""
    target = level_of(scene.denial.target)
    volume = world.volume_at(scene.host) if scene.host else None
    if volume is None or target is None or world.volumes[volume] != str(target):
        return False
    return _denied_by_categories(scene) and any(
        scene.who is None or one.container != scene.who.id for one in world.who_holds(target)
    )


def _left_alone(scene: Scene) -> Cause:
    claim = scene.claim
    assert claim is not None
    why = claim.reason or f"its mode is {claim.mode}"
    text = f"mcsd leaves {claim.source} alone: {why}; it carries {scene.denial.target}"
    advice = claim.hint or (
        f"recreate it with --label io.mcsd.volume={claim.destination}:private (or :shared), if it "
        "is to have it"
    )
    return Cause(Code.LEFT_ALONE, text, advice=advice)


# --- categories ----------------------------------------------------------------------------------------


def _denied_by_categories(scene: Scene) -> bool:
    rule = scene.verdict.rule
    source, target = level_of(scene.denial.source), level_of(scene.denial.target)
    if source is None or target is None or source.dominates(target):
        return False
    return rule is DenyingRule.CONSTRAINT or scene.verdict.categories is True


def _categories(scene: Scene, world: World) -> Iterator[Cause]:
    if not _denied_by_categories(scene):
        return
    target = level_of(scene.denial.target)
    assert target is not None
    if scene.denial.tclass not in FILE_CLASSES:
        yield _others_process(scene, world, target)
        return
    holders = world.who_holds(target)
    others = [one for one in holders if scene.who is None or one.container != scene.who.id]
    volume = world.volume_at(scene.host) if scene.host else None
    is_its_volumes = volume is not None and world.volumes[volume] == str(target)
    own = scene.claim is not None and not _is_left_alone(scene.claim)
    if own:
        yield _foreign_label_in_own(scene, target, others)
    elif is_its_volumes and others:
        yield _others_volume(scene, target, others[0], volume or "")
    elif others:
        yield _stray(scene, world, target, others[0])
    else:
        yield _stale(scene, world, target)


def _told(holder: LevelHolder) -> str:
    match holder.state:
        case "quarantined":
            return f"{holder.name} held it and is gone; mcsd keeps it from others"
        case "foreign":
            return f"a process outside the engines runs at it ({holder.name}, pid {holder.pid})"
        case "group":
            return f"it is the group {holder.name}'s"
        case "reserved":
            return f"it is reserved under the name {holder.name}"
    return f"{holder.name} holds it"


def _others_volume(scene: Scene, target: Level, holder: LevelHolder, volume: str) -> Cause:
    text = f"{_place(scene)} is in {volume}, the volume of {holder.name}, at {target}: {_told(holder)}"
    if holder.state == "quarantined":
        return Cause(
            Code.OTHERS_VOLUME,
            text,
            (f"mcsctl restore {_quoted(volume)}", *_restart(scene)),
            since=holder.since,
        )
    advice = (
        "if both are to have it, recreate both with the label io.mcsd.volume=DESTINATION:shared "
        "for it, or as "
        f"members of one group; otherwise do not mount {volume} into this one"
    )
    return Cause(
        Code.OTHERS_VOLUME, text, (f"mcsctl volumes --path {_quoted(volume)}",), advice, holder.since
    )


def _foreign_label_in_own(scene: Scene, target: Level, others: list[LevelHolder]) -> Cause:
    """Explain a file in the container's own volume with another level: it came there with its label."""
    assert scene.claim is not None and scene.who is not None
    told = _told(others[0]) if others else "nobody holds it any more"
    text = (
        f"{_place(scene)} is in its own volume {scene.claim.source}, and came there with the level "
        f"{target}: {told}. "
        "cp -a, mv and backups carry labels along"
    )
    code = Code.STRAY if others else Code.STALE
    since = others[0].since if others else None
    return Cause(code, text, (f"mcsctl verify --repair {_quoted(scene.who.name)}",), since=since)


def _stray(scene: Scene, world: World, target: Level, holder: LevelHolder) -> Cause:
    place = _place(scene)
    text = f"{place} is in no volume that is to carry {target}, and does: {_told(holder)}"
    known = scene.host in world.strays
    advice = "" if known else "mcsctl scan finds others like it"
    return Cause(Code.STRAY, text, _reset(scene), advice, holder.since)


def _stale(scene: Scene, world: World, target: Level) -> Cause:
    text = f"{_place(scene)} carries {target}, which nobody holds any more"
    return Cause(Code.STALE, text, _reset(scene))


def _reset(scene: Scene) -> tuple[str, ...]:
    if not scene.host:
        return ()
    return (f"restorecon -F {_quoted(scene.host)}", *_then(scene))


def _then(scene: Scene) -> tuple[str, ...]:
    """Return the command that labels a file in a volume for its container, after restorecon."""
    if scene.claim is None or scene.who is None:
        return ()
    return (f"mcsctl verify --repair {_quoted(scene.who.name)}",)


def _others_process(scene: Scene, world: World, target: Level) -> Cause:
    holders = world.who_holds(target)
    whose = f"of {holders[0].name}" if holders else f"at {target}"
    text = f"it is about a {scene.denial.tclass} {whose}, which is another level's: {target}"
    advice = (
        "if the two are to reach each other so, give them one level: --pid=container:NAME or "
        "--ipc=container:NAME, or "
        "--security-opt label=level: from one mcsctl reserve; otherwise have them talk over the network"
    )
    return Cause(Code.OTHERS_PROCESS, text, advice=advice)


# --- type enforcement ----------------------------------------------------------------------------------


def _types(scene: Scene, world: World, *, alone: bool) -> Iterator[Cause]:
    rule = scene.verdict.rule
    if rule is DenyingRule.BOOLEAN:
        yield _boolean(scene, world)
    elif rule is DenyingRule.TYPES:
        yield _type(scene, world, alone=alone)


_CAPABILITIES = ("capability", "cap_userns", "cap2_userns")


def _denied(scene: Scene) -> str:
    denial = scene.denial
    what = " ".join(denial.permissions) or "anything"
    if denial.tclass.startswith(_CAPABILITIES):
        return f"no rule lets {type_of(denial.source)} use the capability {what}"
    return f"no rule lets {type_of(denial.source)} {what} a {denial.tclass} of type {type_of(denial.target)}"


def _boolean(scene: Scene, world: World) -> Cause:
    names = scene.verdict.booleans
    known = {one.name: one for one in world.booleans}
    first = next((name for name in names if name in known), names[0])
    text = f"{_denied(scene)}, unless a boolean is on: {', '.join(names)}. It holds for the whole host"
    if first not in known:
        advice = f'to have mcsd lease it, write {first} = "lease" under [booleans] in mcsd.toml'
        return Cause(Code.BOOLEAN, text, (f"setsebool {first} on",), advice)
    if known[first].wish == "lease":
        advice = f"mcsd leases it: recreate the container with --label io.mcsd.boolean={first}"
        return Cause(Code.BOOLEAN, text, (f"mcsctl booleans {first} on",), advice)
    if known[first].wish == "unmanaged":
        return Cause(Code.BOOLEAN, text, (f"setsebool {first} on",))
    advice = f"mcsd holds it {known[first].wish}; the command is good until mcsd's next start"
    return Cause(Code.BOOLEAN, text, (f"mcsctl booleans {first} on",), advice)


def _type(scene: Scene, world: World, *, alone: bool) -> Cause:
    denial, who = scene.denial, scene.who
    text = _denied(scene)
    if denial.tclass in FILE_CLASSES and scene.expected:
        policys = type_of(scene.expected)
        text += f"; the policy's own label for {scene.host} is {policys}, a volume's is {world.file_type}"
    own = scene.claim is not None and not _is_left_alone(scene.claim)
    if own and who is not None and denial.tclass in FILE_CLASSES:
        advice = (
            "a type of the system's own is left out by a rule, and stays: give the container a copy "
            "of the file"
        )
        return Cause(Code.TYPE, text, (f"mcsctl verify --repair {_quoted(who.name)}",), advice)
    return Cause(Code.TYPE, text, _module(scene) if alone else (), _type_advice(scene))


def _type_advice(scene: Scene) -> str:
    if scene.denial.tclass.startswith(_CAPABILITIES):
        return "--cap-add does not help: the domain may not use it on this policy"
    return "it is for every container of this domain, so see whether it can do without; semodule -r undoes it"


_WITH = {
    ("file", "read"): "getattr open read",
    ("file", "write"): "append getattr open write",
    ("file", "execute"): "execute execute_no_trans getattr map open read",
    ("dir", "read"): "getattr open read search",
    ("dir", "search"): "getattr search",
    ("dir", "write"): "add_name remove_name search write",
    ("sock_file", "write"): "getattr write",
}
"""Permissions that go with another: the kernel checks one after the other, and records only the first
that is denied."""


def _module(scene: Scene) -> tuple[str, ...]:
    """Return commands that load a local CIL module, with all permissions that the access needs."""
    denial = scene.denial
    wanted = set(denial.permissions)
    for permission in denial.permissions:
        wanted |= set(_WITH.get((denial.tclass, permission), "").split())
    source, target = type_of(denial.source), type_of(denial.target)
    whose = "self" if source == target and denial.tclass.startswith(_CAPABILITIES) else target
    rule = f"(allow {source} {whose} ({denial.tclass} ({' '.join(sorted(wanted))})))"
    name = f"local_{denial.serial}"
    return f"echo '{rule}' >{name}.cil", f"semodule -i {name}.cil"


def _engine(scene: Scene) -> Cause:
    """Explain a denial of the engine itself, which keeps a container from starting."""
    text = f"Docker itself was denied it: {_denied(scene)}"
    if scene.who is not None and scene.claim is not None:
        name = _quoted(scene.who.name)
        text += f"; {scene.who.name} is to have {scene.claim.source}"
        if _is_left_alone(scene.claim):
            return Cause(Code.ENGINE, text, advice=_left_alone(scene).advice)
        return Cause(
            Code.ENGINE, text + ", which mcsd labels", (f"mcsctl wait {name}", f"docker start {name}")
        )
    return Cause(Code.ENGINE, text, advice="see journalctl -u docker for the container that it was about")


def _other_rule(scene: Scene) -> Cause:
    match scene.verdict.rule:
        case DenyingRule.CONSTRAINT:
            text = "a constraint of the policy denies it, and not by categories: by user, role or process"
        case DenyingRule.ROLES:
            text = "the policy lets no role change so"
        case DenyingRule.BOUNDS:
            text = "its domain is bounded by another that may not do it either"
        case _:
            text = "the loaded policy could not be asked about these contexts: another policy was loaded then"
            return Cause(Code.UNKNOWN, text, ("mcsctl status",))
    return Cause(Code.OTHER_RULE, text, _module(scene))


# --- not SELinux ---------------------------------------------------------------------------------------


def _seccomp(scene: Scene) -> Cause:
    denial = scene.denial
    ended = f", and its process was ended (signal {denial.signal})" if denial.signal else ""
    text = f"SELinux did not deny it: the container's seccomp profile has no {denial.call}{ended}"
    name = _quoted(scene.who.name) if scene.who else "NAME"
    advice = (
        "recreate it with --security-opt seccomp=FILE, where FILE is the engine's default profile with "
        f"{denial.call} "
        "added, if it needs the call; --security-opt seccomp=unconfined shows whether that was all"
    )
    return Cause(
        Code.SECCOMP, text, (f"docker inspect --format '{{{{.HostConfig.SecurityOpt}}}}' {name}",), advice
    )


def _call(scene: Scene) -> Cause:
    denial = scene.denial
    capability = capability_for(denial.call)
    head = f"SELinux did not deny it: {denial.call} failed with {denial.errno}"
    if denial.errno == "EPERM" and capability:
        advice = f"recreate it with --cap-add={capability}, if it needs that"
        return Cause(Code.CAPABILITY, f"{head}, which takes the capability {capability}", advice=advice)
    told = kept_out(denial.mode, denial.owner, denial.uid)
    if told:
        return _by_mode(scene, f"{head}: {told}")
    advice = (
        "see its capabilities (mcsctl audit), and whether what it works on is mounted read-only or immutable"
    )
    return Cause(Code.CAPABILITY, f"{head}; no record says more", advice=advice)


def _by_mode(scene: Scene, text: str) -> Cause:
    denial = scene.denial
    commands = (f"chown {denial.uid} {_quoted(scene.host)}",) if scene.host and denial.uid is not None else ()
    return Cause(Code.FILE_MODE, text, commands, f"run it as the file's owner: --user {denial.owner}")


# --- without a record ----------------------------------------------------------------------------------


def standing(scene: Scene, world: World, *, who: Somebody) -> tuple[Cause, ...]:
    """Return what would deny a container access now, without a record of it; empty if nothing would."""
    if scene.verdict.rule is DenyingRule.ALLOWED:
        told = kept_out(scene.denial.mode, scene.denial.owner, scene.denial.uid)
        if not told:
            return ()
        text = f"SELinux lets {who.name} in; the file's mode does not: {told}"
        return (_by_mode(scene, text),)
    causes = explain(scene, world)
    if not scene.verdict.silent:
        return causes
    first = causes[0]
    text = f"{first.text}. The policy does not write this denial down (dontaudit)"
    advice = f"{first.advice}; " if first.advice else ""
    advice += "semodule -DB has it written down, semodule -B ends that"
    return (replace(first, text=text, advice=advice), *causes[1:])
