"""A /proc and control groups of version 2 as files: processes of containers, and of the host's first."""

from __future__ import annotations

import os
from pathlib import Path

NAMESPACES = ("pid", "ipc", "net", "uts", "mnt", "user", "cgroup")
DEFAULT = 0xA80425FB
"""Docker's default capabilities, as `CapBnd:` shows them."""


class Procfs:
    """Below `top`: `proc` and `cgroup`. Process 1 is there, with the host's namespaces."""

    def __init__(self, top: Path) -> None:
        self.proc = top / "proc"
        self.cgroups = top / "cgroup"
        self.process(1)

    def process(
        self,
        pid: int,
        *,
        group: str = "",
        shared: tuple[str, ...] = NAMESPACES,
        uid: int = 0,
        bounding: int = DEFAULT,
        effective: int | None = None,
        seccomp: int = 2,
        no_new_privileges: int = 0,
        uid_map: str = "0 0 4294967295",
    ) -> None:
        """Have a process; what is not shared is its own."""
        place = self.proc / str(pid)
        (place / "ns").mkdir(parents=True)
        for name in NAMESPACES:
            own = f"{name}-of-1" if name in shared else f"{name}-of-{pid}"
            (self.proc / own).touch()
            os.link(self.proc / own, place / "ns" / name)
        lines = {
            "Name": "sh",
            "Uid": "\t".join([str(uid)] * 4),
            "CapEff": f"{bounding if effective is None else effective:016x}",
            "CapBnd": f"{bounding:016x}",
            "NoNewPrivs": str(no_new_privileges),
            "Seccomp": str(seccomp),
        }
        (place / "status").write_text("".join(f"{key}:\t{value}\n" for key, value in lines.items()))
        (place / "uid_map").write_text(f"         {uid_map}\n")
        (place / "cgroup").write_text(f"0::/{group}\n")
        (place / "cmdline").write_bytes(b"/bin/sh\0")
        if group:
            self.join(group, pid)

    def join(self, group: str, pid: int) -> None:
        """Have a process in a group."""
        place = self.cgroups / group
        place.mkdir(parents=True, exist_ok=True)
        with (place / "cgroup.procs").open("a") as file:
            file.write(f"{pid}\n")

    def limit(self, group: str, file: str, value: str) -> None:
        """Set a limit of a group."""
        (self.cgroups / group).mkdir(parents=True, exist_ok=True)
        (self.cgroups / group / file).write_text(value + "\n")
