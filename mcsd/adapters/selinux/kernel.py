"""SELinux through libselinux: what the kernel says about its status, contexts and processes.

- `KernelSelinux` asks the kernel each time. Only what cannot change without a policy load is cached until the
  next one, which the kernel's status page shows without a system call (selinux_status_open(3)).
- `XattrSelinux` is used to write labels without SELinux in the kernel. It knows the syntax of contexts,
  decides nothing, and never reports anything as separated.

The bindings hold Python's global lock during each call, so calls of two threads never overlap.
"""

from __future__ import annotations

import errno
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import selinux

from mcsd.adapters.selinux.paths import PathLabels
from mcsd.adapters.selinux.types import DOMAIN, file_types, process_context
from mcsd.core.host import SWITCH_ON, SelinuxStatus
from mcsd.core.labels import CATEGORY_COUNT, Context, Label, Level, label_in, read_label, readable
from mcsd.errors import LabelSyntaxError, McsdError, SelinuxError
from mcsd.ports import Selinux

_GONE = {errno.ENOENT, errno.ESRCH}
_MOUNTS = Path("/proc/self/mounts")


@contextmanager
def _asking(operation: str, hint: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SelinuxError(f"{operation}: {exc.strerror}", hint=hint) from exc


def open_selinux(backend: str) -> Selinux:
    """Return the backend of that name, "kernel" or "xattr"; raise `SelinuxError` if it cannot work."""
    match backend:
        case "kernel":
            return KernelSelinux()
        case "xattr":
            return XattrSelinux()
    raise SelinuxError(f"there is no SELinux backend {backend!r}", hint='use "kernel" or "xattr"')


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is valid for one loaded policy."""

    generation: int
    mls: bool
    policy: str


class KernelSelinux:
    """`mcsd.ports.Selinux` of the running kernel."""

    def __init__(self) -> None:
        self._enabled = bool(selinux.is_selinux_enabled())
        if not self._enabled:
            _explain_absence()
        self._lock = threading.Lock()
        self._has_status_page = self._enabled and _open_status_page()
        self._loaded: _Loaded | None = None
        self._paths = PathLabels()

    def status(self) -> SelinuxStatus:
        """See `mcsd.ports.Selinux`."""
        if not self._enabled:
            return SelinuxStatus("kernel", enabled=False, enforcing=False, mls=False, policy=_policy_type())
        with _asking("cannot ask whether SELinux enforces", "see ausearch -m avc for denials of mcsd's own"):
            if self._has_status_page:
                enforcing = selinux.selinux_status_getenforce() == 1
            else:
                enforcing = selinux.security_getenforce() == 1
            loaded = self._refresh()
        return SelinuxStatus(
            "kernel",
            enabled=True,
            enforcing=enforcing,
            mls=loaded.mls,
            policy=loaded.policy,
            generation=loaded.generation,
        )

    def canonical(self, context: str) -> str:
        """See `mcsd.ports.Selinux`."""
        self._require()
        with _asking(
            f"the loaded policy does not accept the context {context!r}",
            "see seinfo for the users, roles and types it has",
        ):
            _, spelling = selinux.security_canonicalize_context_raw(context)
        return str(spelling)

    def file_context(self, file_type: str, level: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        self._require()
        refusal: McsdError | None = None
        for name in file_types(file_type):
            try:
                return Context.parse(self.canonical(f"system_u:object_r:{name}:{level}"))
            except (SelinuxError, LabelSyntaxError) as exc:
                refusal = refusal or exc
        raise SelinuxError(
            f"the loaded policy does not accept the file type {file_type!r} at level {level!r}",
            hint="set [labels] file_type to a type it has (seinfo -t), or load mcsd's policy module",
        ) from refusal

    def container_domain(self, domain: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        self._require()
        known = Context.parse(process_context())
        wanted = replace(known, type=domain or known.type).at(Level.of())
        return Context.parse(self.canonical(str(wanted)))

    def process_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        if not self._enabled:
            return None
        try:
            _, context = selinux.getpidcon_raw(pid)
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise SelinuxError(
                f"the label of process {pid} cannot be read: {exc.strerror}",
                hint="mcsd's domain needs getattr on the processes of all domains; see ausearch -m avc",
            ) from exc
        return read_label(str(context))

    def next_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        if not self._enabled:
            return None
        try:
            # libselinux reads it for the calling process only (getexeccon(3)).
            asked = Path(f"/proc/{pid}/attr/exec").read_bytes()
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise SelinuxError(
                f"what process {pid} will run as cannot be read: {exc.strerror}",
                hint="mcsd's domain needs getattr on the processes of all domains; see ausearch -m avc",
            ) from exc
        return label_in(asked.rstrip(b"\0\n").decode("utf-8", "surrogateescape"))

    def is_permissive(self, context: Label) -> bool:
        """See `mcsd.ports.Selinux`."""
        self._require()
        decision = self._decide(context, context, "process")
        return bool(decision.flags & selinux.SELINUX_AVD_FLAGS_PERMISSIVE)

    def separates(self, context: Label, file_type: str) -> bool:
        """See `mcsd.ports.Selinux`."""
        self._require()
        level = readable(context).level
        stranger = _stranger_to(level)
        if stranger is None or not level.categories:
            return False
        access = _permissions("file", "read", "write")
        own = self._decide(context, self.file_context(file_type, str(level)), "file")
        other = self._decide(context, self.file_context(file_type, str(stranger)), "file")
        # It must have access to its own files: a domain that is denied both proves nothing about categories.
        return own.allowed & access == access and not other.allowed & access

    def lets_in(self, context: Label, label: str, mode: int) -> bool:
        """See `mcsd.ports.Selinux`."""
        self._require()
        kind, permission = _way_in(mode)
        access = _permissions(kind, permission)
        return bool(self._decide(context, label, kind).allowed & access == access)

    def may_relabel(self, label: str) -> bool:
        """See `mcsd.ports.Selinux`."""
        if not self.status().enforcing:
            return True
        _, own = selinux.getcon_raw()
        try:
            decision = self._decide(str(own), label, "file")
        except SelinuxError:  # a label of another policy: the kernel treats it as unlabeled
            return True
        if decision.flags & selinux.SELINUX_AVD_FLAGS_PERMISSIVE:
            return True
        access = _permissions("file", "relabelfrom")
        return bool(decision.allowed & access == access)

    def label_of_new(self, process: Context, directory: Context) -> Label:
        """See `mcsd.ports.Selinux`."""
        self._require()
        try:
            kind = selinux.string_to_security_class("file")
            _, made = selinux.security_compute_create_raw(str(process), str(directory), kind)
        except OSError as exc:
            raise SelinuxError(
                f"the kernel does not say what label a file made by {str(process)!r} gets: {exc.strerror}",
                hint="see ausearch -m avc",
            ) from exc
        return read_label(str(made))

    def default_label(self, path: str, mode: int) -> str | None:
        """See `mcsd.ports.Selinux`."""
        if not self._enabled:
            return self._paths.lookup(path, mode)
        with self._lock:
            found = self._paths.lookup(path, mode, generation=self._refresh_locked().generation)
        if found is None:
            return None
        try:
            return self.canonical(found)
        except SelinuxError:  # file contexts that are invalid in the loaded policy count as none
            return None

    def close(self) -> None:
        """See `mcsd.ports.Selinux`."""
        self._paths.close()
        if self._has_status_page:
            self._has_status_page = False
            selinux.selinux_status_close()

    def _decide(self, source: Label | str, target: Label | str, kind: str) -> selinux.av_decision:
        decision = selinux.av_decision()
        subject, thing = str(source), str(target)
        with _asking(
            f"the kernel cannot judge what {subject!r} may do to {thing!r}",
            "mcsd's domain needs the permission security:compute_av; see ausearch -m avc",
        ):
            selinux.security_compute_av_flags_raw(subject, thing, _class(kind), 0, decision)
        return decision

    def _require(self) -> None:
        if not self._enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)

    def _refresh(self) -> _Loaded:
        with self._lock:
            return self._refresh_locked()

    def _refresh_locked(self) -> _Loaded:
        generation = selinux.selinux_status_policyload() if self._has_status_page else 0
        loaded = self._loaded
        if loaded is None or loaded.generation != generation or not self._has_status_page:
            selinux.selinux_flush_class_cache()  # numbers of classes and permissions may have changed
            loaded = _Loaded(generation, selinux.is_selinux_mls_enabled() == 1, _policy_type())
            self._loaded = loaded
        return loaded


class XattrSelinux:
    """`mcsd.ports.Selinux` with no SELinux in the kernel."""

    def __init__(self) -> None:
        self._paths = PathLabels()

    def status(self) -> SelinuxStatus:
        """See `mcsd.ports.Selinux`."""
        return SelinuxStatus("xattr", enabled=False, enforcing=False, mls=False, policy=_policy_type())

    def canonical(self, context: str) -> str:
        """See `mcsd.ports.Selinux`."""
        try:
            return str(Context.parse(context))
        except LabelSyntaxError as exc:
            raise SelinuxError(f"{context!r} is not a context: {exc.what}", hint=exc.hint) from exc

    def file_context(self, file_type: str, level: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        return Context.parse(self.canonical(f"system_u:object_r:{file_type}:{level}"))

    def container_domain(self, domain: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        known = Context.parse(DOMAIN)
        return replace(known, type=domain or known.type)

    def process_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        return None

    def next_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        return None

    def is_permissive(self, context: Label) -> bool:
        """See `mcsd.ports.Selinux`."""
        return False

    def separates(self, context: Label, file_type: str) -> bool:
        """See `mcsd.ports.Selinux`."""
        return False

    def lets_in(self, context: Label, label: str, mode: int) -> bool:
        """See `mcsd.ports.Selinux`."""
        return True

    def may_relabel(self, label: str) -> bool:
        """See `mcsd.ports.Selinux`; without SELinux in the kernel only capabilities count."""
        return True

    def label_of_new(self, process: Context, directory: Context) -> Label:
        """See `mcsd.ports.Selinux`; without SELinux in the kernel it gets no label."""
        return directory

    def default_label(self, path: str, mode: int) -> str | None:
        """See `mcsd.ports.Selinux`."""
        return self._paths.lookup(path, mode)

    def close(self) -> None:
        """See `mcsd.ports.Selinux`."""
        self._paths.close()


def _stranger_to(level: Level) -> Level | None:
    """Return a pair's level that is not comparable to this one, None if every pair's is."""
    pairs = (Level.of(low, low + 1) for low in range(0, CATEGORY_COUNT, 2))
    return next((pair for pair in pairs if not pair.is_comparable_to(level)), None)


def _way_in(mode: int) -> tuple[str, str]:
    """Return the class and the permission that any access to a file of this kind needs."""
    if stat.S_ISDIR(mode):
        return "dir", "search"
    if stat.S_ISSOCK(mode):
        return "sock_file", "write"
    kinds = ((stat.S_ISCHR, "chr_file"), (stat.S_ISBLK, "blk_file"), (stat.S_ISFIFO, "fifo_file"))
    return next((name for is_it, name in kinds if is_it(mode)), "file"), "read"


def _class(name: str) -> int:
    number = selinux.string_to_security_class(name)
    if not number:
        raise SelinuxError(f"the loaded policy has no class {name!r}", hint="load a complete policy")
    return int(number)


def _permissions(kind: str, *names: str) -> int:
    mask = 0
    for name in names:
        bit = selinux.string_to_av_perm(_class(kind), name)
        if not bit:
            raise SelinuxError(
                f"the loaded policy has no permission {name!r} of {kind!r}", hint="load a complete policy"
            )
        mask |= bit
    return mask


def _policy_type() -> str:
    try:
        _, name = selinux.selinux_getpolicytype()
    except OSError:  # no /etc/selinux/config
        return ""
    return str(name)


def _open_status_page() -> bool:
    try:
        selinux.selinux_status_open(0)
    except OSError:  # missing, or we may not map it: then the kernel is asked with system calls
        return False
    return True


def _explain_absence() -> None:
    """Raise `SelinuxError` if libselinux is wrong about there being no SELinux.

    It treats a read-only selinuxfs as none at all.
    """
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "selinuxfs" and "ro" in options.split(","):
            raise SelinuxError(
                f"the kernel's SELinux cannot be asked: {place} is mounted read-only",
                hint="run mcsd without ProtectKernelTunables= and not in a container",
            )
