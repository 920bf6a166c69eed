"""Asking mcsd over the gate's socket, and reading the configuration if it cannot be asked."""

from __future__ import annotations

import os

from .text import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcsd.runtime.main import Invocation

CONFIGURATION = "/etc/mcsd"
VERSION = 1
"""The version of the protocol on the socket."""
ATTEMPTS = 3
"""How often mcsd may be restarted during a request; systemd continues to listen meanwhile."""


class Unreachable(Exception):  # noqa: N818  (it is not always an error: `on_error` decides)
    """mcsd cannot be asked."""


class _Cut(Exception):  # noqa: N818
    """The connection ended before the answer: mcsd was restarted or killed."""


def ask(path: str, request: dict[str, Any], patience: float) -> dict[str, Any]:
    """Send one line, and return the answer, parsed; raise `Unreachable`.

    `patience` is the timeout in seconds for each step. Asking again is harmless: requests are idempotent.
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
    try:
        import _socket as socket  # `socket` brings selectors and enum, 6 ms
    except ImportError:
        import socket  # type: ignore[no-redef]

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
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
    """Tell whether the configuration allows a start if mcsd cannot be asked."""
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
