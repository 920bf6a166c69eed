"""System calls and file modes: why a call failed that SELinux did not deny. Pure."""

from __future__ import annotations

import stat

_CALLS = {
    "CHOWN": ("chown", "fchown", "lchown", "fchownat"),
    "DAC_READ_SEARCH": ("open_by_handle_at",),
    "FOWNER": ("chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat"),
    "KILL": ("kill", "tkill", "tgkill"),
    "MKNOD": ("mknod", "mknodat"),
    "NET_ADMIN": ("setns",),
    "NET_BIND_SERVICE": ("bind",),
    "NET_RAW": ("socket",),
    "SETGID": ("setgid", "setregid", "setresgid", "setgroups", "setfsgid"),
    "SETUID": ("setuid", "setreuid", "setresuid", "setfsuid"),
    "SYS_ADMIN": (
        *("mount", "umount2", "pivot_root", "unshare", "setdomainname", "sethostname", "swapon", "quotactl"),
        *("move_mount", "open_tree", "fsopen", "fsmount", "mount_setattr"),
    ),
    "SYS_BOOT": ("reboot", "kexec_load", "kexec_file_load"),
    "SYS_CHROOT": ("chroot",),
    "SYS_MODULE": ("init_module", "finit_module", "delete_module"),
    "SYS_NICE": ("setpriority", "sched_setscheduler", "sched_setaffinity", "ioprio_set"),
    "SYS_PTRACE": ("ptrace", "process_vm_readv", "process_vm_writev"),
    "SYS_RESOURCE": ("setrlimit", "prlimit64"),
    "SYS_TIME": ("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
}
"""Capability → system calls that need it, as in capabilities(7)."""

_ASKS = {call: capability for capability, calls in _CALLS.items() for call in calls}


def capability_for(call: str) -> str:
    """Return the capability that a call needs, "" if none is known."""
    return _ASKS.get(call, "")


def kept_out(mode: int | None, owner: int | None, uid: int | None) -> str:
    """Say why a file's mode denies a user access; "" if it does not, or too little is known.

    The group bits are ignored: the record does not have the process's groups.
    """
    if mode is None or owner is None or uid is None or uid == 0:
        return ""
    bits = stat.S_IMODE(mode)
    mine = bits >> 6 if uid == owner else bits
    wanted = 0o5 if stat.S_ISDIR(mode) else 0o4
    if mine & wanted == wanted and (mine & 0o2 or (uid != owner and not bits & 0o200)):
        return ""
    return f"its mode is {bits:04o} and its owner {owner}, and the process is user {uid}"
