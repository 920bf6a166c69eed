"""What hosts write into the common store, and what they remember of it.

The store has one value for the fleet, which administrators alone write, and two for each host, which that
host alone writes: its *fence*, which every operation of the host replaces, and its *document*, which says
what the host holds. So the store's access control can keep each host to its own two keys.

Values are JSON with a version. A value that is not exactly as described here raises `FleetValueError`: a
newer mcsd's, or nobody's. Then nothing can be concluded, and nothing is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcsd.core.fleet.blocks import BLOCKS, GROUP_PAIRS, MOST_HELD
from mcsd.core.fleet.ranges import HOST_NAME
from mcsd.core.fleet.trees import FleetTree, SharedPlace, has_room
from mcsd.core.groups import NAME
from mcsd.core.labels import CategoryPair, Level
from mcsd.errors import LabelSyntaxError

VERSION = 1
FLEET = "fleet"
"""The key of the fleet's own value."""
_ID = re.compile(r"[0-9a-f]{32}")
_CLUSTER = re.compile(r"[0-9]{1,20}")
_LONGEST = 512 * 1024
"""Characters of a value; etcd takes 1.5 MiB in a request (--max-request-bytes)."""


_LONGEST_RECORD = 64 * _LONGEST
"""Characters of a record: the ledger's, which has all of a host's documents in it, twice escaped."""


class FleetValueError(ValueError):
    """A value in the store, or in the ledger, is not one of mcsd's."""


def fence_key(host: str) -> str:
    """Return the key of a host's fence."""
    return f"hosts/{host}"


def document_key(host: str) -> str:
    """Return the key of a host's document."""
    return f"state/{host}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet's value. `cluster` is the store's identity, as it was when an administrator wrote this.

    A host takes part if it is among `hosts`; the value there is random, and new whenever it is admitted.
    While a recovery goes on (`is_open` false), hosts write what they hold, and nobody takes anything.
    """

    id: str
    cluster: str
    generation: int
    is_open: bool
    hosts: Mapping[str, str]
    token: str
    """Random, and new with every change: no two values in the fleet's life are equal."""

    def text(self) -> str:
        """Write it for the store."""
        return _dumped(
            id=self.id,
            cluster=self.cluster,
            generation=self.generation,
            open=self.is_open,
            hosts=dict(sorted(self.hosts.items())),
            token=self.token,
        )

    @classmethod
    def parse(cls, text: str) -> Fleet:
        """Read it; raise `FleetValueError`."""
        fields = _loaded(text, {"id", "cluster", "generation", "open", "hosts", "token"})
        hosts = fields["hosts"]
        if not isinstance(hosts, dict):
            raise FleetValueError(f"'hosts' is {hosts!r}")
        for name in hosts:
            if re.fullmatch(HOST_NAME, name) is None:
                raise FleetValueError(f"a host is called {name!r}")
        return cls(
            id=_id(fields, "id"),
            cluster=_matching(fields, "cluster", _CLUSTER),
            generation=_count(fields, "generation"),
            is_open=_truth(fields, "open"),
            hosts={name: _id(hosts, name) for name in hosts},
            token=_id(fields, "token"),
        )


@dataclass(frozen=True, slots=True)
class Fence:
    """A host's last operation. `number` rises by one with each; `operation` is random: no two are equal."""

    incarnation: str
    number: int
    operation: str
    generation: int

    def text(self) -> str:
        """Write it for the store."""
        return _dumped(
            incarnation=self.incarnation,
            number=self.number,
            operation=self.operation,
            generation=self.generation,
        )

    @classmethod
    def parse(cls, text: str) -> Fence:
        """Read it; raise `FleetValueError`."""
        fields = _loaded(text, {"incarnation", "number", "operation", "generation"})
        return cls(
            _id(fields, "incarnation"),
            _count(fields, "number"),
            _id(fields, "operation"),
            _count(fields, "generation"),
        )


MOST_GROUPS = 200
"""Groups that a host may take part in."""


@dataclass(frozen=True, slots=True, order=True)
class FleetGroup:
    """A group that may have members on several hosts; its pair is one of `GROUP_PAIRS`."""

    name: str
    low: int
    high: int

    @property
    def pair(self) -> CategoryPair:
        """The group's pair."""
        return CategoryPair(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Document:
    """What a host holds: blocks, the groups that it has members of, and directories on shared storage.

    `doubt` is why nobody should take anything at present, mostly "".
    """

    blocks: frozenset[int] = frozenset()
    doubt: str = ""
    groups: frozenset[FleetGroup] = frozenset()
    trees: frozenset[FleetTree] = frozenset()

    def text(self) -> str:
        """Write it for the store."""
        groups = [[one.name, one.low, one.high] for one in sorted(self.groups)]
        trees = [
            [at.file_system, at.storage, at.path, at.inode, str(one.level), one.holder]
            for one in sorted(self.trees)
            for at in (one.place,)
        ]
        return _dumped(blocks=sorted(self.blocks), doubt=self.doubt, groups=groups, trees=trees)

    @classmethod
    def parse(cls, text: str) -> Document:
        """Read it; raise `FleetValueError`."""
        fields = _loaded(text, {"blocks", "doubt", "groups", "trees"})
        blocks = fields["blocks"]
        if not isinstance(blocks, list) or len(blocks) > MOST_HELD:
            raise FleetValueError(f"'blocks' is no list of at most {MOST_HELD}")
        for block in blocks:
            if type(block) is not int or not 0 <= block < BLOCKS:
                raise FleetValueError(f"there is no block {block!r}")
        groups = _list(fields, "groups")
        if len(groups) > MOST_GROUPS:
            raise FleetValueError(f"there are {len(groups)} groups")
        trees = frozenset(map(_tree, _list(fields, "trees")))
        if not has_room(trees):
            raise FleetValueError(f"there are {len(trees)} directories")
        return cls(frozenset(blocks), _text(fields, "doubt"), frozenset(map(_group, groups)), trees)


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of a host's document: to what, and as which operation. Done twice, it is done once."""

    id: str
    number: int
    generation: int
    document: Document


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """What a host durably remembers of the fleet: the ledger has it before the store has the operation.

    `document` is what the store has had as of `operation`; each of `pending` may be what it has now: the
    answer was lost. All of them follow the same operation, so at most one of them ever comes true.
    """

    fleet: str
    name: str
    admission: str
    incarnation: str
    machine: str
    """What tells this machine from a copy of its disk in another."""
    generation: int
    cluster: str
    number: int = 0
    operation: str = ""
    """Empty before the host has joined."""
    document: Document = Document()
    pending: tuple[Operation, ...] = ()
    revision: int = 0
    """The store's highest revision that this host has seen when it last wrote this."""

    @property
    def held(self) -> frozenset[int]:
        """The blocks that are this host's whichever operation the store has: only these are granted from."""
        return frozenset.intersection(self.document.blocks, *(one.document.blocks for one in self.pending))

    @property
    def groups(self) -> frozenset[FleetGroup]:
        """The groups that this host takes part in, whichever operation the store has."""
        return frozenset.intersection(self.document.groups, *(one.document.groups for one in self.pending))

    @property
    def trees(self) -> frozenset[FleetTree]:
        """The directories that this host has, whichever operation the store has."""
        return frozenset.intersection(self.document.trees, *(one.document.trees for one in self.pending))

    def fence(self, operation: Operation) -> Fence:
        """Return the fence that an operation of this host writes."""
        return Fence(self.incarnation, operation.number, operation.id, operation.generation)

    def following(self, operation: Operation) -> FleetRecord:
        """Return the record once the store is known to have one of the pending operations."""
        assert operation in self.pending, "only what was written down first can have been done"
        return replace(
            self,
            number=operation.number,
            operation=operation.id,
            generation=operation.generation,
            document=operation.document,
            pending=(),
        )

    def text(self) -> str:
        """Write it for the ledger."""
        return _dumped(
            fleet=self.fleet,
            name=self.name,
            admission=self.admission,
            incarnation=self.incarnation,
            machine=self.machine,
            generation=self.generation,
            cluster=self.cluster,
            number=self.number,
            operation=self.operation,
            document=self.document.text(),
            pending=[[one.id, one.number, one.generation, one.document.text()] for one in self.pending],
            revision=self.revision,
        )

    @classmethod
    def parse(cls, text: str) -> FleetRecord:
        """Read it; raise `FleetValueError`."""
        fields = _loaded(text, set(cls.__slots__), _LONGEST_RECORD)
        operation = fields["operation"]
        return cls(
            fleet=_id(fields, "fleet"),
            name=_matching(fields, "name", re.compile(HOST_NAME)),
            admission=_id(fields, "admission"),
            incarnation=_id(fields, "incarnation"),
            machine=_text(fields, "machine"),
            generation=_count(fields, "generation"),
            cluster=_matching(fields, "cluster", _CLUSTER),
            number=_count(fields, "number"),
            operation=_id(fields, "operation") if operation else "",
            document=Document.parse(_text(fields, "document")),
            pending=tuple(map(_operation, _list(fields, "pending"))),
            revision=_count(fields, "revision"),
        )


def _group(stored: object) -> FleetGroup:
    match stored:
        case [str() as name, int() as low, int() as high]:
            if NAME.fullmatch(name) and _is_group_pair(low, high):
                return FleetGroup(name, low, high)
    raise FleetValueError(f"{stored!r} is no group")


def _tree(stored: object) -> FleetTree:
    match stored:
        case [
            str() as file_system,
            str() as storage,
            str() as path,
            int() as inode,
            str() as level,
            str() as holder,
        ]:
            told = (file_system, storage, holder)  # others' messages have them
            if path.startswith("/") and type(inode) is int and all(map(str.isprintable, told)):
                return FleetTree(SharedPlace(file_system, storage, path, inode), _level(level), holder)
    raise FleetValueError(f"{str(stored)[:80]} is no directory on shared storage")


def _level(text: str) -> Level:
    try:
        level = Level.parse(text)
    except LabelSyntaxError as exc:
        raise FleetValueError(exc.what) from exc
    if str(level) != text:
        raise FleetValueError(f"{text[:80]!r} is not how {level} is written")
    return level


def _is_group_pair(low: int, high: int) -> bool:
    bounds = GROUP_PAIRS.bounds
    return type(low) is type(high) is int and bounds.low <= low < high <= bounds.high


def _operation(stored: object) -> Operation:
    match stored:
        case [str() as key, int() as number, int() as generation, str() as document]:
            return Operation(key, number, generation, Document.parse(document))
    raise FleetValueError(f"{stored!r} is no operation")


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything in the store at one moment, by key. `cluster` and `revision` are the store's own."""

    cluster: str
    revision: int
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Swap:
    """A transaction: if each key has its value (None: does not exist), write all of these (None: delete)."""

    conditions: Mapping[str, str | None]
    writes: Mapping[str, str | None]


# --- reading JSON --------------------------------------------------------------------------------------


def _dumped(**fields: object) -> str:
    return json.dumps({"version": VERSION, **fields}, separators=(",", ":"))


def _loaded(text: str, names: set[str], longest: int = _LONGEST) -> dict[str, Any]:
    if len(text) > longest:
        raise FleetValueError(f"a value has {len(text)} characters")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise FleetValueError(f"{text[:80]!r} is no JSON") from exc
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise FleetValueError(f"{text[:80]!r} is not of version {VERSION}")
    if fields.keys() != names | {"version"}:
        raise FleetValueError(f"{text[:80]!r} has other fields than {', '.join(sorted(names))}")
    return fields


def _matching(fields: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = fields[key]
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise FleetValueError(f"{key!r} is {value!r}")
    return value


def _id(fields: Mapping[str, Any], key: str) -> str:
    return _matching(fields, key, _ID)


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields[key]
    # JSON has halves of characters ("\ud800"), which nobody could print or send any more.
    if not isinstance(value, str) or any("\ud800" <= one <= "\udfff" for one in value):
        raise FleetValueError(f"{key!r} is {value!r}")
    return value


def _list(fields: Mapping[str, Any], key: str) -> list[object]:
    value = fields[key]
    if not isinstance(value, list):
        raise FleetValueError(f"{key!r} is {value!r}")
    return value


def _count(fields: Mapping[str, Any], key: str) -> int:
    value = fields[key]
    if type(value) is not int or not 0 <= value < 2**63:
        raise FleetValueError(f"{key!r} is {value!r}")
    return value


def _truth(fields: Mapping[str, Any], key: str) -> bool:
    value = fields[key]
    if not isinstance(value, bool):
        raise FleetValueError(f"{key!r} is {value!r}")
    return value
