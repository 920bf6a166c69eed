"""What systemd says about mcsd when its socket does not answer.

systemd holds the sockets even while the service fails at each start. A client then waits for an answer that
never comes, but systemd knows at once. It is queried with systemctl, which needs no privileges.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

UNIT = "mcsd.service"
SHOWN_LINES = 5
_PROPERTIES = (
    *("ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "NRestarts", "StatusText"),
    *("ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic"),
)
_EXITED = "1"
"""CLD_EXITED, of `ExecMainCode`; the others are signals."""
_NAMES = {
    78: "CONFIG", 200: "CHDIR", 202: "FDS", 203: "EXEC", 206: "SETSCHEDULER", 208: "STDIN", 209: "STDOUT",
    214: "SETSCHEDULER", 216: "GROUP", 217: "USER", 218: "CAPABILITIES", 219: "CGROUP", 222: "STDERR",
    224: "PAM", 225: "NETWORK", 226: "NAMESPACE", 227: "NO_NEW_PRIVILEGES", 228: "SECCOMP",
    229: "SELINUX_CONTEXT", 232: "ADDRESS_FAMILIES", 233: "RUNTIME_DIRECTORY", 238: "STATE_DIRECTORY",
}  # fmt: skip
"""systemd.exec(5), "Process Exit Codes": failures before the program itself started."""

Run = Callable[[tuple[str, ...]], str]


@dataclass(frozen=True, slots=True)
class Failure:
    """A service that does not run, and will not start by itself."""

    what: str
    lines: tuple[str, ...] = ()
    """The last lines in the journal about it, if the user may read them."""


def run(command: tuple[str, ...]) -> str:
    """Return a program's output; "" if it is missing or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def failure(run: Run = run) -> Failure | None:
    """Return why the service does not run; None while it runs, starts, or systemd cannot be asked.

    A service that has crashed is restarted, and is not a failure: the next instance answers. One whose last
    start never became ready is, however often systemd will try.
    """
    return SystemdService(run).failure()


class SystemdService:
    """The service, queried repeatedly while waiting for an answer.

    A waiting connection makes systemd start the service again as soon as it has failed, so each query may see
    another start. A start that was followed by another, without the service becoming ready in between, has
    failed.
    """

    def __init__(self, run: Run = run) -> None:
        self._run = run
        self._begun = 0

    def failure(self) -> Failure | None:
        """See `failure`."""
        shown = _shown(self._run)
        begun, ready = _times(shown)
        has_failed = _has_failed(shown) or (0 < self._begun < begun and ready < self._begun)
        self._begun = self._begun or begun
        return Failure(_sentence(shown), _said(self._run)) if has_failed else None


def _shown(run: Run) -> Mapping[str, str]:
    shown = run(("systemctl", "show", UNIT, *(f"--property={name}" for name in _PROPERTIES)))
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _said(run: Run) -> tuple[str, ...]:
    said = run(
        ("journalctl", "--unit", UNIT, "--output=cat", "--no-pager", "--quiet", f"--lines={SHOWN_LINES}")
    )
    return tuple(line for line in said.splitlines() if line.strip())


def _times(found: Mapping[str, str]) -> tuple[int, int]:
    """Return when the last start began, and when the service was last ready; 0 for never."""
    names = ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    begun, ready = (int(found.get(name) or 0) for name in names)
    return begun, ready


def _has_failed(found: Mapping[str, str]) -> bool:
    if found.get("ActiveState") == "failed":
        return True
    if not found.get("SubState", "").startswith("auto-restart"):
        return False
    begun, ready = _times(found)
    return begun > ready


def _sentence(found: Mapping[str, str]) -> str:
    number = found.get("ExecMainStatus", "")
    if found.get("ExecMainCode") == _EXITED:
        name = _NAMES.get(int(number or 0))
        ended = f", exit status {number}" + (f"/{name}" if name else "")
    else:
        ended = f", signal {number}" if number not in {"", "0"} else ""
    state = found["ActiveState"] if found["ActiveState"] == "failed" else found["SubState"]
    times = found.get("NRestarts", "0")
    tried = f", started again {times} times" if times not in {"", "0", "1"} else ""
    text = f"; it said: {found['StatusText']}" if found.get("StatusText") else ""
    return f"mcsd does not run: systemd says {state} ({found.get('Result', '')}{ended}{tried}){text}"
