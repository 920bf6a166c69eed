"""What an audit reads from Docker's answers: options that are not about labels.

Fields that the daemon reads too are parsed by `inspect`; the rest is declared as there: exactly the fields
that are used, strictly typed, everything else ignored. Docker 20.10 to 29 and Podman's compatible API leave
some of them out; a missing field means Docker's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from mcsd.adapters.docker.inspect import (
    ContainerConfig,
    HostConfig,
    InspectAnswer,
    Read,
    container_of,
    parse,
)
from mcsd.core.audit.capabilities import plain
from mcsd.core.audit.facts import AuditedMount, ContainerSettings, Endpoint
from mcsd.core.containers import MountKind


class _Device(Read):
    path_on_host: str


class _HostConfig(HostConfig):
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    uts_mode: str = Field("", alias="UTSMode")
    devices: list[_Device] | None = None
    memory: int = 0
    pids_limit: int | None = None


class _Config(ContainerConfig):
    user: str = ""


class _Answer(InspectAnswer):
    host_config: _HostConfig
    config: _Config


class _Info(Read):
    security_options: list[str] | None = None
    live_restore_enabled: bool = False
    name: str = ""


def read_settings(answer: Mapping[str, Any]) -> tuple[ContainerSettings, int | None]:
    """Read a container's inspect answer: its settings, and its first process while it runs.

    Raises `EngineProtocolError`.
    """
    seen = parse(_Answer, answer, "about a container")
    host, container = seen.host_config, container_of(seen)
    settings = ContainerSettings(
        id=container.id,
        name=container.name,
        running=container.running,
        image=container.image,
        user=seen.config.user,
        privileged=container.privileged,
        cap_add=frozenset(map(plain, host.cap_add or ())),
        cap_drop=frozenset(map(plain, host.cap_drop or ())),
        pid_mode=container.pid_mode,
        ipc_mode=container.ipc_mode,
        network_mode=container.network_mode,
        uts_mode=host.uts_mode,
        userns_mode=container.userns_mode,
        security_options=container.security_options,
        devices=tuple(one.path_on_host for one in host.devices or ()),
        memory=host.memory or None,
        processes=host.pids_limit if host.pids_limit and host.pids_limit > 0 else None,
        mounts=tuple(
            AuditedMount(one.source, one.destination, one.writable, one.kind.value)
            for one in container.mounts
            if one.kind in {MountKind.BIND, MountKind.VOLUME} and one.source
        ),
    )
    return settings, container.pid


def read_options(answer: Mapping[str, Any]) -> tuple[frozenset[str], bool]:
    """Parse the engine's info: the names of its security options, and whether live restore is on.

    An unconfined default profile counts as no option: `name=seccomp,profile=unconfined` filters nothing.
    """
    info = parse(_Info, answer, "about itself")
    names = set()
    for option in info.security_options or ():
        parts = dict(part.partition("=")[::2] for part in option.split(","))
        if not (parts.get("name") == "seccomp" and parts.get("profile") == "unconfined"):
            names.add(parts.get("name", option))
    return frozenset(names), info.live_restore_enabled


def endpoints(
    settings: Mapping[str, Any], arguments: tuple[str, ...], listening: tuple[str, ...]
) -> tuple[Endpoint, ...]:
    """Return the TCP addresses on which dockerd serves its API.

    `settings` is daemon.json, `arguments` its command line, `listening` what its process really listens on.
    Addresses that it listens on without being configured are Swarm's or a plug-in's, and are left out.
    """
    asked = [str(one) for one in settings.get("hosts") or ()]
    flags: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        key, equals, value = word.partition("=")
        if key in {"-H", "--host"}:
            asked.append(value if equals else next(words, ""))
        elif key.startswith("-H") and not key.startswith("--"):
            asked.append(word[2:])
        elif key.startswith("--tls"):
            flags[key.removeprefix("--")] = value if equals else "true"
    verifies = bool(settings.get("tlsverify")) or flags.get("tlsverify", "false") not in {"false", "0"}
    encrypts = verifies or bool(settings.get("tls")) or flags.get("tls", "false") not in {"false", "0"}
    addresses = [one for one in asked if one.startswith("tcp://") or (":" in one and "//" not in one)]
    found = dict.fromkeys(_at(one, listening) for one in addresses)
    return tuple(Endpoint(address, encrypts, verifies) for address in found)


def _at(asked: str, listening: tuple[str, ...]) -> str:
    """Return the address that a configured one resulted in, if the kernel shows one with its port."""
    address = asked.removeprefix("tcp://")
    port = address.rpartition(":")[2].partition("/")[0]
    return next((one for one in listening if port and one.rpartition(":")[2] == port), address)
