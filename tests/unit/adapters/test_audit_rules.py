"""What libselinux's interpreter says of a small policy, made here: which kind of rule it is, and what it
keeps silent."""

from __future__ import annotations

import builtins
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.audit.rules import PolicyRules, expected_label, label_of
from mcsd.core.denials.facts import DenyingRule
from mcsd.errors import HostError

pytest.importorskip("selinux", reason="there is no libselinux")
needs_compiler = pytest.mark.skipif(shutil.which("secilc") is None, reason="there is no secilc")

POLICY = """
(handleunknown allow) (mls true)
(class process (fork)) (class file (read write getattr))
(classorder (process file))
(sid kernel) (sidorder (kernel))
(sensitivity s0) (sensitivityorder (s0))
(category c0) (category c1) (categoryorder (c0 c1))
(sensitivitycategory s0 (range c0 c1))
(level low (s0)) (level high (s0 (c0 c1))) (levelrange all (low high))
(user u) (role r) (role object_r) (userrole u r) (userrole u object_r)
(userlevel u low) (userrange u all)
(type box_t) (type file_t) (type other_t) (type nfs_t)
(roletype r box_t) (roletype object_r file_t) (roletype object_r other_t) (roletype object_r nfs_t)
(boolean use_nfs false)
(allow box_t file_t (file (read write)))
(booleanif use_nfs (true (allow box_t nfs_t (file (read)))))
(mlsconstrain (file (read write)) (dom h1 h2))
(sidcontext kernel (u r box_t ((s0) (s0))))
"""
BOX = "u:r:box_t:s0:c0"


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[PolicyRules]:
    (tmp_path / "policy.cil").write_text(POLICY)
    made = ["secilc", "-o", str(tmp_path / "policy"), "-f", "/dev/null", str(tmp_path / "policy.cil")]
    subprocess.run(made, check=True)
    rules = PolicyRules(str(tmp_path / "policy"))
    yield rules
    rules.close()


@needs_compiler
@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("u:object_r:file_t:s0:c0", DenyingRule.ALLOWED),
        ("u:object_r:file_t:s0:c1", DenyingRule.CONSTRAINT),
        ("u:object_r:other_t:s0:c0", DenyingRule.TYPES),
        ("u:object_r:other_t:s0:c1", DenyingRule.TYPES),
        ("u:object_r:nfs_t:s0", DenyingRule.BOOLEAN),
        ("u:object_r:nowhere_t:s0", DenyingRule.UNKNOWN),
        ("nonsense", DenyingRule.UNKNOWN),
    ],
)
def test_which_rule_it_is(rules: PolicyRules, target: str, rule: DenyingRule) -> None:
    """That types are denied says nothing of categories: whoever asks has to ask about them by themselves."""
    found = rules.ask(BOX, target, "file", ("read",))
    assert found.rule is rule
    assert found.booleans == (("use_nfs",) if rule is DenyingRule.BOOLEAN else ())
    assert not found.silent


@needs_compiler
def test_nothing_asked_for_is_not_called_allowed(rules: PolicyRules) -> None:
    assert rules.ask(BOX, "u:object_r:file_t:s0:c1", "file", ()).rule is DenyingRule.UNKNOWN


@needs_compiler
@pytest.mark.parametrize(("tclass", "permission"), [("nowhere", "read"), ("file", "nothing")])
def test_what_the_policy_does_not_know_is_unknown(rules: PolicyRules, tclass: str, permission: str) -> None:
    assert rules.ask(BOX, "u:object_r:file_t:s0", tclass, (permission,)).rule is DenyingRule.UNKNOWN


def test_a_file_that_is_no_policy_is_refused_and_ends_nothing(tmp_path: Path) -> None:
    # In a process of its own: what failed counts as begun.
    (tmp_path / "none").write_text("no policy")
    program = """
        import sys
        from mcsd.adapters.audit.rules import PolicyRules
        from mcsd.errors import HostError
        try:
            PolicyRules(sys.argv[1])
        except HostError as exc:
            print(exc)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:26]) == (0, "the policy cannot be read:"), done.stderr


@needs_compiler
def test_a_second_policy_is_refused_while_one_is_open(tmp_path: Path) -> None:
    (tmp_path / "policy.cil").write_text(POLICY)
    made = ["secilc", "-o", str(tmp_path / "policy"), "-f", "/dev/null", str(tmp_path / "policy.cil")]
    subprocess.run(made, check=True)
    rules = PolicyRules(str(tmp_path / "policy"))
    with pytest.raises(HostError, match="init called multiple times"):
        PolicyRules(str(tmp_path / "policy"))
    assert rules.ask(BOX, "u:object_r:file_t:s0:c0", "file", ("read",)).rule is DenyingRule.ALLOWED
    rules.close()


def test_without_the_bindings_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "selinux":
            raise ImportError("No module named 'selinux'")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HostError) as caught:
        PolicyRules()
    assert "python3-selinux" in caught.value.hint


def test_what_has_no_label_has_none(tmp_path: Path) -> None:
    assert label_of(str(tmp_path / "nothing")) == ""
    assert expected_label(str(tmp_path / "nothing"), 0) == "" or ":" in expected_label("/", 0o040755)
