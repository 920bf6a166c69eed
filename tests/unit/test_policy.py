"""The policy's source: that it, the units and the protected types of the code speak of the same things.

What the compiled policy grants is asserted in the guest, by `tests/vm/scripts/policy_assertions.py`.
"""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from mcsd.core.protected import TYPES

POLICY = Path(__file__).parents[2] / "selinux-policy"
SOURCE = (POLICY / "mcsd.te").read_text(encoding="utf-8")
CONTEXTS = (POLICY / "mcsd.fc").read_text(encoding="utf-8")
RULES = "\n".join(line for line in SOURCE.splitlines() if not line.lstrip().startswith("#"))
PROTECTED = set(re.findall(r"mcsd_protect\((\w+)\)|typeattribute (\w+) mcsd_protected_type", RULES))
PROTECTED_TYPES = {name for pair in PROTECTED for name in pair if name} - {"$1"}


def context_of(path: str) -> str:
    """The type of the last entry whose expression matches, as restorecon takes it."""
    found = ""
    for line in CONTEXTS.splitlines():
        if line.strip() and re.fullmatch(line.split()[0], path):
            found = line.split("object_r:")[1].split(",")[0]
    return found


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/usr/sbin/mcsd", "mcsd_exec_t"),
        ("/usr/bin/mcsd", "mcsd_exec_t"),
        ("/usr/libexec/mcsd/mcsd-gate", "mcsd_gate_exec_t"),
        ("/usr/libexec/mcsd/mcsd-gate.py", "mcsd_gate_exec_t"),
        ("/usr/libexec/mcsd/mcsd-fleet", "mcsd_fleet_exec_t"),
        ("/run/mcsd/fleet.sock", "mcsd_runtime_t"),
        ("/etc/mcsd", "mcsd_etc_t"),
        ("/etc/mcsd/conf.d/10-site.toml", "mcsd_etc_t"),
        ("/var/lib/mcsd", "mcsd_var_lib_t"),
        ("/var/lib/mcsd/ledger.db-wal", "mcsd_var_lib_t"),
        ("/run/mcsd/mcsd.sock", "mcsd_runtime_t"),
        ("/run/mcsd/gate.sock", "mcsd_gate_runtime_t"),
        ("/usr/lib/systemd/system/mcsd.service", "mcsd_unit_t"),
    ],
)
def test_the_files_of_the_design_have_types_of_their_own(path: str, kind: str) -> None:
    assert context_of(path) == kind


def test_what_nothing_can_lift_is_protected_by_the_kernel_too() -> None:
    """Promise 10, held twice: the code refuses these types, and the policy does."""
    # configfile and boolean_type are excluded as attributes
    by_attribute = {"mcsd_etc_t", "security_t"}
    secret = next(rule for rule in TYPES if rule.name == "secret-type")
    missing = {
        pattern
        for pattern in set(secret.patterns) - by_attribute
        if not fnmatch.filter(PROTECTED_TYPES, pattern)
    }
    assert missing == set()


@pytest.mark.parametrize(
    "word", ["permissive", "unconfined", "execmem", "execstack", "load_policy", "setenforce"]
)
def test_the_domain_is_not_loosened(word: str) -> None:
    assert word not in RULES


def test_nothing_is_run() -> None:
    assert not re.search(r"\ballow\s[^;]*execute_no_trans", RULES)
    # The gate is run by container runtimes; mcsd itself runs nothing.
    assert not re.search(r"(can_exec|corecmd_exec_\w+|domtrans_pattern|\w+_domtrans)\(mcsd_t", RULES)


def test_every_interface_is_described() -> None:
    text = (POLICY / "mcsd.if").read_text(encoding="utf-8")
    interfaces = re.findall(r"interface\(`(\w+)'", text)
    assert interfaces == [
        "mcsd_stream_connect",
        "mcsd_gate_stream_connect",
        "mcsd_read_config",
        "mcsd_read_state",
        "mcsd_admin",
    ]
    assert text.count("## <summary>") == 1 + len(interfaces)
