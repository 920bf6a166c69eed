"""Asking mcsd over the gate's socket, and what the configuration says for when it cannot be asked."""

from __future__ import annotations

import os

from .text import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcsd.runtime.main import Invocation

CONFIGURATION = "/etc/mcsd"
VERSION = 1
"""Of what is spoken on the socket."""
ATTEMPTS = 3
"""How often mcsd may be restarted while it is being asked: systemd goes on listening for it meanwhile."""


class Unreachable(Exception):  # noqa: N818  (it is not always an error: `on_error` decides)
    """mcsd cannot be asked."""


class _Cut(Exception):  # noqa: N818
    """The connection has ended before the answer came: mcsd was restarted, or killed."""


def ask(path: str, request: dict[str, Any], patience: float) -> dict[str, Any]:
    """Send one line, and give the one that comes back, parsed; raise `Unreachable`.

    `patience` in seconds is for each part of it. Asking again is harmless: what is done is not done twice.
    """
    for _ in range(ATTEMPTS):
        try:
            return _ask(path, request, patience)
        except _Cut:
            continue
        except TimeoutError as exc:
            raise Unreachable(f"mcsd has not answered at {path} within {patience:g} s") from exc
        except (OSError, ValueError) as exc:
            raise Unreachable(f"mcsd cannot be asked at {path}: {exc}") from exc
    raise Unreachable(f"mcsd closed the connection at {path} {ATTEMPTS} times without an answer")


def _ask(path: str, request: dict[str, Any], patience: float) -> dict[str, Any]:
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    connection.settimeout(patience)
    connection.connect(path)
    answer = b""
    try:
        connection.sendall(dumps({"version": VERSION, **request}).encode() + b"\n")
        while not answer.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                raise _Cut
            answer += part
    except ConnectionError as exc:
        raise _Cut from exc
    finally:
        connection.close()
    parsed: dict[str, Any] = parse(answer)
    return parsed


def starts_without_answer(call: Invocation) -> bool:
    """Tell whether the configuration lets a container start that mcsd cannot be asked about."""
    import tomllib

    directory = call.option("--mcsd-configuration") or CONFIGURATION
    try:
        drop_ins = sorted(name for name in os.listdir(directory + "/conf.d") if name.endswith(".toml"))
    except OSError:
        drop_ins = []
    wanted: object = "refuse"
    for name in ["mcsd.toml", *("conf.d/" + one for one in drop_ins)]:
        try:
            with open(f"{directory}/{name}", "rb") as file:
                wanted = tomllib.load(file).get("gate", {}).get("on_error", wanted)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError):
            return False
    return wanted == "start"
