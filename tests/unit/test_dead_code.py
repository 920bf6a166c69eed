"""No code that nobody calls, and no private names of others: both found by tools, not by reading."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mcsd"
PROGRAMS = (PACKAGE, ROOT / "packaging" / "generate-catalog", ROOT / "packaging" / "generate-completion")

CALLED_BY_LIBRARIES = {
    *("_range_is_one_run", "_reserved_are_levels"),  # pydantic's validators
    *("_ignored_are_rules_with_reasons", "_one_life", "_engines_have_names_of_their_own"),  # more of them
    *("_kind_gives_the_rest", "_has_an_engine", "_hosts_can_be_planned", "_has_one_way_to_share"),
    "collect",  # prometheus_client
}
ASKED_BY_TESTS = {"holders_of", "why_not", "is_pressed", "is_at_work"}
"""How tests see what the allocator holds, and whether confirmer and watch have anything left to do."""


def test_nobody_keeps_code_that_nothing_calls() -> None:
    vulture = pytest.importorskip("vulture", reason="there is no vulture")
    found = vulture.Vulture()
    found.scavenge([str(path) for path in PROGRAMS])
    kinds = {"function", "method", "class", "property", "import", "unreachable_code"}
    unused = {one.name: one for one in found.get_unused_code(min_confidence=60) if one.typ in kinds}
    known = CALLED_BY_LIBRARIES | ASKED_BY_TESTS
    left = {f"{one.filename}:{one.first_lineno} {name}" for name, one in unused.items() if name not in known}
    assert left == set()
    assert known <= unused.keys(), "what is called after all needs no exception"


PRIVATE = {
    "mcsd/cli/relay.py": {"os._exit"},
    "mcsd/runtime/main.py": {"_signal"},
    "mcsd/runtime/oci/asking.py": {"_socket"},
    "mcsd/runtime/oci/text.py": {"_json"},
}
"""What is left of it, and must not grow.

They take 14 ms less of each start than `signal`, `socket` and `json`, which the gate falls back on where an
interpreter has them no more: its tests run without them as well.
"""


def private_names(path: Path) -> set[str]:
    """Names of others with an underscore in front: attributes of what is not `self`, and imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                found.add(ast.unparse(node))
            case ast.Import(names=names):
                found |= {one.name for one in names if is_private(one.name)}
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] != "mcsd":
                found |= {one.name for one in names if is_private(one.name) or is_private(module)}
    anew = ((base, name) for base, names in built_upon(tree).items() for name in names)
    found |= {f"{base}.{name}" for base, name in anew if is_private(name)}
    return found - {"ReadableBuffer", "WriteableBuffer", "annotations"}  # types alone


def built_upon(tree: ast.Module) -> dict[str, set[str]]:
    """Classes of libraries that a module's own are made of, each with what of theirs is written anew."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                known |= {(one.asname or one.name).split(".")[0]: one.name.split(".")[0] for one in names}
            case ast.ImportFrom(module=str(module), names=names, level=0):
                known |= {one.asname or one.name: f"{module}.{one.name}" for one in names}
    found: dict[str, set[str]] = {}
    for node in (one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)):
        for base in node.bases:
            root, *rest = ast.unparse(base).partition("[")[0].split(".")
            name = ".".join([known.get(root, ""), *rest])
            if name.split(".")[0] in {"", "mcsd", *DECLARATIVE}:
                continue
            theirs = set(dir(pkgutil.resolve_name(name)))
            own = {one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
            found.setdefault(name, set()).update(own & theirs - {"__init__"})
    return found


DECLARATIVE = {"enum", "typing", "pydantic"}
"""Made to be built upon, and nothing else."""

BUILT_UPON = {
    # Documented to be: connect() of the first is the one place where its socket comes from.
    "http.client.HTTPConnection": {"connect"},
    "requests.adapters.HTTPAdapter": {"send", "close"},
    "asyncio.Protocol": {
        *("connection_made", "data_received", "eof_received", "pause_writing", "resume_writing"),
        "connection_lost",
    },
    "argparse.ArgumentParser": {"error"},
    "prometheus_client.registry.Collector": {"collect"},
    "pyroute2.netlink.nlsocket.Marshal": set(),
    "pyroute2.netlink.nlmsg": set(),
    # Its reads and writes are where limits are kept, so that no layer above can forget them.
    "socket.socket": {"recv_into", "sendall", "close"},
}
"""Classes of libraries, and what of theirs is written anew; a new one needs a reason."""


def test_nothing_is_built_upon_a_library_s_classes_but_what_is_listed() -> None:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for base, names in built_upon(ast.parse(path.read_text(encoding="utf-8"))).items():
            found.setdefault(base, set()).update(names)
    assert found == BUILT_UPON


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_library_s_private_names_are_used(path: Path) -> None:
    assert private_names(path) == PRIVATE.get(str(path.relative_to(ROOT)), set())
