"""How mcsctl ends: its exit statuses, and the one exception that carries one."""

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


class CtlError(Exception):
    """Something a person has to be told: what, what to do about it, and how mcsctl ends."""

    def __init__(
        self, what: str, *, hint: str = "", status: Exit = Exit.FAILED, lines: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.lines = lines
        """What others said of it, one line each, shown below `what`."""
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
    """Return the exit status for a problem; a code that only a newer daemon knows goes by its HTTP status."""
    return _BY_CODE.get(code) or _BY_STATUS.get(http_status, Exit.FAILED)
