"""The kernel's audit records, assembled and parsed by libaudit's own parser, as denials.

Records of one event are interleaved with others'; their values may be hexadecimal, and a log may be
"enriched" with names after a 0x1d. auparse handles all that (auparse_feed(3)); this module only decides
which values make a denial.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from errno import EACCES, EPERM
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any, TypeVar

from mcsd.core.denials.values import Denial, DenialKind
from mcsd.errors import HostError

MISSING = "install the Python bindings of libaudit: python3-audit"

_NEW = ""
_KEPT = 4096
"""Texts and events that are remembered."""
_PROCESS = re.compile(r"\bpid=\d+ ")
_MOMENT = re.compile(r"\d+\.\d+")
_REFUSALS = {"EACCES", "EPERM"}
_REFUSED = re.compile(rf"\bexit=(?:-{EPERM}|-{EACCES}|EPERM|EACCES)\b")
_DENIALS = {"type=AVC", "type=SECCOMP"}
_UNSET = {"(null)", "?", ""}
_ERRNO = re.compile(r"([A-Z]+)\b")

Fields = Mapping[str, str]
T = TypeVar("T")


def _bindings() -> ModuleType:
    try:
        import auparse
    except ImportError as exc:
        raise HostError(f"the audit log cannot be read: {exc}", hint=MISSING) from exc
    return auparse  # type: ignore[no-any-return]


class Records:
    """Takes records line by line, as `type=AVC msg=audit(…): …`, and returns denials as events complete.

    Raises `HostError` if the parser is not installed.
    """

    def __init__(self) -> None:
        self._events = _Events()
        self._repeats = _Repeats()
        auparse = _bindings()
        self._parser = auparse.AuParser(auparse.AUSOURCE_FEED)
        self._parser.set_escape_mode(auparse.AUPARSE_ESC_RAW)  # names as they are; escaped when printed
        self._ready = auparse.AUPARSE_CB_EVENT_READY
        self._found: list[Denial] = []
        # The bindings only accept functions, not bound methods.
        self._parser.add_callback(lambda parser, event, _: self._complete(parser, event), None)

    def feed(self, lines: Iterable[str]) -> tuple[Denial, ...]:
        """Feed lines, and return the denials that are complete by now."""
        for line in lines:
            if not self._events.concerns(line) or self._repeats.is_one(line):
                continue
            # The kernel writes names that are not UTF-8 in hexadecimal; anything else here is damage.
            self._parser.feed(line.rstrip("\n").encode("ascii", "backslashreplace").decode() + "\n")
        return self._taken()

    def age(self) -> tuple[Denial, ...]:
        """Return denials for which no more records are expected: the kernel writes an event's records at
        once."""
        self._parser.feed_age_events()
        return self._taken()

    def flush(self) -> tuple[Denial, ...]:
        """Return what is left, complete or not."""
        self._parser.flush_feed()
        return self._taken()

    def _taken(self) -> tuple[Denial, ...]:
        found, self._found = [self._repeats.told(one) for one in self._found], []
        return (*found, *self._repeats.taken())

    def _complete(self, parser: Any, event: int) -> None:
        if event != self._ready:
            return
        moment = parser.get_timestamp()
        records = tuple(_records(parser))
        for denial in _denials(records, moment.sec + moment.milli / 1000, moment.serial):
            if denial.kind is not DenialKind.CALL or not self._repeats.knows(denial):
                self._found.append(denial)


def _remember(kept: OrderedDict[str, T], key: str, value: T) -> None:
    """Store a value under a key, and drop the oldest if there are too many."""
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)


class _Events:
    """Finds events with a denial by a quick look at each line, because most of a log is something else.

    The parser would parse every field of an event first. The kernel writes the denial before the system call,
    and that before the paths and the end of the event (audit_log_exit() in kernel/auditsc.c).
    """

    def __init__(self) -> None:
        self._denials: OrderedDict[str, None] = OrderedDict()

    def concerns(self, line: str) -> bool:
        """Tell whether a record belongs to an event with a denial, as far as is known by now."""
        head, found, body = line.partition("): ")
        kind, _, event = head.partition(" msg=audit(")
        if not found or not event or not kind.startswith("type="):
            return True  # left to the parser
        is_denial = kind in _DENIALS or (kind == "type=SYSCALL" and _REFUSED.search(body) is not None)
        if is_denial:
            _remember(self._denials, event, None)
        return is_denial or event in self._denials


class _Repeats:
    """Counts denials that repeat word for word, except for process and event, before they are parsed.

    The parser keeps each event for two seconds, and goes through all that it keeps at each line. A process
    with ten thousand denials a second would keep it busy with that alone.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, Denial | None] = OrderedDict()
        self._again: dict[str, tuple[int, float]] = {}
        """How often since they were last returned, and when last."""
        self._events: OrderedDict[str, str] = OrderedDict()
        self._first: dict[int, str] = {}

    def is_one(self, line: str) -> bool:
        """Tell whether a record is a repetition, or belongs to an event that is one; remember new ones."""
        head, found, body = line.partition("): ")
        event = head.rpartition("audit(")[2]
        moment, _, serial = event.partition(":")
        if not found or not serial.isdecimal():
            return False
        if not head.startswith("type=AVC "):
            return self._events.get(event, _NEW) != _NEW
        key = _PROCESS.sub("", body)
        if self._events.get(event, key) == _NEW:
            return False  # a second denial of one event
        if key in self._bodies and self._first.get(int(serial)) != key:
            times, _ = self._again.get(key, (0, 0.0))
            self._again[key] = (times + 1, float(moment) if _MOMENT.fullmatch(moment) else 0.0)
            _remember(self._events, event, key)
            return True
        _remember(self._bodies, key, None)
        _remember(self._events, event, _NEW)
        self._first[int(serial)] = key
        return False

    def knows(self, denial: Denial) -> bool:
        """Tell whether an event has an SELinux denial, which was complete before the rest came."""
        return denial.serial in self._first

    def told(self, denial: Denial) -> Denial:
        """Remember the denial that a text was parsed to."""
        key = self._first.get(denial.serial)
        if key is not None and denial.kind is DenialKind.AVC:
            self._bodies[key] = denial
        if len(self._first) > 4 * _KEPT:
            self._first = dict(list(self._first.items())[-_KEPT:])
        return denial

    def taken(self) -> Iterator[Denial]:
        """Return the repetitions of known denials, each text once, with their number."""
        for key, (times, last) in tuple(self._again.items()):
            denial = self._bodies.get(key)
            if denial is not None:
                yield replace(denial, times=times, time=last or denial.time)
            if denial is not None or key not in self._bodies:
                del self._again[key]


def _records(parser: Any) -> Iterator[tuple[str, Fields]]:
    """Return each record of the complete event: its type, and its interpreted fields."""
    parser.first_record()
    while True:
        fields: dict[str, str] = {}
        if parser.first_field():
            while True:
                name = parser.get_field_name()
                # The first field of a name is the kernel's; an enriched log appends its own, in capitals.
                fields.setdefault(name, _value(parser))
                fields.setdefault(f"raw {name}", parser.get_field_str() or "")
                if not parser.next_field():
                    break
        yield parser.get_type_name() or "", fields
        if not parser.next_record():
            return


def _value(parser: Any) -> str:
    try:
        value = parser.interpret_field()
    except UnicodeDecodeError:  # a name that is not UTF-8, which the bindings cannot return
        value = bytes.fromhex(parser.get_field_str()).decode("utf-8", "surrogateescape")
    except (LookupError, OSError):  # a value that it cannot interpret stays as it is
        value = parser.get_field_str()
    text = (value or "").strip('"')
    return "" if text in _UNSET else text


def _number(text: str, base: int = 10) -> int | None:
    with suppress(ValueError):
        return int(text, base)
    return None


def _denials(records: tuple[tuple[str, Fields], ...], time: float, serial: int) -> Iterator[Denial]:
    kinds = {kind for kind, _ in records}
    call = next((fields for kind, fields in records if kind == "SYSCALL"), {})
    for kind, fields in records:
        if kind == "AVC" and fields.get("seresult") == "denied":
            yield _avc(fields, call, records, time, serial)
        elif kind == "SECCOMP":
            yield _seccomp(fields, time, serial)
    if not kinds & {"AVC", "SECCOMP"}:
        errno = _ERRNO.match(call.get("exit", ""))
        if errno and errno[1] in _REFUSALS and call.get("success") == "no":
            yield _call(call, records, time, serial, errno[1])


def _avc(
    fields: Fields, call: Fields, records: tuple[tuple[str, Fields], ...], time: float, serial: int
) -> Denial:
    inode = _number(fields.get("raw ino", ""))
    item = _item(records, inode, fields.get("name", ""))
    tclass = fields.get("tclass", "")
    permissions = tuple(sorted(fields.get("seperms", "").split(",")))
    return Denial(
        DenialKind.AVC,
        time,
        serial,
        source=fields.get("scontext", ""),
        target=fields.get("tcontext", ""),
        tclass=tclass,
        permissions=permissions,
        pid=_number(fields.get("raw pid", "")) or 0,
        command=fields.get("comm", "") or call.get("comm", ""),
        call=call.get("syscall", ""),
        path=fields.get("path", "") or _path(item, records),
        name=fields.get("name", ""),
        inode=inode,
        device=fields.get("dev", ""),
        permissive=fields.get("raw permissive") == "1",
        **_file(item),  # type: ignore[arg-type]
    )


def _seccomp(fields: Fields, time: float, serial: int) -> Denial:
    return Denial(
        DenialKind.SECCOMP,
        time,
        serial,
        source=fields.get("subj", ""),
        pid=_number(fields.get("raw pid", "")) or 0,
        command=fields.get("comm", ""),
        call=fields.get("syscall", ""),
        signal=_number(fields.get("raw sig", "")) or 0,
        uid=_number(fields.get("raw uid", "")),
    )


def _call(
    call: Fields, records: tuple[tuple[str, Fields], ...], time: float, serial: int, errno: str
) -> Denial:
    items = [fields for kind, fields in records if kind == "PATH" and fields.get("raw inode")]
    item = items[-1] if items else {}
    return Denial(
        DenialKind.CALL,
        time,
        serial,
        source=call.get("subj", ""),
        pid=_number(call.get("raw pid", "")) or 0,
        command=call.get("comm", ""),
        call=call.get("syscall", ""),
        path=_path(item, records),
        inode=_number(item.get("raw inode", "")),
        errno=errno,
        uid=_number(call.get("raw fsuid", "")),
        **_file(item),  # type: ignore[arg-type]
    )


def _item(records: tuple[tuple[str, Fields], ...], inode: int | None, name: str) -> Fields:
    """Return the PATH record of the denied object: by inode, which is unique in one call, or by name."""
    items = [fields for kind, fields in records if kind == "PATH"]
    for fields in items:
        if inode is not None and _number(fields.get("raw inode", "")) == inode:
            return fields
    for fields in items:
        if name and PurePosixPath(fields.get("name", "")).name == name:
            return fields
    return {}


def _path(item: Fields, records: tuple[tuple[str, Fields], ...]) -> str:
    """Return an absolute path; "" if it was not recorded completely."""
    name = item.get("name", "")
    if not name or name.startswith("/"):
        return name
    cwd = next((fields.get("cwd", "") for kind, fields in records if kind == "CWD"), "")
    return str(PurePosixPath(cwd, name)) if cwd.startswith("/") else ""


def _file(item: Fields) -> dict[str, int | None]:
    return {"mode": _number(item.get("raw mode", ""), 8), "owner": _number(item.get("raw ouid", ""))}
