"""A kernel with SELinux in memory: a policy of a few types, and processes by number."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mcsd.core.host import SWITCH_ON, SelinuxStatus
from mcsd.core.labels import CATEGORY_COUNT, Context, Label, label_in, readable
from mcsd.errors import LabelSyntaxError, SelinuxError

ENFORCING = SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted", generation=1)


@dataclass
class FakeSelinux:
    """`mcsd.ports.Selinux` that tests turn the way they need.

    `aliases` are other names of types. `unconstrained` are domains that categories do not bind, `unreadable`
    the processes whose labels the kernel does not show. `defaults` are the host's file contexts by path.
    """

    now: SelinuxStatus = ENFORCING
    types: set[str] = field(default_factory=lambda: {"container_file_t", "container_t", "shadow_t", "var_t"})
    aliases: dict[str, str] = field(default_factory=lambda: {"svirt_sandbox_file_t": "container_file_t"})
    processes: dict[int, str] = field(default_factory=dict)
    upcoming: dict[int, str] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    permissive: set[str] = field(default_factory=set)
    unconstrained: set[str] = field(default_factory=set)
    defaults: dict[str, str] = field(default_factory=dict)
    is_closed: bool = False
    files_take_creators_level: bool = False
    """Whether what a process makes has the process's level, as in the reference policy."""

    def set_enforcing(self, *, enforcing: bool) -> None:
        """Do as `setenforce` does."""
        self.now = replace(self.now, enforcing=enforcing)

    def load_policy(self) -> None:
        """Do as a policy load, or a change of booleans, does."""
        self.now = replace(self.now, generation=self.now.generation + 1)

    def status(self) -> SelinuxStatus:
        """See `mcsd.ports.Selinux`."""
        return self.now

    def canonical(self, context: str) -> str:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel")
        try:
            parsed = Context.parse(context)
        except LabelSyntaxError as exc:
            raise SelinuxError(f"the policy does not accept the context {context!r}") from exc
        kind = self.aliases.get(parsed.type, parsed.type)
        if kind not in self.types:
            raise SelinuxError(f"the policy does not accept the context {context!r}")
        return str(replace(parsed, type=kind))

    def file_context(self, file_type: str, level: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        try:
            return Context.parse(self.canonical(f"system_u:object_r:{file_type}:{level}"))
        except SelinuxError as exc:
            what = f"the policy does not accept the file type {file_type!r} at level {level!r}"
            raise SelinuxError(what, hint="set [labels] file_type") from exc

    def container_domain(self, domain: str) -> Context:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        return Context.parse(self.canonical(f"system_u:system_r:{domain or 'container_t'}:s0"))

    def process_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            return None
        if pid in self.unreadable:
            raise SelinuxError(f"the label of process {pid} cannot be read")
        return label_in(self.processes.get(pid))

    def next_context(self, pid: int) -> Label | None:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            return None
        if pid in self.unreadable:
            raise SelinuxError(f"the label of process {pid} cannot be read")
        return label_in(self.upcoming.get(pid)) if pid in self.processes else None

    def is_permissive(self, context: Label) -> bool:
        """See `mcsd.ports.Selinux`."""
        return context.type in self.permissive

    def separates(self, context: Label, file_type: str) -> bool:
        """See `mcsd.ports.Selinux`."""
        self.file_context(file_type, "s0")
        parsed = readable(context)
        return 0 < len(parsed.level) < CATEGORY_COUNT and parsed.type not in self.unconstrained

    def lets_in(self, context: Label, label: str, mode: int) -> bool:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        file = Context.parse(self.canonical(label))
        return file.type == "container_file_t" and readable(context).level.dominates(file.level)

    def may_relabel(self, label: str) -> bool:
        """See `mcsd.ports.Selinux`."""
        return not self.now.enforcing or ":shadow_t:" not in label

    def label_of_new(self, process: Context, directory: Context) -> Label:
        """See `mcsd.ports.Selinux`."""
        if not self.now.enabled:
            raise SelinuxError("SELinux is disabled in the kernel", hint=SWITCH_ON)
        if not self.files_take_creators_level:
            return directory
        return directory.at(process.level)

    def default_label(self, path: str, mode: int) -> str | None:
        """See `mcsd.ports.Selinux`."""
        return self.defaults.get(path)

    def close(self) -> None:
        """See `mcsd.ports.Selinux`."""
        self.is_closed = True
