"""The C extension under sanitizers: the engine's own tests once more, errors at every call, and races.

Address and undefined-behaviour sanitizers in one build, the thread sanitizer in another; both with
`relabel_inject.h`. What is bounded here runs whole in `make test-long`: MCSD_RACE_ROUNDS says how many rounds
there are, MCSD_INJECT_EVERY of how many calls one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

HERE = Path(__file__).parents[2]
EVERY = os.environ.get("MCSD_INJECT_EVERY", "150")
ROUNDS = os.environ.get("MCSD_RACE_ROUNDS", "4000")
WALKS = os.environ.get("MCSD_RACE_WALKS", "4")
SUITES = ["tests/host/test_relabel_engine.py", "tests/host/test_relabel_roundtrip.py"]
FUZZ = """
import random
from mcsd.relabel.native import _walk
dice = random.Random(3)
for _ in range(20000):
    index = _walk.Index()
    for _ in range(dice.randrange(4)):
        data = dice.randbytes(dice.randrange(24))
        try:
            index.add(data, dice.randrange(1 << 62), dice.choice([None, b"", b"label"]))
        except ValueError:
            continue
    index.find(dice.randrange(1 << 64))
    index.groups()
for wrong in [(), (1,), (b"", "x", None), (b"", 1, "text"), (b"", 1, bytes(5000))]:
    try:
        _walk.Index().add(*wrong)
    except (TypeError, ValueError):
        continue
    raise SystemExit(f"accepted: {wrong!r}")
"""


def library(name: str) -> str:
    """Ask the compiler where a sanitizer's library is."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


@dataclass(frozen=True, slots=True)
class Sanitized:
    """A copy of the project with the extension built under a sanitizer, and how Python is run there."""

    copy: Path
    prefix: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, *command: str) -> str:
        """Run Python there; a report of the sanitizer, or anything else that fails, fails the test."""
        done = subprocess.run(
            [*self.prefix, sys.executable, *command],
            cwd=self.copy,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Sanitizer" not in said, said[:6000]
        assert "runtime error" not in said, said[:6000]
        assert done.returncode == 0, said[-6000:]
        return done.stdout


def built(copy: Path, sanitizer: str) -> None:
    """Copy the project and build the extension there."""
    for name in ("mcsd", "tests"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(HERE / name, copy / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(HERE / name, copy / name)
    inject = str(copy / "tests/host/relabel_inject.h")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        env={**os.environ, "MCSD_SANITIZE": sanitizer, "MCSD_INJECT": inject},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    """Under the address and undefined-behaviour sanitizers."""
    copy = tmp_path_factory.mktemp("addresses")
    built(copy, "address")
    environment = {
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=77:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
    return Sanitized(copy, (), environment)


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    """Under the thread sanitizer, which needs addresses where it expects them."""
    copy = tmp_path_factory.mktemp("threads")
    built(copy, "thread")
    suppressions = copy / "tests/host/relabel_thread_sanitizer.txt"
    environment = {
        "LD_PRELOAD": library("libtsan.so"),
        "TSAN_OPTIONS": f"exitcode=66:report_signal_unsafe=0:history_size=4:suppressions={suppressions}",
    }
    return Sanitized(copy, ("setarch", "-R"), environment)


def test_walks_are_clean(addresses: Sanitized) -> None:
    addresses.run("-c", "from mcsd.relabel import native; assert native.is_usable()")
    addresses.run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-k", "native", *SUITES)


def test_whatever_an_index_is_given_is_clean(addresses: Sanitized) -> None:
    addresses.run("-c", FUZZ)


def test_an_error_at_any_call_has_one_outcome(addresses: Sanitized) -> None:
    """Promises 4, 6, 8 and 9: of the extension, of the store, and of the plain loop."""
    said = addresses.run("-m", "tests.host.relabel_injected", "--every", EVERY)
    assert said.count("each had its one outcome") == 3, said


def test_threads_do_not_race_whatever_fails(threads: Sanitized) -> None:
    """One worker's failure ends the others, whoever reads what they asked."""
    command = (
        "-m",
        "tests.host.relabel_injected",
        "--only",
        "extension",
        "--only",
        "store",
        "--every",
        EVERY,
    )
    assert threads.run(*command).count("each had its one outcome") == 2


@pytest.mark.parametrize("loop", ["extension", "python"])
def test_nobody_who_owns_the_tree_has_anything_outside_labelled(addresses: Sanitized, loop: str) -> None:
    """Promise 5, under every kind of attack."""
    more = ("--python",) if loop == "python" else ()
    said = addresses.run("-m", "tests.host.relabel_races", "--rounds", ROUNDS, "--walks", WALKS, *more)
    print(said)
    assert "nothing outside was labelled" in said


def test_threads_do_not_race_under_attack(threads: Sanitized) -> None:
    rounds = str(int(ROUNDS) // 10)
    said = threads.run("-m", "tests.host.relabel_races", "--rounds", rounds, "--walks", WALKS)
    assert "nothing outside was labelled" in said
