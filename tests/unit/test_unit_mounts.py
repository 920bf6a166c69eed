"""No directive of a unit needs something of systemd that one of the policies does not give.

A sandbox is made of mounts, and systemd makes them: what the policy denies it there ends the service before
its program begins. The facts about the policies are in `tests/vm/policies/mounts.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from tests.unit.test_units import UNITS, settings

FACTS = tomllib.loads((UNITS.parent / "tests/vm/policies/mounts.toml").read_text(encoding="utf-8"))
POLICIES = ("refpolicy", "fedora")
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))

# systemd.exec(5) and systemd's src/core/namespace.c (257): what each directive has mounted on.
BY_VALUE = {
    ("ProtectSystem", "yes"): "/usr /boot /efi",
    ("ProtectSystem", "full"): "/usr /boot /efi /etc",
    ("ProtectSystem", "strict"): "/",
    ("ProtectHome", "yes"): "/home /root /run/user",
    ("PrivateTmp", "yes"): "/tmp /var/tmp",
    ("PrivateDevices", "yes"): "/dev",
    ("PrivateNetwork", "yes"): "/sys",
    ("PrivateIPC", "yes"): "/dev",
    ("ProtectKernelTunables", "yes"): "/proc/sys /sys",
    ("ProtectKernelModules", "yes"): "/usr/lib/modules",
    ("ProtectKernelLogs", "yes"): "/proc/kmsg /dev/kmsg",
    ("ProtectControlGroups", "yes"): "/sys/fs/cgroup",
    ("ProtectProc", "invisible"): "/proc",
    ("ProcSubset", "pid"): "/proc",
    ("ProtectClock", "yes"): "",
    ("ProtectHostname", "yes"): "",
    ("PrivateMounts", "yes"): "/",
}
BY_PATH = {"ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "TemporaryFileSystem"}
BY_NAME = {"StateDirectory": "/var/lib", "RuntimeDirectory": "/run"}
"""Below which a directory is made; with ProtectSystem=strict it is mounted to be writable."""
MOUNTING = {
    "Bind",
    "Root",
    "Mount",
    "Protect",
    "Private",
    "ReadOnly",
    "ReadWrite",
    "Inaccessible",
    "ExecPaths",
    "NoExec",
}
MOUNTING |= {
    "Temporary",
    "Extension",
    "LogNamespace",
    "CacheDirectory",
    "LogsDirectory",
    "ConfigurationDirectory",
}
"""How directives begin that make mounts, or may: each that a unit uses has to be known here."""


def mounts(directives: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Return every directive with each path that it has systemd mount on."""
    for section_and_key, values in directives.items():
        section, _, key = section_and_key.partition(".")
        if section != "Service":
            continue
        for value in values:
            if key in BY_PATH:
                for path in value.split():
                    yield key, path.lstrip("-+").split(":")[0]
            elif key in BY_NAME:
                for name in value.split():
                    yield key, f"{BY_NAME[key]}/{name}"
            elif (key, value) in BY_VALUE:
                for path in BY_VALUE[key, value].split():
                    yield key, path
            else:
                unknown = [word for word in MOUNTING if key.startswith(word)]
                assert not unknown, f"{key}={value}: what does systemd mount for it? Say so in this test."


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("unit", SERVICES)
def test_systemd_may_mount_wherever_a_unit_has_it_mount(unit: str, policy: str) -> None:
    """Fault of old: /var/lib/selinux was to be read-only, and on Fedora the service never started."""
    forbidden = set(FACTS[policy]["forbidden"])
    for directive, path in mounts(settings(unit)):
        assert path in FACTS["types"], (
            f"{unit}: {directive} mounts on {path}: measure its type, see mounts.toml"
        )
        its_type = FACTS["types"][path][POLICIES.index(policy)]
        assert its_type not in forbidden, (
            f"{unit}: {directive}= names {path}, and on {policy} init_t may not mount on {its_type}"
        )


def test_the_units_of_old_would_not_have_passed() -> None:
    old = {"Service.ReadOnlyPaths": ["-/var/lib/selinux -/var/lib/rpm"]}
    types = {FACTS["types"][path][1] for _, path in mounts(old)}
    assert types & set(FACTS["fedora"]["forbidden"])


@pytest.mark.parametrize(
    ("unit", "path"), [("mcsd.service", "/var/lib/selinux"), ("mcsd-booleans.service", "semanage_store_t")]
)
def test_what_cannot_be_protected_says_why(unit: str, path: str) -> None:
    text = (UNITS / unit).read_text(encoding="utf-8")
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert path in comments and "init_t" in comments


def test_the_second_policy_forbids_what_fedora_s_does() -> None:
    """Each type, but what the guest's own policy does not have, in both classes."""
    source = (UNITS.parent / "tests/vm/policies/fedora-like.cil").read_text(encoding="utf-8")
    for name in set(FACTS["fedora"]["forbidden"]) - {"selinux_login_config_t"}:
        for kind in ("dir", "file"):
            assert f"(deny init_t {name} ({kind} (mounton)))" in source
