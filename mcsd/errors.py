"""The errors, sorted by who has to act.

Every error that a user may see says *what* happened (which operation, on which object, why) and, as `hint`,
what to do about it. `problem` is a stable code for programs, which the API and the journal carry. Only
`McsdError` is foreseen; anything else is a bug and is logged with its traceback.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Problem(StrEnum):
    """Stable codes for kinds of failure; part of the API."""

    CONFIGURATION = "configuration"
    LABEL_SYNTAX = "label-syntax"
    EXHAUSTED = "exhausted"
    ENGINE_UNAVAILABLE = "engine-unavailable"
    ENGINE_PROTOCOL = "engine-protocol"
    ENGINE_NOT_ASKED = "engine-not-asked"
    CONTAINER_GONE = "container-gone"
    LEDGER = "ledger"
    LEDGER_LOCKED = "ledger-locked"
    LEDGER_NEWER = "ledger-newer"
    LEDGER_DAMAGED = "ledger-damaged"
    VOLUME_REFUSED = "volume-refused"
    VOLUME_FAILED = "volume-failed"
    CONFLICT = "conflict"
    SELINUX = "selinux"
    BOOLEAN = "boolean"
    GATE = "gate"
    REQUEST = "request"
    NOT_FOUND = "not-found"
    AMBIGUOUS = "ambiguous"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    FLEET = "fleet"
    HOST = "host"
    BLOCKED = "blocked"
    INTERNAL = "internal"


class McsdError(Exception):
    """A foreseen failure: `what` is the sentence, `hint` the remedy (may be empty)."""

    problem: ClassVar[Problem] = Problem.REQUEST

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


class ConfigurationError(McsdError):
    """The configuration cannot be read or is not valid; mcsd exits 78."""

    problem = Problem.CONFIGURATION


class LabelSyntaxError(McsdError):
    """A string is not an SELinux level, range or context that mcsd understands."""

    problem = Problem.LABEL_SYNTAX


class ExhaustedError(McsdError):
    """No pair in the configured range is free."""

    problem = Problem.EXHAUSTED


class EngineUnavailableError(McsdError):
    """Docker's socket cannot be reached or stopped answering; try again later."""

    problem = Problem.ENGINE_UNAVAILABLE


class EngineNotAskedError(McsdError):
    """A container's engine is not in the configuration (any more)."""

    problem = Problem.ENGINE_NOT_ASKED


class EngineProtocolError(McsdError):
    """Docker's answer does not match its API."""

    problem = Problem.ENGINE_PROTOCOL


class ContainerGoneError(McsdError):
    """The container does not exist (any more)."""

    problem = Problem.CONTAINER_GONE


class LedgerError(McsdError):
    """The ledger cannot be read or written (disk full, read-only, I/O error)."""

    problem = Problem.LEDGER


class LedgerLockedError(LedgerError):
    """Another process holds the ledger."""

    problem = Problem.LEDGER_LOCKED


class LedgerNewerError(LedgerError):
    """The ledger was written by a newer mcsd; this one must not touch it."""

    problem = Problem.LEDGER_NEWER


class LedgerDamagedError(LedgerError):
    """The ledger is not a valid database."""

    problem = Problem.LEDGER_DAMAGED


class VolumeRefusedError(McsdError):
    """A rule forbids labelling this volume; nothing was changed."""

    problem = Problem.VOLUME_REFUSED

    def __init__(self, what: str, *, hint: str = "", rule: str) -> None:
        super().__init__(what, hint=hint)
        self.rule = rule


class VolumeFailedError(McsdError):
    """A walk could not start or continue; the ledger knows that it is unfinished."""

    problem = Problem.VOLUME_FAILED


class SelinuxError(McsdError):
    """The kernel or libselinux refused an operation."""

    problem = Problem.SELINUX


class BooleanError(McsdError):
    """A boolean cannot be read, set or found in the loaded policy."""

    problem = Problem.BOOLEAN


class GateError(McsdError):
    """A container's start cannot be prepared."""

    problem = Problem.GATE


class ConflictError(McsdError):
    """The request conflicts with another holder."""

    problem = Problem.CONFLICT


class RequestError(McsdError):
    """A request asks for something that does not make sense."""

    problem = Problem.REQUEST


class NotFoundError(McsdError):
    """What a request names does not exist."""

    problem = Problem.NOT_FOUND


class AmbiguousError(McsdError):
    """What a request names could be more than one thing."""

    problem = Problem.AMBIGUOUS


class ForbiddenError(McsdError):
    """The caller may not do this."""

    problem = Problem.FORBIDDEN


class BusyError(McsdError):
    """A limit on simultaneous work is reached; try again later."""

    problem = Problem.BUSY


class FleetError(McsdError):
    """The fleet's store cannot be asked, or does not let this host grant."""

    problem = Problem.FLEET


class HostError(McsdError):
    """A call to the host failed in a way that no other error covers."""

    problem = Problem.HOST


class BlockedError(HostError):
    """The host has not answered a call for too long; everything else continues."""

    problem = Problem.BLOCKED
