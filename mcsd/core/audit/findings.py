"""Rules and findings. A rule's id, and the key made from it, are part of the interface: baselines name them.

A key is `RULE/CONTAINER/OBJECT`, or `RULE/host` for the host. It has the container's name, which stays the
same when the container is recreated. The object is what the finding is about, if a rule can find several
things in a container.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

HOST = "host"


class Severity(IntEnum):
    """How severe a finding is; a higher value is worse."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The name as users write it."""
        return self.name.lower()


SEVERITIES = tuple(severity.word for severity in reversed(Severity))


@dataclass(frozen=True, slots=True)
class AuditRule:
    """One thing that the audit looks for.

    `guide` is the Container Security Guide's section, `cis` the number in the CIS Docker Benchmark 1.6;
    "" if there is none.
    """

    id: str
    severity: Severity
    title: str
    guide: str = ""
    cis: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the audit found.

    `subject` is the container's name, or `HOST`; `seen` is what was examined.
    """

    rule: AuditRule
    subject: str
    text: str
    seen: str
    remedy: str
    object: str = ""
    container: str = ""
    severity: Severity | None = None
    """If it differs from the rule's."""

    @property
    def weight(self) -> Severity:
        """How severe this one is."""
        return self.rule.severity if self.severity is None else self.severity

    @property
    def key(self) -> str:
        """Its stable name."""
        parts = (self.rule.id, self.subject, self.object)
        return "/".join(part for part in parts if part)


def ordered(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Sort: the worst first, then by subject, rule and object."""
    return tuple(sorted(findings, key=lambda one: (-one.weight, one.subject, one.rule.id, one.object)))


_RULES = (
    AuditRule("isolation", Severity.HIGH, "isolation is not proven", "6", "5.3"),
    AuditRule("weakened-isolation", Severity.HIGH, "a mount weakens everybody's isolation", "6", "5.6"),
    AuditRule("privileged", Severity.CRITICAL, "a privileged container", "7.3", "5.5"),
    AuditRule("host-pid", Severity.HIGH, "the host's processes are the container's", "8", "5.16"),
    AuditRule("host-ipc", Severity.HIGH, "the host's shared memory is the container's", "8", "5.17"),
    AuditRule("host-network", Severity.MEDIUM, "the host's network is the container's", "8", "5.10"),
    AuditRule("host-uts", Severity.LOW, "the host's name is the container's to change", "8", "5.21"),
    AuditRule("capabilities-added", Severity.HIGH, "capabilities beyond the default ones", "8.1", "5.4"),
    AuditRule(
        "capabilities-droppable", Severity.LOW, "default capabilities that it can do without", "7.1", "5.4"
    ),
    AuditRule("root-inside", Severity.MEDIUM, "it runs as root", "7.2", "4.1"),
    AuditRule("seccomp-off", Severity.HIGH, "system calls are not filtered", "8.2", "5.22"),
    AuditRule("new-privileges", Severity.LOW, "its processes may gain privileges", "7.4", "5.26"),
    AuditRule("devices", Severity.MEDIUM, "host devices are handed in", "7.3", "5.18"),
    AuditRule(
        "engine-socket", Severity.CRITICAL, "the socket of a container engine is handed in", "7.6", "5.32"
    ),
    AuditRule("host-socket", Severity.MEDIUM, "a socket of the host's is handed in", "7.6"),
    AuditRule("suid-content", Severity.MEDIUM, "set-user-ID programs in a volume", "7.4", "4.8"),
    AuditRule("world-writable", Severity.LOW, "content that everybody may write in a volume", "7.5"),
    AuditRule("unseen-content", Severity.LOW, "a volume was not looked through", "7.4"),
    AuditRule("shared-tmp", Severity.MEDIUM, "the host's directory for temporary files is shared", "7.5"),
    AuditRule("naked-pull", Severity.LOW, "an image named without a registry", "2", "4.2"),
    AuditRule("no-memory-limit", Severity.LOW, "memory is not limited", cis="5.11"),
    AuditRule("no-process-limit", Severity.LOW, "the number of processes is not limited", cis="5.29"),
    AuditRule("disagreement", Severity.HIGH, "the engine says one thing, the kernel another"),
    AuditRule("unseen", Severity.MEDIUM, "the kernel's side could not be looked at"),
    AuditRule("docker-tcp", Severity.CRITICAL, "Docker's API is served over TCP", "7.6", "2.7"),
    AuditRule("engine-unlabelled", Severity.HIGH, "the engine labels no containers", "6"),
    AuditRule("not-enforcing", Severity.HIGH, "SELinux does not enforce", "6", "5.3"),
    AuditRule("engine-unfiltered", Severity.HIGH, "the engine filters no system calls", "8.2", "5.22"),
    AuditRule("user-namespaces", Severity.LOW, "root inside is root outside", "7.2", "2.9"),
    AuditRule("live-restore", Severity.LOW, "containers end with the engine", cis="2.15"),
    AuditRule("mcsd-silent", Severity.HIGH, "mcsd gives no proof", "6"),
)

RULES = {rule.id: rule for rule in _RULES}
"""By id, in the order that the manual has."""
