"""Debian's cockpit-ws on loopback with a session of its own, and mcsd's page as the package installs it.

It lives in a mount namespace in which `/run/mcsd` is a directory of the test's: so the page under test is the
page that is installed, byte for byte, and nothing of the host's `/run` is touched.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "packaging/cockpit"
WS = Path("/usr/lib/cockpit/cockpit-ws")
PATIENCE = 30.0
"""Seconds that a start may take."""

_INSIDE = """
mount -t tmpfs tmpfs /run
mkdir -p /run/mcsd /run/user/test
chmod 1777 /run/user/test
mount --bind "$1" /run/mcsd
shift
exec "$@"
"""


class Console:
    """A Cockpit that a browser can be sent to."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """The page itself, without the shell around it."""
        return f"http://127.0.0.1:{self.port}/cockpit/@localhost/mcsd/index.html"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def install(top: Path) -> Path:
    """Install the page below `top` as the package does; return the data directory."""
    command = ["make", "-s", "-C", str(PAGE), "install", f"DESTDIR={top}", "PREFIX="]
    subprocess.run(command, check=True)
    return top / "share"


@contextmanager
def running_console(
    top: Path, sockets: Path, *, bridge: Sequence[str] = ("cockpit-bridge",), port: int = 0
) -> Iterator[Console]:
    """Run cockpit-ws with files below `top`; `sockets` becomes its session's `/run/mcsd`.

    `port` 0 is any that is free. What its session has systemctl do is written down and not done: starting
    units is systemd's part, and there may be none.
    """
    assert WS.exists(), "missing for tests/web: apt-get install cockpit-ws cockpit-bridge"
    data, port = install(top), port or _free_port()
    programs = top / "bin"
    programs.mkdir(exist_ok=True)
    systemctl = programs / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{top}/systemctl\n[ ! -e {top}/refuse ] || exit 1\n')
    systemctl.chmod(0o755)
    session = programs / "session"
    session.write_text(f"#!/bin/sh\nexec {shlex.join(bridge)}\n")
    session.chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(top),
        "XDG_DATA_DIRS": f"{data}:/usr/share",
        "XDG_CONFIG_DIRS": str(top),
        "XDG_RUNTIME_DIR": "/run/user/test",
        "LANG": "C.UTF-8",
    }
    command = [str(WS), "--no-tls", "--address=127.0.0.1", f"--port={port}"]
    command += [f"--local-session={session}"]
    inside = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        _INSIDE,
        "sh",
        str(sockets),
        *command,
    ]
    with (top / "ws.log").open("wb") as log:
        process = subprocess.Popen(
            inside, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < deadline, (top / "ws.log").read_text()
            time.sleep(0.05)
        yield Console(port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
        shutil.rmtree(data, ignore_errors=True)
