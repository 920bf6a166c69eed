"""Observing: one look at one container, from the engine, the volumes' roots and its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.gating import has_passed, is_gated, may_have_passed
from mcsd.core.host import Host
from mcsd.core.interfaces import Network
from mcsd.core.modes import VolumePolicy, is_claimable, mode_for
from mcsd.core.plan import Observed, Opened, Sight, Unusable
from mcsd.core.volumes import ClaimState, Volume, of_it
from mcsd.errors import (
    ContainerGoneError,
    SelinuxError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.ports import ContainerEngine, Networks, Selinux, VolumeEngine
from mcsd.starts import Starts


@dataclass(frozen=True, slots=True)
class ProcessSight:
    """A container's init process: its context, and whether the policy makes its domain permissive.

    `unbound` says why the policy's categories do not keep it apart, "" where they do. `network` is how it is
    connected, None where nobody has looked.
    """

    context: str | None = None
    permissive: bool = False
    unbound: str = ""
    network: Network | None = None


class Observer:
    """Looks, and decides nothing."""

    def __init__(
        self,
        engine: ContainerEngine,
        volumes: VolumeEngine,
        selinux: Selinux,
        host: Callable[[], Host],
        policy: VolumePolicy,
        explicit_paths: Collection[str],
        starts: Starts,
        file_type: str,
        networks: Networks,
    ) -> None:
        self._networks = networks
        self._starts = starts
        self._file_type = file_type
        self._engine = engine
        self._volumes = volumes
        self._selinux = selinux
        self._host = host
        self._policy = policy
        self._explicit_paths = tuple(explicit_paths)

    async def look(self, container_id: ContainerId) -> Observed:
        """Inspect a container and examine its volumes; raises `EngineUnavailableError` and its kin."""
        try:
            container = await self._engine.inspect(container_id)
        except ContainerGoneError:
            return Observed(container_id, None, self._host())
        return await self.look_at(container)

    async def look_at(self, container: Container) -> Observed:
        """Examine the volumes of a container that has been inspected."""
        host = self._host()
        sights = await self.sights(container)
        through_gate = self._starts.is_starting(container.id)
        passed = may_have_passed(container, host)
        process = await self._context_of(container) if passed else None
        return Observed(
            container.id,
            container,
            host,
            sights,
            # A running container stays what it was started as, whatever the engine would do with it next.
            gated=through_gate or is_gated(container, host) or has_passed(container, process),
            process=process,
        )

    async def sights(self, container: Container) -> dict[str, Sight]:
        """Examine the volumes alone, by destination."""
        return await asyncio.to_thread(self._examine_all, container) if container.mounts else {}

    async def identify(self, volumes: Iterable[Volume]) -> tuple[Volume, ...]:
        """Give those of the volumes whose device has another number now, with that."""

        def look() -> tuple[Volume, ...]:
            found = ((one, self._volumes.identify(one.id, one.path, one.identity)) for one in volumes)
            return tuple(replace(one, identity=now) for one, now in found if now != one.identity)

        return await asyncio.to_thread(look)

    async def _context_of(self, container: Container) -> str | None:
        if not container.running or container.pid is None:
            return None
        return await asyncio.to_thread(self._selinux.process_context, container.pid)

    async def process_of(self, container: Container) -> ProcessSight:
        """Read what the container's init process runs as."""
        if not container.running or container.pid is None:
            return ProcessSight()
        process = await asyncio.to_thread(self._process, container.pid)
        network = await asyncio.to_thread(self._networks.network_of, container.pid, container.network_mode)
        return replace(process, network=network)

    def _process(self, pid: int) -> ProcessSight:
        context = self._selinux.process_context(pid)
        if context is None:
            return ProcessSight()
        return ProcessSight(context, self._selinux.is_permissive(context), self._why_unbound(context))

    def _why_unbound(self, context: str) -> str:
        try:
            if self._selinux.separates(context, self._file_type):
                return ""
        except SelinuxError as exc:
            return exc.what
        return f"the loaded policy's categories do not bind the domain of {context}"

    def _examine_all(self, container: Container) -> dict[str, Sight]:
        lacking = self._lacking()
        return {
            mount.destination: self._examine(mount, lacking)
            for mount in container.mounts
            if is_claimable(mount) and mode_for(mount, container, self._policy).is_labelled
        }

    def _examine(self, mount: Mount, lacking: Unusable | None) -> Sight:
        # The engine's own directory for a named volume lies in its storage, which no other path there may
        # be labelled in: that it is this volume's is the engine's word, not the container owner's.
        allowed = (*self._explicit_paths, *([mount.source] if mount.kind is MountKind.VOLUME else []))
        try:
            root = self._volumes.examine(mount.source, allowed=allowed)
        except VolumeRefusedError as exc:
            return Unusable(ClaimState.REFUSED, of_it(exc.what, mount.source), exc.hint, exc.rule)
        except VolumeFailedError as exc:
            return Unusable(ClaimState.FAILED, of_it(exc.what, mount.source), exc.hint)
        return lacking or Opened(root.path, root.identity, root.label)

    def _lacking(self) -> Unusable | None:
        """Say why no volume could get a label, if so: each waits for a policy that has one."""
        try:
            self._selinux.file_context(self._file_type, "s0")
        except SelinuxError as exc:
            return Unusable(ClaimState.FAILED, exc.what, exc.hint)
        return None
