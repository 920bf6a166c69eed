"""The daemon: reads its configuration, builds the adapters, and runs. The only place that builds them.

Exit status: 0 after a stop, 1 when something it cannot do without is missing, 2 for wrong usage, 78
(EX_CONFIG) for a configuration that cannot be used; systemd does not restart after 78.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from mcsd import __version__
from mcsd.adapters.booleans import KernelBooleans
from mcsd.adapters.docker import DockerEngine
from mcsd.adapters.interfaces import KernelNetworks
from mcsd.adapters.journal import SystemdJournal
from mcsd.adapters.ledger import SqliteLedger, set_aside
from mcsd.adapters.netlink import SelinuxNetlink
from mcsd.adapters.pidfds import PidFds
from mcsd.adapters.processes import ProcProcesses
from mcsd.adapters.selinux import open_selinux
from mcsd.adapters.semanage import StoredBooleans
from mcsd.adapters.systemd import Notifier, inherited_sockets
from mcsd.api import ApiServer, open_socket
from mcsd.assembly import Assembly, Outside
from mcsd.config import DEFAULT_PATH, Config, IoClass, load
from mcsd.core.notices import Kind, Notice
from mcsd.core.protected import ProtectionRules
from mcsd.core.report.status import headline
from mcsd.errors import ConfigurationError, LedgerDamagedError, McsdError
from mcsd.gate_server import GateServer
from mcsd.ports import Journal
from mcsd.relabel import Engine, Lanes
from mcsd.relabel.passing import IDLE, LOWEST, Effort
from mcsd.supervision import run_until_signalled

EX_CONFIG = 78
IO_PRIORITIES = {IoClass.IDLE: IDLE, IoClass.BEST_EFFORT: LOWEST, IoClass.INHERIT: -1}
"""As ioprio_set(2) takes them; below 0 nothing is set."""


class SystemClock:
    """The host's clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def open_ledger(path: Path, journal: Journal) -> SqliteLedger:
    """Open the ledger; move a damaged one aside, say so, and begin a new one."""
    try:
        return SqliteLedger(path)
    except LedgerDamagedError as exc:
        moved = set_aside(path, time.time())
        journal.emit(Notice(Kind.LEDGER_DAMAGED, {"reason": exc.what, "moved": str(moved)}))
        return SqliteLedger(path)


async def run(config: Config, *, state: Path, socket: Path) -> None:
    """Run until a signal; raise `McsdError` where something it cannot do without is missing."""
    async with AsyncExitStack() as stack:
        journal = SystemdJournal()
        stack.callback(journal.close)
        selinux = open_selinux(config.selinux.backend)
        stack.callback(selinux.close)
        ledger = open_ledger(state / "ledger.db", journal)
        stack.callback(ledger.close)
        writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="ledger"))
        lanes = Lanes()
        stack.push_async_callback(lanes.close)
        docker = DockerEngine(config.docker.url, timeout=config.docker.timeout)
        stack.push_async_callback(docker.close)
        docker_for_gate = DockerEngine(config.docker.url, timeout=config.docker.timeout, threads=2)
        stack.push_async_callback(docker_for_gate.close)
        homes = [entry.pw_dir for entry in pwd.getpwall()]
        volumes = Engine(
            store=state / "originals",
            rules=ProtectionRules.of(homes=homes, state=[str(state)]),
            default_label=selinux.default_label,
            effort=Effort.of_this_host(
                nice=config.walks.nice, io_priority=IO_PRIORITIES[config.walks.io_class]
            ),
        )
        assembly = Assembly(
            config,
            Outside(
                docker=docker,
                docker_for_gate=docker_for_gate,
                ledger=ledger,
                volumes=volumes,
                lanes=lanes,
                selinux=selinux,
                processes=ProcProcesses(),
                journal=journal,
                clock=SystemClock(),
                writer=writer,
                switches=KernelBooleans(),
                lifelines=PidFds(),
                news=SelinuxNetlink(),
                networks=KernelNetworks(),
                stored_booleans=StoredBooleans(state),
            ),
        )
        await assembly.prepare()
        server = ApiServer(assembly.answers)
        await server.start(inherited_sockets("api") or [open_socket(socket)])
        stack.push_async_callback(server.stop)
        stack.push_async_callback(assembly.gatekeeper.close)
        gate = GateServer(assembly.gatekeeper, assembly.answers)
        await gate.start(
            inherited_sockets("gate") or [open_socket(socket.with_name("gate.sock"), mode=0o600)]
        )
        stack.push_async_callback(gate.stop)
        notifier = Notifier()

        def stopping() -> None:
            notifier.stopping()
            assembly.stop()

        def standing() -> str:
            return headline(assembly.answers.standing())

        notifier.ready(standing())
        telling = partial(notifier.keep_told, standing)
        await run_until_signalled((*assembly.jobs(), notifier.keep_alive, telling), stopping=stopping)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    state = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/mcsd"))
    parser = argparse.ArgumentParser(prog="mcsd", description="SELinux/MCS label daemon for container hosts")
    add = parser.add_argument
    add("--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s")
    add("--check-config", action="store_true", help="say whether the configuration is right, and leave")
    add(
        "--state", type=Path, default=state, metavar="DIR", help="ledger and originals (default: %(default)s)"
    )
    add(
        "--socket",
        type=Path,
        default=Path("/run/mcsd/mcsd.sock"),
        metavar="PATH",
        help="where to listen without socket activation (default: %(default)s)",
    )
    add("--version", action="version", version=f"mcsd {__version__}")
    return parser.parse_args(argv)


def _complain(error: McsdError) -> None:
    print(f"mcsd: {error.what}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201
    with suppress(ConfigurationError):  # systemd cannot be told: it is in the journal
        Notifier().status(f"{error.what} (next: {error.hint})" if error.hint else error.what)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; give its exit status."""
    arguments = _arguments(argv)
    try:
        config = load(arguments.config)
        if not arguments.check_config:
            asyncio.run(run(config, state=arguments.state, socket=arguments.socket))
    except ConfigurationError as exc:
        _complain(exc)
        return EX_CONFIG
    except McsdError as exc:
        _complain(exc)
        return 1
    return 0
