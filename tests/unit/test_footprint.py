"""The program loads of its libraries what it needs; whoever wants the rest still gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(code: str, *path: Path) -> str:
    """What a fresh interpreter prints."""
    finder = "import sys; sys.path[:0] = " + repr([str(ROOT), *map(str, path)]) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", finder + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


START = "from mcsd.footprint import *\nfrom mcsd.footprint import NEVER_USED, PACKAGES\n"


@pytest.mark.parametrize(
    "unused", ["aiohttp.client", "aiohttp.connector", "pyroute2.ndb", "pyroute2.iproute", "unittest"]
)
def test_what_is_never_used_is_not_loaded(unused: str) -> None:
    code = START + "load_in_parts(PACKAGES)\nimport mcsd.daemon, mcsd.adapters.docker_connection\n"
    assert python(f"{code}print({unused!r} in sys.modules)") == "False"


def test_the_program_starts_so() -> None:
    code = "from mcsd.__main__ import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    assert python(code + "print(type(sys.modules['aiohttp']).__name__)").endswith("PartlyLoaded")


def test_whoever_wants_what_a_package_itself_defines_has_it_loaded() -> None:
    code = START + "load_in_parts(PACKAGES)\nfrom aiohttp import web_response, ClientSession\n"
    assert python(code + "print(ClientSession.__name__, web_response.__name__)") == (
        "ClientSession aiohttp.web_response"
    )


def test_the_version_is_known_without_loading() -> None:
    code = START + "load_in_parts(PACKAGES)\nimport aiohttp\n"
    version, loaded = python(code + "print(aiohttp.__version__, 'aiohttp.client' in sys.modules)").split()
    assert version[0].isdigit() and loaded == "False"


def test_an_attribute_that_is_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "__init__.py").write_text("there = 1\n")
    code = START + "load_in_parts(['whole'])\nimport whole\nprint(whole.there, hasattr(whole, 'nowhere'))"
    assert python(code, tmp_path) == "1 False"


def test_a_library_that_cannot_be_had_in_parts_is_loaded_whole(tmp_path: Path) -> None:
    """As `pyroute2` would be, were a module of it to need what only the package's `__init__` prepares."""
    package = tmp_path / "pyroute2"
    package.mkdir()
    (package / "__init__.py").write_text("import sys\nsys.prepared = True\n")
    (package / "netlink.py").write_text(
        "import sys\nif not hasattr(sys, 'prepared'): raise ImportError('not yet')\n"
    )
    code = (
        "import types\n"
        "stand_in = 'from pyroute2 import netlink\\ndef main(argv):\\n return 7\\n'\n"
        "import importlib.abc, importlib.util\n"
        "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        return importlib.util.spec_from_loader(name, self) if name == 'mcsd.daemon' else None\n"
        "    def exec_module(self, module): exec(stand_in, module.__dict__)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from mcsd.__main__ import main\n"
        "print(main([]))"
    )
    assert python(code, tmp_path) == "7"


def test_a_part_that_is_left_out_is_missing_and_one_that_is_there_stays() -> None:
    code = (
        START
        + "import json\nleave_out(['json', 'wave'])\ntry: import wave\nexcept ImportError: print('missing')\n"
    )
    assert python(code + "import json; print(json.dumps(1))").split() == ["missing", "1"]
