"""Control groups: where a process is, according to `/proc/PID/cgroup`, and whose group that is.

Whoever runs machines and containers has a group for each, named after it. The names are theirs: they are
shown to people, and decide nothing.
"""

from __future__ import annotations

import re

_SYSTEMD = "name=systemd"
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})", re.ASCII)
_ID = "[0-9a-f]{64}"

_WHOSE = (
    (re.compile(r"machine-qemu-(?:\d+-)?(.+)\.scope", re.ASCII), "virtual machine"),
    (re.compile(r"machine-lxc-(?:\d+-)?(.+)\.scope", re.ASCII), "libvirt's LXC container"),
    (re.compile(r"systemd-nspawn@(.+)\.service", re.ASCII), "nspawn container"),
    (re.compile(r"machine-(.+)\.scope", re.ASCII), "machine"),
    (re.compile(r"lxc\.(?:payload|monitor)\.(.+)", re.ASCII), "LXC container"),
    (re.compile(rf"(?:libpod|libpod-payload)-({_ID})(?:\.scope)?", re.ASCII), "Podman container"),
    (re.compile(rf"cri-containerd-({_ID})\.scope", re.ASCII), "containerd container"),
    (re.compile(rf"nerdctl-({_ID})\.scope", re.ASCII), "nerdctl container"),
    (re.compile(rf"crio-({_ID})\.scope", re.ASCII), "CRI-O container"),
    (re.compile(rf"docker-({_ID})\.scope", re.ASCII), "Docker container"),
)
"""Names of groups, and whose they are; the first that matches counts."""


def group_in(text: str) -> str:
    """Return a process's control group from `/proc/PID/cgroup`: that of version 2, or else systemd's own; ""
    for none.
    """
    found = ""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers and path:
            found = path if path != "/" or not found else found
        elif controllers == _SYSTEMD and found in {"", "/"}:
            found = path
    return found


def holder_in(group: str) -> str:
    """Return who a control group belongs to, such as "virtual machine web"; "" if the name does not tell."""
    for part in group.split("/"):
        for form, kind in _WHOSE:
            found = form.fullmatch(_unescaped(part))
            if found is not None:
                return f"{kind} {_short(found[1])}"
    return ""


def _unescaped(part: str) -> str:
    """Return the name of a unit as it was before systemd escaped it."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), part)


def _short(name: str) -> str:
    return name[:12] if re.fullmatch(_ID, name) else name
