"""The names that policies have for the file type that containers may use.

Fedora's policy has had all three over time, and the older two are now aliases of `container_file_t`; the
reference policy used to have only `svirt_lxc_file_t`. The type that the policy itself names in its container
contexts comes first. Any other type that an administrator configures is used as it is or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import selinux

NAMES = ("svirt_sandbox_file_t", "container_file_t", "svirt_lxc_file_t")

DOMAIN = "system_u:system_r:container_t:s0"
"""The context of containers' processes where the policy does not say."""

_CONTAINERS = Path("/usr/share/containers/selinux/contexts")
_PROCESS = re.compile(r"""^\s*process\s*=\s*["']?([^"'\s]+)""", re.MULTILINE)
_FILE = re.compile(r"""^\s*file\s*=\s*["']?[^:\s"']+:[^:\s"']+:([A-Za-z0-9_]+)""", re.MULTILINE)


def file_types(configured: str) -> Iterator[str]:
    """Return the configured type, then what else a policy may call it, most likely first."""
    yield configured
    if configured not in NAMES:
        return
    seen = {configured}
    for name in (*_named_by_policy(), *NAMES):
        if name not in seen:
            seen.add(name)
            yield name


def process_context() -> str:
    """Return the context that the policy has for containers' processes."""
    return next(_in_policy(_PROCESS), DOMAIN)


def _named_by_policy() -> Iterator[str]:
    return _in_policy(_FILE)


def _in_policy(form: re.Pattern[str]) -> Iterator[str]:
    for path in (_CONTAINERS, Path(selinux.selinux_lxc_contexts_path() or "/dev/null")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        if found := form.search(text):
            yield found[1]
