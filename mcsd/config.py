"""The configuration: what may be written in `mcsd.toml`, and how it is read.

Every key is optional; unknown keys and invalid values are refused with file, key, value and what was
expected. Files in `conf.d/*.toml` beside the main file are read in the order of their names: tables are
merged, the lists `[[engine]]`, `[[volumes.rule]]`, `[[fleet.storage]]` and `[audit] ignore` are joined, any
other value in a later file wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mcsd.core.audit.baseline import Ignored
from mcsd.core.booleans import Wish
from mcsd.core.containers import DOCKER
from mcsd.core.durations import seconds_in
from mcsd.core.fleet.ranges import HOST_NAME, plan_ranges
from mcsd.core.fleet.storages import NamedStorage
from mcsd.core.gating import GateLevel
from mcsd.core.labels import CATEGORY_COUNT, Level
from mcsd.core.matching import Matching
from mcsd.core.volumes import ClaimMode
from mcsd.core.wishes import nearest
from mcsd.errors import ConfigurationError, LabelSyntaxError, RequestError

DEFAULT_PATH = Path("/etc/mcsd/mcsd.toml")


def parse_duration(value: object) -> object:
    """Read `"10min"`, `"90s"`, `"1h 30min"` or a number of seconds as seconds."""
    if not isinstance(value, str):
        return value
    seconds = seconds_in(value)
    if seconds is None:
        raise ValueError('expected a duration such as "10min", "90s" or "1h 30min"')
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=86400 * 366)]
"""Seconds."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DockerTable(_Table):
    """`[docker]`: how Docker is reached, if it is `enabled`. Durations in seconds.

    `resync` holds for all engines.
    """

    enabled: bool = True
    url: Annotated[str, Matching(r"unix:///.+", "unix:/// and the path of a socket")] = (
        "unix:///run/docker.sock"
    )
    timeout: Annotated[Duration, Field(gt=0)] = 30.0
    resync: Annotated[Duration, Field(gt=0)] = 300.0


class EngineKind(StrEnum):
    """Which program an engine is."""

    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINERD = "containerd"

    @property
    def url(self) -> str:
        """Its usual socket."""
        return f"unix:///run/{_SOCKETS[self]}.sock"


_SOCKETS = {
    EngineKind.DOCKER: "docker",
    EngineKind.PODMAN: "podman/podman",
    EngineKind.CONTAINERD: "containerd/containerd",
}


class EngineTable(_Table):
    """`[[engine]]`: an engine beside Docker. `name` is its kind, `url` the kind's socket, if not given."""

    kind: EngineKind = Field(strict=False)
    name: Annotated[str, Matching(r"[a-z][a-z0-9-]{0,31}", "a name of small letters, digits and '-'")] = ""
    url: Annotated[str, Matching(r"unix:///.+", "unix:/// and the path of a socket")] = ""
    timeout: Annotated[Duration, Field(gt=0)] = 30.0

    @model_validator(mode="before")
    @classmethod
    def _kind_gives_the_rest(cls, value: object) -> object:
        if not isinstance(value, dict) or value.get("kind") not in set(EngineKind):
            return value
        kind = EngineKind(value["kind"])
        return {"name": kind.value, "url": kind.url, **value}


class Backend(StrEnum):
    """Whether the kernel has SELinux, or (for development, building images) labels are only written."""

    KERNEL = "kernel"
    XATTR = "xattr"


class SelinuxTable(_Table):
    """`[selinux]`."""

    backend: Backend = Field(default=Backend.KERNEL, strict=False)


class LabelsTable(_Table):
    """`[labels]`."""

    file_type: Annotated[str, Matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an SELinux type")] = (
        "svirt_sandbox_file_t"
    )


class CategoriesTable(_Table):
    """`[categories]`: the categories of pairs."""

    range: str = "c0.c1023"
    reserved: tuple[str, ...] = Field(default=("c1022,c1023",), strict=False)

    @field_validator("range")
    @classmethod
    def _range_is_one_run(cls, value: str) -> str:
        match = re.fullmatch(r"c(\d+)\.c(\d+)", value, re.ASCII)
        if match is None or not int(match[1]) < int(match[2]) < CATEGORY_COUNT:
            raise ValueError(f"expected a run of two or more categories such as c0.c{CATEGORY_COUNT - 1}")
        return value

    @field_validator("reserved")
    @classmethod
    def _reserved_are_levels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                Level.parse(f"s0:{text}")
            except LabelSyntaxError as exc:
                raise ValueError(f"{text!r}: expected categories such as c1022,c1023") from exc
        return value

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest category, both included."""
        low, high = self.range.split(".")
        return int(low[1:]), int(high[1:])

    @property
    def reserved_levels(self) -> tuple[Level, ...]:
        """The reserved sets of categories, as levels."""
        return tuple(Level.parse(f"s0:{text}") for text in self.reserved)


class OnConflict(StrEnum):
    """What happens to a volume that two containers claim."""

    REFUSE = "refuse"
    SHARE = "share"


class DefaultMode(StrEnum):
    """Modes a rule or the default can give."""

    PRIVATE = "private"
    SHARED = "shared"
    OBSERVE = "observe"
    IGNORE = "ignore"

    @property
    def claim(self) -> ClaimMode:
        """The same as a claim's mode."""
        return ClaimMode(self.value)


def _plain(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("expected an absolute path without '..'")
    return str(path)


PlainPath = Annotated[str, AfterValidator(_plain)]
"""An absolute path without `..` and doubled slashes."""


class VolumeRule(_Table):
    """`[[volumes.rule]]`: a path, everything below it, and the mode that volumes there get."""

    path: PlainPath
    mode: DefaultMode = Field(strict=False)


class VolumesTable(_Table):
    """`[volumes]`. `linger` and `confirm` in seconds; with `confirm` 0 there are no periodic checks."""

    default: DefaultMode = Field(default=DefaultMode.PRIVATE, strict=False)
    on_conflict: OnConflict = Field(default=OnConflict.REFUSE, strict=False)
    linger: Duration = 600.0
    confirm: Duration = 86400.0
    rule: tuple[VolumeRule, ...] = Field(default=(), strict=False)


class IoClass(StrEnum):
    """The I/O priority of large walks; see ioprio_set(2)."""

    IDLE = "idle"
    BEST_EFFORT = "best-effort"
    INHERIT = "inherit"


class WalksTable(_Table):
    """`[walks]`: the priority of large walks."""

    nice: Annotated[int, Field(ge=0, le=19)] = 10
    io_class: IoClass = Field(default=IoClass.IDLE, strict=False)


class WatchTable(_Table):
    """`[watch]`: `directories` is the most that are watched in all; with 0, none are."""

    directories: Annotated[int, Field(ge=0)] = 100_000


class GateOnError(StrEnum):
    """What happens to a start that cannot be prepared."""

    REFUSE = "refuse"
    START = "start"


class GateTable(_Table):
    """`[gate]`. `deadline` in seconds: how long a start waits for its volumes."""

    level: GateLevel = Field(default=GateLevel.STICKY, strict=False)
    on_error: GateOnError = Field(default=GateOnError.REFUSE, strict=False)
    deadline: Annotated[Duration, Field(gt=0, le=3600)] = 100.0


class AuditTable(_Table):
    """`[audit]`: findings of `mcsctl audit` that are accepted, each as `ID=reason`."""

    ignore: tuple[str, ...] = Field(default=(), strict=False)

    @field_validator("ignore")
    @classmethod
    def _ignored_are_rules_with_reasons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                Ignored.parse(text)
            except ConfigurationError as exc:
                raise ValueError(f"{exc.what}; {exc.hint}") from exc
        return value


HostName = Annotated[str, Matching(HOST_NAME, "a host's name: letters, digits, '.', '_' and '-'")]


class StorageTable(_Table):
    """`[[fleet.storage]]`: a directory on storage that other hosts have as well.

    `name` is what all hosts call the storage; `root` is where on it `path` is, None for what its mount says.
    """

    path: PlainPath
    name: Annotated[str, Matching(HOST_NAME, "a storage's name: letters, digits, '.', '_' and '-'")]
    root: PlainPath | None = None


class FleetTable(_Table):
    """`[fleet]`: `hosts` are all that mount the same labelled storage; `name` is this host's among them.

    Without `name`, the host's own is meant. With `store`, pairs come from a common store instead: `reserve`
    of them are kept free, and every `beat` seconds the host shows that it is there.
    """

    hosts: tuple[HostName, ...] = Field(default=(), strict=False)
    name: Annotated[str, Matching(f"(?:{HOST_NAME})?", "a host's name")] = ""
    store: Annotated[str, Matching(r"(?:unix:///.+)?", "unix:/// and the path of a socket")] = ""
    reserve: Annotated[int, Field(ge=1, le=20_000)] = 1000
    beat: Annotated[Duration, Field(ge=1, le=3600)] = 60.0
    storage: tuple[StorageTable, ...] = Field(default=(), strict=False)

    @property
    def named_storages(self) -> tuple[NamedStorage, ...]:
        """The storages as the daemon's own values."""
        return tuple(NamedStorage(one.path, one.name, one.root or "") for one in self.storage)

    @field_validator("hosts")
    @classmethod
    def _hosts_can_be_planned(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            try:
                plan_ranges(value)
            except RequestError as exc:
                raise ValueError(f"{exc.what}; {exc.hint}") from exc
        return value


class BooleansTable(BaseModel):
    """`[booleans]`: the booleans that mcsd governs; with `persist`, values also apply after a reboot."""

    model_config = ConfigDict(extra="allow", frozen=True)

    persist: bool = False
    __pydantic_extra__: dict[str, Annotated[Wish, Field(strict=False)]] = Field(init=False)

    @property
    def wishes(self) -> Mapping[str, Wish]:
        """Name as configured → wish."""
        return self.__pydantic_extra__ or {}


class Config(_Table):
    """The whole configuration."""

    docker: DockerTable = DockerTable()
    engine: tuple[EngineTable, ...] = Field(default=(), strict=False)
    selinux: SelinuxTable = SelinuxTable()
    labels: LabelsTable = LabelsTable()
    categories: CategoriesTable = CategoriesTable()
    volumes: VolumesTable = VolumesTable()
    walks: WalksTable = WalksTable()
    watch: WatchTable = WatchTable()
    gate: GateTable = GateTable()
    booleans: BooleansTable = BooleansTable()
    audit: AuditTable = AuditTable()
    fleet: FleetTable = FleetTable()

    @field_validator("engine")
    @classmethod
    def _engines_have_names_of_their_own(cls, value: tuple[EngineTable, ...]) -> tuple[EngineTable, ...]:
        names = [engine.name for engine in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there are two engines of the name {name!r}; give one another name")
        return value

    @model_validator(mode="after")
    def _has_an_engine(self) -> Config:
        names = [engine.name for engine in self.engine]
        if self.docker.enabled and DOCKER in names:
            raise ValueError(f"[[engine]] has the name {DOCKER!r}, which is [docker]'s; give it another name")
        if not (self.docker.enabled or names):
            raise ValueError("[docker] enabled = false leaves no engine; add an [[engine]]")
        return self

    @model_validator(mode="after")
    def _has_one_way_to_share(self) -> Config:
        if not self.fleet.store:
            return self
        if self.fleet.hosts:
            raise ValueError("[fleet] has both hosts and a store; with a store, the store has the hosts")
        if self.categories.bounds != (0, CATEGORY_COUNT - 1):
            raise ValueError("[categories] range must be that of all categories with a [fleet] store")
        return self

    @property
    def engines(self) -> tuple[EngineTable, ...]:
        """All engines: Docker first, unless `[docker]` is switched off, then those of `[[engine]]`."""
        docker = EngineTable.model_validate(
            {"kind": DOCKER, "url": self.docker.url, "timeout": self.docker.timeout}
        )
        return (*([docker] if self.docker.enabled else []), *self.engine)

    def explicit_paths(self) -> tuple[str, ...]:
        """Return the paths of rules that label: they allow places that need an explicit rule."""
        return tuple(rule.path for rule in self.volumes.rule if rule.mode.claim.is_labelled)


def _explain(error: ValidationError, sources: str) -> ConfigurationError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = nearest(str(first["loc"][-1]), _keys_at(first["loc"][:-1]))
        return ConfigurationError(
            f"{sources}: unknown key {key!r}",
            hint=f"write {near!r}" if near else "mcsd.toml(5) lists the keys; check the spelling",
        )
    text = first["msg"].removeprefix("Value error, ")
    near = nearest(str(first.get("input")), _WORD.findall(text)) if first["type"] == "enum" else ""
    return ConfigurationError(
        f"{sources}: {key} = {first.get('input')!r}: {text[:1].lower()}{text[1:]}",
        hint=f"write {near!r}" if near else "mcsd.toml(5) lists the keys and their values",
    )


_WORD = re.compile(r"'([^']+)'")


def _keys_at(place: Sequence[object]) -> tuple[str, ...]:
    """Return the keys of the table at a place in the configuration; `place` has numbers for list indexes."""
    table: type[BaseModel] = Config
    for part in place:
        if isinstance(part, str):
            found = _TABLES.get(part)
            if found is None:
                return ()
            table = found
    return tuple(table.model_fields)


_TABLES: Mapping[str, type[BaseModel]] = {
    "engine": EngineTable,
    "rule": VolumeRule,
    "storage": StorageTable,
    **{
        name: kind
        for name, field in Config.model_fields.items()
        if isinstance(kind := field.annotation, type) and issubclass(kind, BaseModel)
    },
}


def validate(data: Mapping[str, Any], *, source: str) -> Config:
    """Return a `Config` from parsed TOML; raise `ConfigurationError` with `source`, key and value."""
    try:
        return Config.model_validate(dict(data))
    except ValidationError as exc:
        raise _explain(exc, source) from exc


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: {exc}", hint="see mcsd.toml(5)") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: not UTF-8 text: {exc}", hint="see mcsd.toml(5)") from exc
    except OSError as exc:
        raise ConfigurationError(
            f"{path}: cannot be read: {exc.strerror}", hint="check that the file exists and who may read it"
        ) from exc


_JOINED = {"engine", "rule", "storage", "ignore"}
"""The lists of which a later file adds to an earlier one's."""


def _merge(base: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in later.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list) and key in _JOINED:
            merged[key] = [*old, *value]
        else:
            merged[key] = value
    return merged


def _is_there(path: Path) -> bool:
    """Tell whether a file exists, or may exist: if that is unknown, reading it reports the error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _drop_ins(path: Path) -> Iterable[Path]:
    directory = path.parent / "conf.d"
    try:
        return sorted(p for p in directory.iterdir() if p.suffix == ".toml")
    except FileNotFoundError:
        return ()
    except OSError as exc:
        raise ConfigurationError(
            f"{directory}: cannot be read: {exc.strerror}", hint="check who may read it"
        ) from exc


def load(path: Path = DEFAULT_PATH) -> Config:
    """Read a configuration file and its drop-ins; a missing *default* file means all defaults.

    Raises `ConfigurationError`. Each file is validated separately first, so that an error names the right
    file.
    """
    files = [path] if path != DEFAULT_PATH or _is_there(path) else []
    files += _drop_ins(path)
    data: dict[str, Any] = {}
    for file in files:
        part = _read(file)
        validate(part, source=str(file))
        data = _merge(data, part)
    return validate(data, source=", ".join(map(str, files)) or "built-in defaults")
