"""What a container's labels and options ask of mcsd, and what in them is not valid.

`io.mcsd.volume` is parsed here. An invalid part has no effect, and is reported with the closest valid word.
Docker's own `--security-opt label=` is explained as well.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.core.containers import LABEL_PREFIX, Container, Mount, MountKind
from mcsd.core.labels import LevelRange
from mcsd.core.volumes import ClaimMode
from mcsd.errors import LabelSyntaxError

KEYS = ("boolean", "group", "volume")
"""Valid keys after `io.mcsd.` in a label."""

_MODES = tuple(mode.value for mode in ClaimMode)
_FORM = "io.mcsd.volume=/data:shared,/logs:ignore"


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about what a container asks for. `misread` if mcsd does not understand it."""

    subject: str
    text: str
    hint: str = ""
    misread: bool = False


def is_claimable(mount: Mount) -> bool:
    """Tell whether a mount shows files of the host that can be labelled."""
    local = mount.kind is MountKind.VOLUME and mount.driver in {"", "local"}
    return bool(mount.source) and (mount.kind is MountKind.BIND or local)


def wishes(container: Container) -> dict[str, ClaimMode]:
    """Parse `io.mcsd.volume=/data:shared,/logs:ignore`: modes by destination, of duplicates the last."""
    modes = {}
    for part in _parts(container):
        destination, colon, mode = part.rpartition(":")
        if colon and destination.startswith("/") and mode in _MODES:
            modes[str(PurePosixPath(destination))] = ClaimMode(mode)
    return modes


def notes(container: Container) -> tuple[Note, ...]:
    """Return remarks on invalid labels, and on what `--security-opt label=` means for mcsd."""
    return (*_unknown_keys(container), *_misread(container), *_options(container.security_options))


def _parts(container: Container) -> Iterator[str]:
    return filter(None, (part.strip() for part in (container.label("volume") or "").split(",")))


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word that was most likely meant, "" if none is similar."""
    spelt = {one.lower(): one for one in words}
    near = difflib.get_close_matches(word.lower(), spelt, n=1, cutoff=0.5)
    return spelt[near[0]] if near else ""


def _unknown_keys(container: Container) -> Iterator[Note]:
    for key, value in container.labels:
        name = key.removeprefix(LABEL_PREFIX)
        if name not in KEYS and (key, value) not in container.image_labels:
            near = nearest(name, KEYS)
            hint = (
                f"write {LABEL_PREFIX}{near}"
                if near
                else "there are " + ", ".join(LABEL_PREFIX + one for one in KEYS)
            )
            yield Note(key, "mcsd knows no such label", hint, misread=True)


def _misread(container: Container) -> Iterator[Note]:
    seen: dict[str, str] = {}
    for part in _parts(container):
        for text, hint in _why(part, container, seen):
            yield Note("io.mcsd.volume", f"{part!r} {text}", hint, misread=True)


def _why(part: str, container: Container, seen: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Return what is wrong with one part, with the right form; nothing if it is valid."""
    destination, mode = _split(part)
    right = _right_destination(destination, container), nearest(mode, _MODES)
    proper = f"write {right[0]}:{right[1]}" if all(right) else f"it is written {_FORM}"
    if ";" in part:
        yield (
            "has ';' in it: parts go with ','",
            "write " + ",".join(piece.strip() for piece in part.split(";") if piece.strip()),
        )
    elif part.rpartition(":")[2] not in _MODES or not part.startswith("/"):
        yield _what_is_wrong(part, destination, mode), proper
    elif (mount := _mount_at(destination, container)) is None:
        yield "names no mount of this container", proper if right[0] else _there_are(container)
    elif not is_claimable(mount):
        yield f"names a mount of the kind {mount.kind.value}, which has no files of the host", ""
    elif mode == ClaimMode.GROUP and not container.label("group"):
        yield "takes the label io.mcsd.group as well", "add the label io.mcsd.group with the group's name"
    elif seen.setdefault(destination, mode) != mode:
        yield f"is the second word on {destination}: this one counts, not {seen[destination]!r}", "write one"


def _split(part: str) -> tuple[str, str]:
    """Split a misspelt part by what it probably means: `/data=shared`, `/data shared`, `/data`."""
    found = re.fullmatch(r"(.*?)\s*[:=\s]\s*([^:=/\s]*)", part)
    return (found[1], found[2]) if found else (part, "")


def _what_is_wrong(part: str, destination: str, mode: str) -> str:
    if not part.startswith("/"):
        return "does not begin with an absolute path"
    if mode in _MODES:
        return "has no ':' between path and mode"
    return f"has no mode that there is: {mode!r}" if mode else "has no mode"


def _right_destination(destination: str, container: Container) -> str:
    places = [mount.destination for mount in container.mounts if is_claimable(mount)]
    cleaned = str(PurePosixPath("/") / destination) if destination else ""
    return cleaned if cleaned in places else nearest(cleaned, places)


def _mount_at(destination: str, container: Container) -> Mount | None:
    here = str(PurePosixPath(destination))
    return next((mount for mount in container.mounts if str(PurePosixPath(mount.destination)) == here), None)


def _there_are(container: Container) -> str:
    places = sorted(mount.destination for mount in container.mounts if is_claimable(mount))
    return "there are " + ", ".join(places) if places else "take it out: nothing of the host is mounted"


# --- Docker's own options ------------------------------------------------------------------------------


def _options(options: Iterable[str]) -> Iterator[Note]:
    for option in options:
        found = re.fullmatch(r"label[=:](.*)|(disable|(?:level|type|user|role):.*)", option)
        if found is not None:
            yield from _option(option, found[1] or found[2])


def _option(option: str, setting: str) -> Iterator[Note]:
    key, _, value = setting.partition(":")
    match key:
        case "level":
            yield _level(option, value)
        case "type":
            yield Note(
                option,
                f"it runs in the domain {value}, not in the policy's own for containers; whether categories "
                "bind that one is asked of the kernel",
            )
        case "filetype":
            yield Note(
                option,
                f"the engine gives its root file system the type {value}; volumes get [labels] file_type all "
                "the same",
            )
        case "nested":
            yield Note(
                option,
                "it may label files and start containers of its own; mcsd sees their processes, and takes "
                "their levels for those of foreign processes",
            )
        case "user" | "role":
            yield Note(option, f"it runs with the SELinux {key} {value}; mcsd goes by the level alone")
        case "disable":
            yield Note(option, "the engine does not label it: it is unconfined, and gets no level")


def _level(option: str, value: str) -> Note:
    try:
        levels = LevelRange.parse(value)
    except LabelSyntaxError as exc:
        return Note(option, exc.what, exc.hint)
    if levels.low == levels.high:
        return Note(option, "whoever made it chose this level; mcsd keeps it, and tells who else is near it")
    return Note(
        option,
        f"a range: it reads up to {levels.high}, the level that mcsd goes by; where the policy gives "
        f"new files their maker's level, they carry {levels.low}",
        f"give one level: label=level:{levels.high}",
    )
