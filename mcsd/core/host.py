"""What is known of the host: its kernel's SELinux, its engine, and what mcsd writes on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mcsd.core.containers import DOCKER, RUN, EngineInfo

SWITCH_ON = (
    "set SELINUX=enforcing in /etc/selinux/config, take selinux=0 off the kernel's command line, reboot"
)
"""What to do if SELinux is disabled, for both possible causes."""


@dataclass(frozen=True, slots=True)
class SelinuxStatus:
    """SELinux's status according to the kernel.

    `backend` is "kernel" or "xattr"; with "xattr" nothing enforces. `policy` is the host's SELINUXTYPE
    (`targeted`, `default`), "" if unknown. `generation` rises with each policy load that the kernel
    reports.
    """

    backend: str
    enabled: bool
    enforcing: bool
    mls: bool
    policy: str
    generation: int = 0


NOT_ASKED = SelinuxStatus("kernel", enabled=True, enforcing=False, mls=False, policy="")
"""The status until the kernel has answered for the first time: nothing counts as enforced."""


@dataclass(frozen=True, slots=True)
class Host:
    """One look at the host. `engines` are those that have answered, by name."""

    selinux: SelinuxStatus
    engines: Mapping[str, EngineInfo] = field(default_factory=dict)

    def kind_of(self, engine: str) -> str:
        """Return which program an engine is; its name while it has not answered, which mostly is the same."""
        info = self.engines.get(engine)
        return engine if info is None else info.kind

    def asks_by_annotation(self, engine: str) -> bool:
        """Tell whether an engine's containers say in annotations, not in labels, what they ask of mcsd."""
        return self.kind_of(engine) not in {"", DOCKER, RUN}

    def with_engine(self, name: str, engine: EngineInfo) -> Host:
        """Return the host with what an engine has said about itself."""
        return replace(self, engines={**self.engines, name: engine})
