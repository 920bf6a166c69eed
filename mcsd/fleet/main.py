"""The program mcsd-fleet: reads its configuration, listens, and asks etcd for mcsd.

Exit status: 1 if it cannot listen, 2 for wrong usage, 78 (EX_CONFIG) for an invalid configuration.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from urllib3.util import connection

from mcsd import __version__
from mcsd.errors import ConfigurationError
from mcsd.fleet.etcd import EtcdStore
from mcsd.fleet.server import decline, serve
from mcsd.fleet.settings import DEFAULT_PATH, load

EX_CONFIG = 78
_FIRST_DESCRIPTOR = 3
"""Where systemd puts the first socket (sd_listen_fds(3))."""


def _listening(path: Path | None) -> socket.socket:
    """Return the socket that systemd has opened, or open one at `path` for its owner alone."""
    if path is None:
        if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
            raise ConfigurationError(
                "there is no socket", hint="systemctl start mcsd-fleet.socket, or give --socket PATH"
            )
        return socket.socket(fileno=_FIRST_DESCRIPTOR)
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        opened.bind(str(path))
    finally:
        os.umask(before)
    opened.listen()
    return opened


def _use_ipv6() -> None:
    """Have urllib3 use IPv6 where Python can.

    It finds that out by bind(2) when it is imported, which this service may not (`SocketBindDeny=`, and the
    policy): then it would never reach an etcd that has no other address.
    """
    connection.HAS_IPV6 = socket.has_ipv6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service; return its exit status."""
    parser = argparse.ArgumentParser(prog="mcsd-fleet", description="asks etcd for mcsd")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="where to listen without socket activation"
    )
    parser.add_argument("--version", action="version", version=f"mcsd-fleet {__version__}")
    arguments = parser.parse_args(argv)
    _use_ipv6()
    try:
        listening = _listening(arguments.socket)
    except (ConfigurationError, OSError) as exc:
        return _failed(exc)
    with listening:
        try:
            store = EtcdStore(load(arguments.config).access())
        except ConfigurationError as exc:
            decline(listening, exc)
            return _failed(exc)
        serve(listening, store)
    return 0


def _failed(error: Exception) -> int:
    print(f"mcsd-fleet: {error}", file=sys.stderr)  # noqa: T201
    return EX_CONFIG if isinstance(error, ConfigurationError) else 1


if __name__ == "__main__":
    sys.exit(main())
