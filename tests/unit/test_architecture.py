"""The rules of the layout: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mcsd"
FILES = sorted(PACKAGE.rglob("*.py"))
IMPURE = {
    "asyncio",
    "logging",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.startswith("mcsd")}


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=name)
def test_core_imports_only_core_and_does_no_io(path: Path) -> None:
    assert {one for one in ours(path) if not one.startswith(("mcsd.core", "mcsd.errors"))} <= {"mcsd"}
    assert not {one.split(".")[0] for one in imports(path)} & IMPURE


@pytest.mark.parametrize("path", sorted((PACKAGE / "adapters").glob("*.py")), ids=name)
def test_adapters_import_no_other_thing_s_adapter(path: Path) -> None:
    own = path.stem.split("_")[0]
    others = {one for one in ours(path) if one.startswith("mcsd.adapters.")}
    assert {one.split(".")[2].split("_")[0] for one in others} <= {own}


BUILDS_ADAPTERS = {"daemon.py"}


@pytest.mark.parametrize("path", [one for one in FILES if "adapters" not in one.parts], ids=name)
def test_only_the_composition_root_builds_adapters(path: Path) -> None:
    if name(path) not in BUILDS_ADAPTERS:
        assert not {one for one in ours(path) if one.startswith("mcsd.adapters")}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_module_is_a_drawer(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}
