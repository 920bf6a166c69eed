"""Capabilities by the kernel's numbers, and those that a container gets by default."""

from __future__ import annotations

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""linux/capability.h, by number."""

DEFAULT = frozenset(
    {
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
        "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    }
)  # fmt: skip
"""What the guide lists (8.1) and Docker gives."""

SELDOM = frozenset({"AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP", "SYS_CHROOT"})
"""Default capabilities that few programs use, such as package managers and sshd."""

HOST = frozenset(
    {
        "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "PERFMON", "SYS_BOOT",
        "SYS_TIME", "MAC_ADMIN", "MAC_OVERRIDE", "SYSLOG", "AUDIT_CONTROL",
    }
)  # fmt: skip
"""Those that affect the whole host, whatever the namespaces."""


def named(mask: int) -> frozenset[str]:
    """Return the capabilities of a mask as in `CapEff:`; a bit that is not in `NAMES` is named by its
    number."""
    bits = (number for number in range(mask.bit_length()) if mask >> number & 1)
    return frozenset(NAMES[bit] if bit < len(NAMES) else f"CAPABILITY_{bit}" for bit in bits)


def plain(name: str) -> str:
    """Normalize a name for comparison: Docker accepts `cap_net_raw`, `NET_RAW` and `net_raw`."""
    return name.upper().removeprefix("CAP_")
