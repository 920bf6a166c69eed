"""The rules of the layout: who may import whom."""

from __future__ import annotations

import ast
import functools
import re
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


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree; each is parsed once for all tests."""
    return ast.parse(path.read_text())


@functools.cache
def imports(path: Path) -> set[str]:
    """Return every module that a file imports, and every name it takes from one; relative imports
    resolved."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "mcsd"}


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room(module: str) -> str:
    """Return the room of a module: the folder or file right below the package, "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


FLOORS = ["errors", "core", "config", "blocking", "ports", "state", "control", "api", "app"]
"""The rooms that stand on each other, the lowest first: imports go down only."""
ASIDE = {
    "relabel": {"errors", "core", "config", "blocking", "ports"},
    "adapters": {"errors", "core", "config", "blocking", "ports", "relabel"},
    "fleet": {"errors", "core"},
    "cli": {"errors", "core"},
    "runtime": set[str](),
}
"""The rooms beside them, and what each may import; of those on the floors only `app` imports any."""
LOOK_BY_THEMSELVES = {
    "cli/audit.py": {"adapters", "config"},
    "cli/audited.py": {"adapters", "config"},
    "cli/why.py": {"adapters", "config"},
    "cli/fleet_store.py": {"fleet"},
}
"""Commands that look at the host beside the daemon: what they read is too much, or too privileged, for it."""


def allowed(path: Path) -> set[str]:
    """Return the rooms that a file may import from."""
    here = room(module_of(path))
    if here in ASIDE:
        more = LOOK_BY_THEMSELVES.get(name(path), set())
        return ASIDE[here] | {here} | more
    if here in FLOORS:
        return set(FLOORS[: FLOORS.index(here) + 1]) | ({"relabel", "adapters"} if here == "app" else set())
    return {"", "app"}  # the package, and the program `mcsd`


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down_only(path: Path) -> None:
    assert {room(one) for one in ours(path) if room(one) not in ("", "__version__")} <= allowed(path)


def test_every_room_has_its_floor() -> None:
    rooms = {room(module_of(path)) for path in FILES} - {"", "__main__"}
    assert rooms == {*FLOORS, *ASIDE}


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=name)
def test_core_does_no_io(path: Path) -> None:
    assert not {one.split(".")[0] for one in imports(path)} & IMPURE


@pytest.mark.parametrize("path", sorted((PACKAGE / "adapters").rglob("*.py")), ids=name)
def test_adapters_import_no_other_thing_s_adapter(path: Path) -> None:
    own = path.relative_to(PACKAGE / "adapters").parts[0]
    others = {one for one in ours(path) if one.startswith("mcsd.adapters.")}
    assert {one.split(".")[2] for one in others} <= {own}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_model_has_a_pattern_of_pydantic_s(path: Path) -> None:
    """Building one reads the control group, from 2.14 on, which mcsd's domain may not: see
    core/matching.py."""
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    with_pattern = [ast.unparse(one) for one in calls if any(key.arg == "pattern" for key in one.keywords)]
    assert not with_pattern


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_module_is_a_drawer(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc"}


LONGEST = 40
"""Lines of a function, its docstring included."""
MOST_PARTS = 8
BUILDS = {"Outside"}
"""What has more parts because it is all that is not mcsd: `app/` builds it, and takes it apart."""


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    long = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions(path)}
    assert {one: lines for one, lines in long.items() if lines > LONGEST} == {}


def parts(path: Path) -> dict[str, int]:
    """Return how many parts each class is built from: what its constructor takes, and the fields of a
    dataclass that has some of the parts that run things."""
    working = {"control", "state", "ports", "blocking"}
    nouns = {
        alias.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and room(node.module or "") in working
        for alias in node.names
    }
    found = {}
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ClassDef):
            continue
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                found[node.name] = len(one.args.args) + len(one.args.kwonlyargs) - 1
        fields = [one.annotation for one in node.body if isinstance(one, ast.AnnAssign)]
        if {word for field in fields for word in re.findall(r"\w+", ast.unparse(field))} & nouns:
            found.setdefault(node.name, len(fields))
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_built_from_more_than_eight_parts(path: Path) -> None:
    assert {
        one: count for one, count in parts(path).items() if count > MOST_PARTS and one not in BUILDS
    } == {}


def test_parts_are_counted() -> None:
    assert parts(PACKAGE / "app/wiring.py")["Outside"] > MOST_PARTS
    assert parts(PACKAGE / "control/reclaimer.py")["Reclaimer"] == MOST_PARTS
    assert parts(PACKAGE / "control/verifier.py")["Sources"] == MOST_PARTS


PARSERS = {
    *("Context.parse", "Level.parse", "LevelRange.parse", "CategoryPair.parse"),
    *("read_label", "label_in", "level_in"),
}
READ_INSIDE = {
    "core/denials/values.py": {"Context.parse"},
    "core/fleet/values.py": {"Level.parse"},
    "core/strays.py": {"level_in"},
    "core/watching.py": {"level_in"},
    "core/wishes.py": {"LevelRange.parse"},
    "control/reconciler.py": {"level_in"},
}
"""Modules inside that read the text of a label, and how. What a file carries is its owner's: it stays text,
since walks compare bytes with bytes, and only its level is asked for (strays, watching, reconciler).
`mcsctl why` shows what the kernel recorded as it is (denials), what the hosts of a fleet write is read by one
module, and a remark quotes an option as its user wrote it (wishes)."""


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(module_of(path)) in {"core", "control", "state"}], ids=name
)
def test_labels_are_read_at_the_edge(path: Path) -> None:
    """Inside they are values, so that no check is forgotten and none is made twice."""
    if name(path) == "core/labels.py":
        return
    called = {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
    assert called & PARSERS == READ_INSIDE.get(name(path), set())


NATIVE = PACKAGE / "relabel" / "native"
C_FLOORS = ["index", "tree", "tally", "requests", "queue", "attributes", "decide", "flush", "gather", "work"]
"""Of the engine's C files, the lowest first, as `_walk.h` names them."""


def included(path: Path) -> set[str]:
    return set(re.findall(r'#include "_(\w+)\.h"', path.read_text())) - {"walk"}


def test_each_c_file_has_a_floor_and_the_header_says_which() -> None:
    assert {one.stem for one in NATIVE.glob("*.c")} == {f"_{name}" for name in [*C_FLOORS, "walk"]}
    listed = " ".join(f"{number} {name}" for number, name in enumerate(C_FLOORS, 1))
    assert listed in re.sub(r"\s+", " ", (NATIVE / "_walk.h").read_text())
    for number, one in enumerate(C_FLOORS, 1):
        assert f"Floor {number}. */" in (NATIVE / f"_{one}.h").read_text()


@pytest.mark.parametrize("floor", C_FLOORS)
def test_c_files_use_only_what_is_below_them(floor: str) -> None:
    """What a file does not include it cannot call: implicit declarations are errors."""
    below = set(C_FLOORS[: C_FLOORS.index(floor)])
    assert included(NATIVE / f"_{floor}.c") <= {floor} | below
    assert included(NATIVE / f"_{floor}.h") == set()
