"""The ledger and `kill -9`: whole transactions or nothing, at every statement (promises 3 and 9)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcsd.adapters.ledger.database import SqliteLedger
from tests.fakes.ledger_disk import memory_directory
from tests.fakes.ledger_teller import chapters, tell_story
from tests.fakes.settled import settled

ROOT = Path(__file__).parents[3]


class Teller:
    """The program that tells the story and is killed."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def tell_until_killed(self, path: Path, chosen: int) -> tuple[int, bool]:
        """Return how many transactions the story had back, and whether it came to the end."""
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.write(f"{chosen} {path}\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline().split()
        assert len(answer) == 2, "the teller failed by itself"
        return int(answer[0]), answer[1] == "1"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory where syncing costs nothing: what a killed process has written is there all the same."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
def teller() -> Iterator[Teller]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.ledger_teller"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        yield Teller(program)


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


def test_killed_before_any_statement_it_holds_whole_transactions(memory: Path, teller: Teller) -> None:
    """What was acknowledged is there, at most the one under way besides, and the story can go on."""
    expected = chapters()
    seen = set()
    for chosen in range(1, 1000):
        path = memory / str(chosen) / "ledger.db"
        acknowledged, is_finished = teller.tell_until_killed(path, chosen)
        with closing(SqliteLedger(path)) as ledger:
            found = ledger.load()
        held = expected.index(found)
        assert held == acknowledged
        seen.add(held)
        tell_story(path, lambda: None, start=held)
        with closing(SqliteLedger(path)) as ledger:
            assert ledger.load() == expected[-1]
        if is_finished:
            break
    assert is_finished
    assert seen == set(range(len(expected)))


def test_damage_of_a_crash_is_never_a_fresh_start(memory: Path, teller: Teller) -> None:
    """Killed while it is made, a ledger is not there at all."""
    path = memory / "state" / "ledger.db"
    for chosen in range(1, 6):
        acknowledged, _ = teller.tell_until_killed(path, chosen)
        assert acknowledged == 0
        assert not path.exists()
