"""The models of query strings and bodies. Unknown keys are refused."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mcsd.api.reports.models import ContainerState, PairState, VolumeState
from mcsd.api.reports.pages import LONGEST
from mcsd.core.audit.told import MOST_FINDINGS, MOST_NAME, MOST_REASON, MOST_TEXT, ToldAudit, ToldFinding
from mcsd.core.booleans import Order
from mcsd.core.labels import Level
from mcsd.core.lives import LARGEST_PID, LifeRequest
from mcsd.core.matching import Matching
from mcsd.core.notices import Kind
from mcsd.core.runs import RunRequest, RunVolume
from mcsd.core.volumes import ClaimMode
from mcsd.errors import LabelSyntaxError, RequestError

M = TypeVar("M", bound=BaseModel)


def _plain_path(value: str) -> str:
    if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
        raise ValueError("expected an absolute path without '..'")
    return value


def _level(value: str) -> str:
    try:
        return str(Level.parse(value))
    except LabelSyntaxError as exc:
        raise ValueError("expected a level such as s0:c12,c900") from exc


def _target(value: str) -> str:
    return _plain_path(value) if value.startswith("/") else value


KINDS = tuple(kind.name.lower().replace("_", "-") for kind in Kind)
"""The kinds of message."""


def _kind(value: str) -> str:
    if value not in KINDS:
        near = difflib.get_close_matches(value, KINDS, n=1, cutoff=0.5) or ["volume-refused"]
        raise ValueError(f"there is no kind of message {value!r}; there is {near[0]!r}")
    return value


_NAME = Matching(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
    "up to 63 letters, digits, '_', '.' or '-', the first one a letter or a digit",
)

_TYPE = Matching(r"[A-Za-z0-9_]{1,128}", "the name of a type: letters, digits and '_'")

EventKind = Annotated[str, AfterValidator(_kind), Field(json_schema_extra={"enum": list(KINDS)})]
HostPath = Annotated[
    str, Field(max_length=4096, json_schema_extra={"pattern": "^/"}), AfterValidator(_plain_path)
]
LevelText = Annotated[
    str, Field(max_length=8192, json_schema_extra={"pattern": "^s[0-9]"}), AfterValidator(_level)
]
Name = Annotated[str, _NAME]
Target = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_target)]


class Isolation(StrEnum):
    """Values of `isolated`; `none` stands for containers that do not run, start or end."""

    YES = "yes"
    NO = "no"
    NONE = "none"

    @classmethod
    def of(cls, isolated: bool | None) -> Isolation:
        """Return the value for a verdict."""
        return cls.NONE if isolated is None else cls.YES if isolated else cls.NO


class Severity(StrEnum):
    """How severe a finding is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class NoQuery(BaseModel):
    """A request that takes no parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(NoQuery):
    """A part of a list."""

    after: str | None = Field(
        default=None, min_length=1, max_length=16384, description="`next` of the page before"
    )
    limit: int = Field(default=LONGEST, ge=1, le=LONGEST, description="entries on one page at most")


class ContainersQuery(PageQuery):
    """Which containers to list. Conditions of different kinds must all hold, of one kind any."""

    state: list[ContainerState] = Field(default=[], description="may be repeated")
    level: LevelText | None = Field(default=None, description="exactly this level, however it is spelled")
    path: HostPath | None = Field(
        default=None, description="with a volume at or below this host path, by whatever name"
    )
    isolated: list[Isolation] = Field(default=[], description="may be repeated")
    conflicts: bool | None = Field(default=None, description="whether it is in conflict")
    weakened: bool | None = Field(
        default=None, description="whether it runs and has a mount that weakens everybody's isolation"
    )
    failed: bool | None = Field(default=None, description="whether it could not be handled")


class VolumesQuery(PageQuery):
    """Which volumes to list."""

    state: list[VolumeState] = Field(default=[], description="may be repeated")
    level: LevelText | None = Field(default=None, description="exactly this level, however it is spelled")
    path: HostPath | None = Field(default=None, description="at or below this host path, by whatever name")
    container: str | None = Field(
        default=None, min_length=1, max_length=256, description="claimed by this container (name or id)"
    )


class PairsQuery(PageQuery):
    """Which levels to list."""

    state: list[PairState] = Field(default=[], description="may be repeated")
    level: LevelText | None = Field(default=None, description="exactly this level, however it is spelled")


class EventsQuery(NoQuery):
    """Which events to list, or to stream."""

    follow: bool = Field(default=False, description="go on with what happens, one JSON object on a line")
    after: int | None = Field(
        default=None, ge=0, le=2**53, description="only events with a higher sequence number"
    )
    limit: int = Field(default=LONGEST, ge=1, le=LONGEST, description="at most, when not following")
    container: str | None = Field(
        default=None, min_length=1, max_length=256, description="name, id or its beginning"
    )
    kind: list[EventKind] = Field(default=[], max_length=64, description="may be repeated")
    priority: int = Field(default=7, ge=0, le=7, description="this and more important (lower) ones")


class VerifyRequest(NoQuery):
    """Compare disk, processes and ledger."""

    target: Target | None = Field(
        default=None, description="a volume's host path, or a container; null: everything"
    )
    repair: bool = Field(default=False, description="label again what differs")


class RestoreRequest(NoQuery):
    """Restore a volume's original labels."""

    path: HostPath


class ScanRequest(NoQuery):
    """Scan for levels on files outside every volume."""

    path: HostPath | None = Field(default=None, description="everything below it; null: everything")
    gently: bool = Field(default=False, description="take a twentieth of a processor's time at most")


class DenialToldRequest(NoQuery):
    """One kind of denial."""

    time: float = Field(ge=0, le=2**40, description="seconds since the epoch")
    container: str = Field(default="", max_length=64)
    name: str = Field(default="", max_length=256)
    cause: str = Field(max_length=32)
    text: str = Field(max_length=1024)
    because: str = Field(default="", max_length=1024, description="the first cause, as a sentence")
    hint: str = Field(default="", max_length=1024, description="what to type, or to do")


class DenialsRequest(NoQuery):
    """Denials to report, for the events and the status."""

    items: list[DenialToldRequest] = Field(max_length=100)


class FindingToldRequest(NoQuery):
    """One thing that an audit has found."""

    key: str = Field(max_length=MOST_TEXT)
    rule: str = Field(max_length=64)
    severity: Severity
    title: str = Field(max_length=256)
    subject: str = Field(max_length=MOST_NAME)
    container: str | None = Field(max_length=64)
    text: str = Field(max_length=MOST_TEXT)
    seen: str = Field(max_length=MOST_TEXT)
    remedy: str = Field(max_length=MOST_TEXT)
    accepted: str | None = Field(
        max_length=MOST_REASON, description="why it does not count; null where it does"
    )


class AuditRequest(NoQuery):
    """The result of an audit, the worst findings first."""

    containers: int = Field(ge=0, le=2**31, description="how many were looked at")
    findings: list[FindingToldRequest] = Field(max_length=MOST_FINDINGS)
    left_out: int = Field(default=0, ge=0, le=2**31, description="findings beyond those")

    def told(self) -> ToldAudit:
        """Return the value that mcsd stores."""
        findings = (ToldFinding(**one.model_dump()) for one in self.findings)
        return ToldAudit(self.containers, tuple(findings), self.left_out)


class ReservationRequest(NoQuery):
    """Set a level aside under a name, at most for one life: as long as a process, a unit, or until a time."""

    name: Name
    group: Name | None = Field(default=None, description="let it reach this group's volumes too")
    pid: int | None = Field(
        default=None, ge=1, le=LARGEST_PID, description="until this process of the host's ends"
    )
    unit: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="until this unit of systemd's, a service or scope, is inactive or failed",
    )
    until: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="until this time (RFC 3339 with an offset), or for this long (such as 2h)",
    )

    @model_validator(mode="after")
    def _one_life(self) -> Self:
        if sum(life is not None for life in (self.pid, self.unit, self.until)) > 1:
            raise ValueError("expected at most one of pid, unit and until")
        return self

    @property
    def life(self) -> LifeRequest:
        """The life that is asked for."""
        return LifeRequest(self.pid, self.unit or "", self.until or "")


class RunVolumeRequest(NoQuery):
    """A volume for a run."""

    path: HostPath
    mode: ClaimMode | None = Field(default=None, description="null: as the configuration says")


class CreateRunRequest(NoQuery):
    """Give the process that asks for it a level of its own, for as long as it runs."""

    name: Name | None = Field(default=None, description="null: run- and its pid")
    group: Name | None = Field(default=None, description="let it reach this group's volumes too")
    type: Annotated[str, _TYPE] | None = Field(
        default=None, description="the domain of its command; null: the policy's own for containers"
    )
    command: str = Field(default="", max_length=4096, description="what it will execute, for people")
    volumes: list[RunVolumeRequest] = Field(default=[], max_length=64)

    def wanted(self) -> RunRequest:
        """Return what is asked for; of a path that is named twice, the last mode counts."""
        return RunRequest(
            name=self.name or "",
            group=self.group or "",
            domain=self.type or "",
            command=self.command,
            volumes=tuple(
                RunVolume(path, mode) for path, mode in {one.path: one.mode for one in self.volumes}.items()
            ),
        )


class BooleanRequest(NoQuery):
    """Hold a boolean until the next start of mcsd, or end that."""

    state: Order = Field(description="on, off, or configured: what the configuration says")


def _explained(error: ValidationError, where: str) -> RequestError:
    first = error.errors(include_url=False)[0]
    key = ".".join(part for part in first["loc"] if isinstance(part, str))
    text = first["msg"].removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    if first["type"] == "extra_forbidden":
        text = "there is no such key"
    place = f"{where} {key!r}" if key else where
    return RequestError(f"{place}: {text}", hint="see GET /v1/openapi.json")


def _checked(model: type[M], check: Callable[[], M], where: str) -> M:
    try:
        return check()
    except ValidationError as exc:
        raise _explained(exc, where) from exc


def read_query(model: type[M], parameters: Mapping[str, Sequence[str]]) -> M:
    """Parse a URL's parameters; raise `RequestError` that names an invalid one."""
    values: dict[str, Any] = {}
    for key, given in parameters.items():
        field = model.model_fields.get(key)
        if field is not None and get_origin(field.annotation) is list:
            values[key] = list(given)
        elif len(given) == 1:
            values[key] = given[0]
        else:
            raise RequestError(f"parameter {key!r}: given more than once", hint="give it once")
    return _checked(model, lambda: model.model_validate(values), "parameter")


def read_body(model: type[M], body: bytes) -> M:
    """Parse a JSON body; raise `RequestError` that names an invalid key."""
    return _checked(model, lambda: model.model_validate_json(body, strict=True), "body")
