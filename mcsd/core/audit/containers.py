"""What is open in one container: each check takes facts and yields findings. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from mcsd.core.audit.capabilities import DEFAULT, HOST, SELDOM
from mcsd.core.audit.facts import (
    AuditedMount,
    ContainerFacts,
    ContainerSettings,
    Kernel,
    Seccomp,
    Shortfall,
    Sort,
    VolumeContents,
)
from mcsd.core.audit.findings import RULES, Finding, Severity
from mcsd.core.exposure import SHOWING, Weak

ENGINE_SOCKETS = next(one.paths for one in SHOWING if one.what is Weak.ENGINE_SOCKET)
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  (looked for, not used)
NAMESPACES = {"host-pid": "pid", "host-ipc": "ipc", "host-network": "net", "host-uts": "uts"}
"""Rule → name in /proc/PID/ns."""

_ALL = "ALL"
_REMEDY = {
    "host-pid": "recreate it without --pid=host",
    "host-ipc": "recreate it without --ipc=host",
    "host-network": "recreate it without --network=host, and publish the ports that it serves: -p",
    "host-uts": "recreate it without --uts=host; --hostname gives it a name of its own",
}


def _inspect(settings: ContainerSettings, fields: str) -> str:
    """Say which fields of the engine's answer were looked at."""
    return f"{settings.program}: {fields}"


def _handed_in(facts: ContainerFacts) -> str:
    return _inspect(facts.settings, "Mounts")


def _found(facts: ContainerFacts, rule: str, text: str, seen: str, remedy: str, **more: object) -> Finding:
    settings = facts.settings
    return Finding(
        RULES[rule],
        settings.full_name,
        text,
        seen,
        remedy,
        container=settings.id,
        **more,  # type: ignore[arg-type]
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# --- isolation -----------------------------------------------------------------------------------------


def isolation(facts: ContainerFacts) -> Iterator[Finding]:
    """Report what mcsd cannot prove about a running container."""
    proof = facts.proof
    if proof is None or not facts.settings.running:
        return
    if proof.isolated is not True:
        for one in proof.missing or (Shortfall("unknown", "mcsd does not say so", "mcsctl show says more"),):
            yield _found(
                facts,
                "isolation",
                one.text,
                f"mcsd: kernel, process and disk, as mcsctl show {facts.settings.full_name} tells",
                one.hint or f"mcsctl show {facts.settings.full_name} says more",
                object=one.code,
            )
    told = {one.text for one in proof.missing}
    for one in (one for one in proof.weakened if one.text not in told):
        yield _found(
            facts, "weakened-isolation", one.text, "mcsd: what its mounts show", one.hint, object=one.place
        )


# --- what the engine was asked for, and the kernel has -------------------------------------------------


def privileged(facts: ContainerFacts) -> Iterator[Finding]:
    """Report a privileged container: every device, every capability, no label, no filter."""
    if facts.settings.privileged:
        yield _found(
            facts,
            "privileged",
            "it was started with --privileged: all devices, all capabilities, no label and no filter",
            _inspect(facts.settings, "HostConfig.Privileged"),
            "recreate it without --privileged, with --device and --cap-add for what it really uses",
        )


def namespaces(facts: ContainerFacts) -> Iterator[Finding]:
    """Report namespaces shared with the host: according to the kernel if it was asked, and to the options."""
    settings = facts.settings
    asked = {
        "host-pid": settings.pid_mode == "host",
        "host-ipc": settings.ipc_mode == "host",
        "host-network": settings.network_mode == "host",
        "host-uts": settings.uts_mode == "host",
    }
    shared = facts.kernel.shared if facts.kernel else None
    for rule, name in NAMESPACES.items():
        if asked[rule] or (shared is not None and name in shared):
            seen = f"/proc/PID/ns/{name}" if shared is not None else _inspect(facts.settings, "HostConfig")
            yield _found(
                facts, rule, f"its {name} namespace is the host's", seen, _remedy_of(facts, rule, asked[rule])
            )


def _remedy_of(facts: ContainerFacts, rule: str, asked: bool) -> str:
    if asked:
        return _REMEDY[rule]
    program = facts.settings.program
    return f"{_REMEDY[rule]}; nothing in {program} asks for it: see which container it shares it with"


def capabilities(facts: ContainerFacts) -> Iterator[Finding]:
    """Report capabilities beyond the default ones; `privileged` covers those of a privileged container."""
    settings, kernel = facts.settings, facts.kernel
    has = kernel.bounding if kernel else frozenset(settings.cap_add)
    extra = has - DEFAULT
    if extra and not settings.privileged:
        reaching = extra & (HOST | {_ALL})
        seen = "/proc/PID/status: CapBnd" if kernel else _inspect(facts.settings, "HostConfig.CapAdd")
        yield _found(
            facts,
            "capabilities-added",
            f"it has {_listed(extra)}"
            + (f", of which {_listed(reaching)} reach the whole host" if reaching else ""),
            seen,
            f"recreate it without --cap-add={' --cap-add='.join(sorted(extra))}, or with what it uses",
            severity=None if reaching else Severity.MEDIUM,
        )


def droppable(facts: ContainerFacts) -> Iterator[Finding]:
    """Report default capabilities that no process has in effect, or that few programs use."""
    kernel = facts.kernel
    if kernel is None or facts.settings.privileged:
        return
    unused = (kernel.bounding & DEFAULT) - kernel.effective
    idle = unused or (kernel.bounding & SELDOM)
    if not idle:
        return
    if unused:
        text = f"no process of its has {_listed(unused)} in effect"
        text += "" if kernel.no_new_privileges else "; a set-user-ID program inside could still take them"
    else:
        text = f"few programs use {_listed(idle)}"
    everything = idle >= kernel.bounding
    drop = "ALL" if everything else " --cap-drop=".join(sorted(idle))
    yield _found(
        facts,
        "capabilities-droppable",
        text,
        "/proc/PID/status of each of its processes: CapEff, CapBnd",
        f"recreate it with --cap-drop={drop}, and see that it still works",
    )


def root(facts: ContainerFacts) -> Iterator[Finding]:
    """Report processes that are root inside; without a user namespace they are root on the host as well."""
    kernel, user = facts.kernel, facts.settings.user
    is_root = kernel.root_inside if kernel else user.partition(":")[0] in {"", "0", "root"}
    if is_root:
        outside = kernel.root_outside if kernel else True
        yield _found(
            facts,
            "root-inside",
            "a process of its is root" + (", and root on the host as well" if outside else " inside alone"),
            "/proc/PID/status of each of its processes: Uid"
            if kernel
            else _inspect(facts.settings, "Config.User"),
            "recreate it with --user UID:GID, or have its image say USER; systemd inside is the exception",
            severity=None if outside else Severity.LOW,
        )


def seccomp(facts: ContainerFacts) -> Iterator[Finding]:
    """Report a container without a seccomp filter."""
    if facts.settings.privileged:
        return
    option, kernel = facts.settings.security_option("seccomp"), facts.kernel
    if (kernel and kernel.seccomp is Seccomp.OFF) or (kernel is None and option == "unconfined"):
        yield _found(
            facts,
            "seccomp-off",
            "its system calls are not filtered",
            "/proc/PID/status: Seccomp" if kernel else _inspect(facts.settings, "HostConfig.SecurityOpt"),
            "recreate it without --security-opt seccomp=unconfined; a profile of its own beats none",
        )


def new_privileges(facts: ContainerFacts) -> Iterator[Finding]:
    """Report a container in which execve(2) may raise privileges."""
    kernel = facts.kernel
    forbidden = kernel.no_new_privileges if kernel else facts.settings.keeps_privileges
    if not forbidden:
        yield _found(
            facts,
            "new-privileges",
            "a set-user-ID program inside raises privileges",
            "/proc/PID/status: NoNewPrivs" if kernel else _inspect(facts.settings, "HostConfig.SecurityOpt"),
            "recreate it with --security-opt no-new-privileges",
        )


def limits(facts: ContainerFacts) -> Iterator[Finding]:
    """Report missing limits of memory and processes, by the control group if the kernel was asked."""
    settings, kernel = facts.settings, facts.kernel
    memory = kernel.memory if kernel else settings.memory
    processes = kernel.processes if kernel else settings.processes
    seen = "its control group" if kernel else _inspect(facts.settings, "HostConfig")
    if memory is None:
        yield _found(
            facts,
            "no-memory-limit",
            "it may take all of the host's memory",
            seen,
            f"{settings.kind} update --memory 512m --memory-swap 512m {settings.name} (as much as it needs)",
        )
    if processes is None:
        yield _found(
            facts,
            "no-process-limit",
            "it may start any number of processes",
            seen,
            f"{settings.kind} update --pids-limit 512 {settings.name} (as many as it needs)",
        )


# --- what is handed in ---------------------------------------------------------------------------------


def devices(facts: ContainerFacts) -> Iterator[Finding]:
    """Report each device that the container is given."""
    handed = [*facts.settings.devices, *(m.source for m in facts.settings.mounts if m.sort is Sort.DEVICE)]
    for device in sorted(set(handed)):
        yield _found(
            facts,
            "devices",
            f"{device} is handed in",
            _inspect(facts.settings, "HostConfig.Devices, Mounts"),
            f"recreate it without --device {device}",
            object=device,
        )


def _within(path: str, above: str) -> bool:
    return PurePosixPath(path).is_relative_to(above)


def sockets(facts: ContainerFacts) -> Iterator[Finding]:
    """Report sockets: an engine's amounts to root on the host; others reach whatever listens there."""
    for mount in facts.settings.mounts:
        real = mount.real or mount.source
        engines = [path for path in ENGINE_SOCKETS if real == path]
        engines += [path for path in ENGINE_SOCKETS if mount.sort is Sort.DIRECTORY and _within(path, real)]
        if engines:
            yield _engine_socket(facts, mount, engines[0])
        elif mount.sort is Sort.SOCKET:
            yield _found(
                facts,
                "host-socket",
                f"it talks to whatever listens at {mount.source}",
                f"{_handed_in(facts)}, stat",
                "take the socket out, or put a proxy before it that lets only some requests pass",
                object=mount.source,
            )


def _engine_socket(facts: ContainerFacts, mount: AuditedMount, socket: str) -> Finding:
    inside = "" if (mount.real or mount.source) == socket else f" in {mount.source}"
    return _found(
        facts,
        "engine-socket",
        f"it is handed {socket}{inside}: whoever may use it may do everything on the host, read-only or not",
        f"{_handed_in(facts)}, stat",
        "take the socket out, or give it through a proxy that lets only some requests pass",
        object=mount.source,
    )


def temporary(facts: ContainerFacts) -> Iterator[Finding]:
    """Report mounts of the host's directories for temporary files, or of something in them."""
    for mount in facts.settings.mounts:
        if mount.kind == "bind" and any(_within(mount.real or mount.source, one) for one in TEMPORARY):
            yield _found(
                facts,
                "shared-tmp",
                f"{mount.source} is where everybody on the host puts temporary files",
                _handed_in(facts),
                f"recreate it with --tmpfs {mount.destination}, or with a directory of its own",
                object=mount.source,
            )


def _some(paths: tuple[str, ...], count: int) -> str:
    more = f" and {count - len(paths):,} more" if count > len(paths) else ""
    return f"{', '.join(paths)}{more}"


def contents(facts: ContainerFacts) -> Iterator[Finding]:
    """Report what the volumes contain."""
    for one in facts.contents:
        looked = f"{one.seen:,} inodes of {one.source}"
        if one.suid_count:
            yield _found(
                facts,
                "suid-content",
                f"set-user-ID or set-group-ID programs: {_some(one.suid, one.suid_count)}",
                looked,
                f"find {one.source} -xdev -type f -perm /6000 -exec chmod a-s {{}} +",
                object=one.source,
            )
        if one.writable_count:
            yield _found(
                facts,
                "world-writable",
                f"everybody may write {_some(one.writable, one.writable_count)}",
                looked,
                f"find {one.source} -xdev ! -type l -perm -0002 ! -perm -1000 -exec chmod o-w {{}} +",
                object=one.source,
            )
        if one.error or not one.complete:
            yield _unseen(facts, one)


def _unseen(facts: ContainerFacts, one: VolumeContents) -> Finding:
    why = one.error or f"only its first {one.seen:,} inodes were looked at"
    return _found(
        facts,
        "unseen-content",
        f"{one.source}: {why}",
        "the volume's tree",
        "mcsctl audit --inodes N looks at more; an error has to be mended first",
        object=one.source,
    )


# --- where it comes from -------------------------------------------------------------------------------

_ADDRESS = re.compile(r"(sha256:)?[0-9a-f]{12,64}", re.ASCII)


def image(facts: ContainerFacts) -> Iterator[Finding]:
    """Report an image named without a registry: which registry it comes from depends on who pulls it."""
    name = facts.settings.image
    first, slash, _ = name.partition("/")
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    if name and not has_registry and not _ADDRESS.fullmatch(name) and "@sha256:" not in name:
        yield _found(
            facts,
            "naked-pull",
            f"{name} names no registry and no digest",
            _inspect(facts.settings, "Config.Image"),
            f"name it with its registry, as docker.io/{'' if slash else 'library/'}{name}, or by its digest",
            object=name,
        )


# --- the engine against the kernel ---------------------------------------------------------------------


def disagreement(facts: ContainerFacts) -> Iterator[Finding]:
    """Report what the kernel shows and the engine's settings do not explain; the kernel is right."""
    if facts.kernel is None:
        if facts.unseen:
            yield _found(
                facts, "unseen", facts.unseen, "/proc/PID", "run it as root, while the container runs"
            )
        return
    for code, text, seen in _contradictions(facts):
        yield _found(
            facts,
            "disagreement",
            text,
            seen,
            f"{facts.settings.kind} restart {facts.settings.name}; if it stays so, its runtime does not do "
            f"what {facts.settings.title} asks",
            object=code,
        )


Contradiction = tuple[str, str, str]
"""What differs, a sentence, and what was examined."""


def _contradictions(facts: ContainerFacts) -> Iterator[Contradiction]:
    settings, kernel = facts.settings, facts.kernel
    assert kernel is not None
    if settings.privileged:
        return
    yield from _of_privileges(settings, kernel)
    for name, mode in _own_namespaces(settings):
        if kernel.shared is not None and name in kernel.shared:
            yield (
                f"namespace-{name}",
                f"{settings.title} says {mode or 'private'}; its {name} namespace is the host's",
                _inspect(settings, f"HostConfig; /proc/PID/ns/{name}"),
            )
    yield from _of_limits(settings, kernel)


def _of_privileges(settings: ContainerSettings, kernel: Kernel) -> Iterator[Contradiction]:
    beyond = _beyond(kernel.bounding, settings)
    if beyond:
        yield (
            "capabilities",
            f"{settings.title} gave it no {_listed(beyond)}; the kernel has them in its bounding set",
            _inspect(settings, "HostConfig.CapAdd, CapDrop; /proc/PID/status: CapBnd"),
        )
    if settings.security_option("seccomp") != "unconfined" and kernel.seccomp is Seccomp.OFF:
        yield (
            "seccomp",
            f"{settings.title} is not asked to leave its system calls unfiltered; the kernel filters none",
            _inspect(settings, "HostConfig.SecurityOpt; /proc/PID/status: Seccomp"),
        )
    if settings.keeps_privileges and not kernel.no_new_privileges:
        yield (
            "no-new-privileges",
            f"{settings.title} says no-new-privileges; the kernel lets its processes gain some",
            _inspect(settings, "HostConfig.SecurityOpt; /proc/PID/status: NoNewPrivs"),
        )


def _of_limits(settings: ContainerSettings, kernel: Kernel) -> Iterator[Contradiction]:
    if settings.memory is not None and kernel.memory is None:
        yield (
            "memory",
            f"{settings.title} says {settings.memory:,} bytes; its control group has no limit",
            _inspect(settings, "HostConfig.Memory; memory.max"),
        )
    if settings.processes is not None and kernel.processes is None:
        yield (
            "processes",
            f"{settings.title} says {settings.processes:,} processes; its control group has no limit",
            _inspect(settings, "HostConfig.PidsLimit; pids.max"),
        )


def _own_namespaces(settings: ContainerSettings) -> Iterator[tuple[str, str]]:
    """Return the namespaces that should be the container's own, with their modes.

    One that it shares with another container may be the host's by way of that container."""
    modes = {"pid": settings.pid_mode, "ipc": settings.ipc_mode, "net": settings.network_mode}
    for name, mode in modes.items():
        if mode != "host" and not mode.startswith("container:"):
            yield name, mode


def _beyond(bounding: frozenset[str], settings: ContainerSettings) -> frozenset[str]:
    """Return the capabilities in `bounding` that the settings do not explain.

    They explain the default ones and those added, without those dropped; all of them if "ALL" is added."""
    if _ALL in settings.cap_add:
        return frozenset()
    base = frozenset() if _ALL in settings.cap_drop else DEFAULT
    return bounding - (base - settings.cap_drop) - settings.cap_add


CHECKS: tuple[Callable[[ContainerFacts], Iterator[Finding]], ...] = (
    isolation,
    privileged,
    namespaces,
    capabilities,
    droppable,
    root,
    seccomp,
    new_privileges,
    devices,
    sockets,
    contents,
    temporary,
    image,
    limits,
    disagreement,
)


WITHOUT_SETTINGS = (isolation, sockets, contents, temporary)
"""For what mcsd alone describes, such as a run: what it is apart from, and what it is given."""


def judge(facts: ContainerFacts) -> tuple[Finding, ...]:
    """Return all findings about one container."""
    checks = WITHOUT_SETTINGS if facts.settings.has_no_settings else CHECKS
    return tuple(finding for check in checks for finding in check(facts))
