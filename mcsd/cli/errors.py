"""mcsctl's exit statuses, and the exception that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses; part of the interface."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NOT_FOUND = 4
    REFUSED = 5
    TIMED_OUT = 6
    NOT_EXECUTED = 126
    """Of `run`, as shells have it: the command cannot be executed."""
    NO_PROGRAM = 127
    """The same: there is no such program."""


class CtlError(Exception):
    """An error for the user: what happened, what to do, and the exit status."""

    def __init__(
        self, what: str, *, hint: str = "", status: Exit = Exit.FAILED, lines: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.lines = lines
        """Messages from other programs, one line each, shown below `what`."""
        self.hint = hint
        self.status = status


_BY_CODE = {
    "request": Exit.USAGE,
    "label-syntax": Exit.USAGE,
    "not-found": Exit.NOT_FOUND,
    "container-gone": Exit.NOT_FOUND,
    "ambiguous": Exit.NOT_FOUND,
    "forbidden": Exit.REFUSED,
    "conflict": Exit.REFUSED,
    "volume-refused": Exit.REFUSED,
}
_BY_STATUS = {400: Exit.USAGE, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 409: Exit.REFUSED}


def exit_status(code: str, http_status: int) -> Exit:
    """Return the exit status for a problem; for an unknown code of a newer daemon, by its HTTP status."""
    return _BY_CODE.get(code) or _BY_STATUS.get(http_status, Exit.FAILED)
