"""The daemon: reads its configuration, builds the adapters, and runs. The only place that builds them.

Exit status: 0 after a stop, 1 if something required is missing, 2 for wrong usage, 78 (EX_CONFIG) for an
invalid configuration; systemd does not restart after 78.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from mcsd import __version__
from mcsd.adapters.containerd.engine import ContainerdEngine
from mcsd.adapters.docker.engine import DockerEngine, PodmanEngine
from mcsd.adapters.fanotify.watch import FanotifyWatch
from mcsd.adapters.fleet.service_store import ServiceStore
from mcsd.adapters.host.files import HostFiles
from mcsd.adapters.host.machine import machine_identity
from mcsd.adapters.host.shared import MountedStorages
from mcsd.adapters.host.storages import storages_of_homes, storages_of_host
from mcsd.adapters.host.strays import StrayFile
from mcsd.adapters.ledger.database import SqliteLedger, set_aside
from mcsd.adapters.proc.interfaces import KernelNetworks
from mcsd.adapters.proc.lives import PidFdLives
from mcsd.adapters.proc.pidfds import PidFds
from mcsd.adapters.proc.processes import ProcProcesses
from mcsd.adapters.selinux.booleans import KernelBooleans
from mcsd.adapters.selinux.kernel import open_selinux
from mcsd.adapters.selinux.netlink import SelinuxNetlink
from mcsd.adapters.selinux.semanage import StoredBooleans
from mcsd.adapters.systemd.journal import SystemdJournal
from mcsd.adapters.systemd.service import Notifier, inherited_sockets
from mcsd.adapters.systemd.units import SystemdUnits
from mcsd.api.gate_socket import GateServer
from mcsd.api.reports.status import headline
from mcsd.api.server import ApiServer, open_socket
from mcsd.app.tasks import run_until_signalled
from mcsd.app.wiring import Assembly, FleetSide, Outside
from mcsd.blocking.calls import Blocking
from mcsd.blocking.patient import Patient
from mcsd.blocking.threads import Threads
from mcsd.config import DEFAULT_PATH, Config, EngineKind, EngineTable, IoClass, load
from mcsd.core.notices import Kind, Notice
from mcsd.core.walks import may_take_off
from mcsd.errors import ConfigurationError, LedgerDamagedError, McsdError
from mcsd.ports import ContainerEngine, Journal, Selinux
from mcsd.relabel import Engine
from mcsd.relabel.landmarks import Landmarks
from mcsd.relabel.passing import IDLE, LOWEST, Effort

EX_CONFIG = 78
IO_PRIORITIES = {IoClass.IDLE: IDLE, IoClass.BEST_EFFORT: LOWEST, IoClass.INHERIT: -1}
"""Values for ioprio_set(2); with a negative one nothing is set."""


class SystemClock:
    """The host's clock."""

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def steady(self) -> float:
        """Return the seconds since the host booted, including suspend."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def open_ledger(path: Path, journal: Journal) -> SqliteLedger:
    """Open the ledger; move a damaged one aside, report that, and create a new one."""
    try:
        return SqliteLedger(path)
    except LedgerDamagedError as exc:
        moved = set_aside(path, time.time())
        journal.emit(Notice(Kind.LEDGER_DAMAGED, {"reason": exc.what, "moved": str(moved)}))
        return SqliteLedger(path)


async def run(config: Config, *, state: Path, socket: Path) -> None:
    """Run until a signal; raise `McsdError` if something required is missing."""
    async with AsyncExitStack() as stack:
        assembly = Assembly(config, _outside(config, state, stack))
        await assembly.prepare()
        await _listen(assembly, socket, stack)
        await _work(assembly)


def _outside(config: Config, state: Path, stack: AsyncExitStack) -> Outside:
    """Build all adapters; `stack` closes them in reverse order."""
    journal = SystemdJournal()
    stack.callback(journal.close)
    selinux = open_selinux(config.selinux.backend)
    stack.callback(selinux.close)
    ledger = open_ledger(state / "ledger.db", journal)
    stack.callback(ledger.close)
    writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="ledger"))
    blocking = Blocking(Threads())
    stack.push_async_callback(blocking.close)
    engines, engines_for_gate = ({one.name: _engine(one) for one in config.engines} for _ in range(2))
    for engine in (*engines.values(), *engines_for_gate.values()):
        stack.push_async_callback(engine.close)
    disk_watch = FanotifyWatch(most=config.watch.directories)
    stack.callback(disk_watch.close)
    return Outside(
        engines=engines,
        engines_for_gate=engines_for_gate,
        ledger=ledger,
        volumes=_relabel_engine(config, state, selinux),
        blocking=blocking,
        disk_watch=disk_watch,
        files=HostFiles(),
        strays=StrayFile(state / "strays.json"),
        selinux=selinux,
        processes=ProcProcesses(),
        journal=journal,
        clock=SystemClock(),
        writer=writer,
        switches=KernelBooleans(),
        pid_watchers=PidFds(),
        process_lives=PidFdLives(),
        unit_lives=SystemdUnits(),
        netlink=SelinuxNetlink(),
        networks=KernelNetworks(),
        shared_storages=MountedStorages(named=config.fleet.named_storages),
        fleet=_fleet(config),
        stored_booleans=StoredBooleans(state),
    )


def _fleet(config: Config) -> FleetSide | None:
    if not config.fleet.store:
        return None
    store = ServiceStore(config.fleet.store.removeprefix("unix://"))
    return FleetSide(store, machine_identity())


def _engine(engine: EngineTable) -> ContainerEngine:
    match engine.kind:
        case EngineKind.DOCKER:
            return DockerEngine(engine.url, timeout=engine.timeout)
        case EngineKind.PODMAN:
            return PodmanEngine(engine.url, timeout=engine.timeout)
        case EngineKind.CONTAINERD:
            state = Path(engine.url.removeprefix("unix://")).parent
            return ContainerdEngine(state, timeout=engine.timeout)


def _relabel_engine(config: Config, state: Path, selinux: Selinux) -> Engine:
    patient = Patient()
    return Engine(
        store=state / "originals",
        rules=Landmarks(
            patient,
            of_host=storages_of_host,
            of_homes=storages_of_homes,
            state=[str(state)],
            sockets=[engine.url.removeprefix("unix://") for engine in config.engines],
        ),
        patient=patient,
        default_label=selinux.default_label,
        may_change=partial(may_take_off, selinux.may_relabel),
        effort=Effort.of_this_host(nice=config.walks.nice, io_priority=IO_PRIORITIES[config.walks.io_class]),
    )


async def _listen(assembly: Assembly, socket: Path, stack: AsyncExitStack) -> None:
    """Serve the API and the gate until `stack` closes."""
    server = ApiServer(assembly.facade)
    await server.start(inherited_sockets("api") or [open_socket(socket)])
    stack.push_async_callback(server.stop)
    stack.push_async_callback(assembly.start_admission.close)
    gate = GateServer(assembly.start_admission, assembly.facade)
    await gate.start(inherited_sockets("gate") or [open_socket(socket.with_name("gate.sock"), mode=0o600)])
    stack.push_async_callback(gate.stop)


async def _work(assembly: Assembly) -> None:
    """Tell systemd that mcsd is ready, and run until a signal."""
    notifier = Notifier()

    def stopping() -> None:
        notifier.stopping()
        assembly.stop()

    def standing() -> str:
        return headline(assembly.facade.standing())

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
    with suppress(ConfigurationError):  # systemd cannot be notified; it is in the journal
        Notifier().status(f"{error.what} (next: {error.hint})" if error.hint else error.what)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; return its exit status."""
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
