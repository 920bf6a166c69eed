"""The ledger on file systems that are full or read-only: real ones, in a mount namespace of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

FILL = """
import os
def fill(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)
"""

FULL = """
import os, sys
from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.core.changes import PutGrant
from mcsd.errors import LedgerError
from tests.fakes.ledger_records import grant

path, ballast = sys.argv[1] + "/state/ledger.db", sys.argv[1] + "/ballast"
ledger = SqliteLedger(path)
ledger.apply([PutGrant(grant(1))])
fill(ballast)
applied = 1
try:
    while applied < 1000:
        ledger.apply([PutGrant(grant(applied + 1, name="x" * 500))])
        applied += 1
except LedgerError as exc:
    print(type(exc).__name__, exc)
assert applied < 1000
assert [one.id for one in ledger.load().grants] == list(range(1, applied + 1))
os.unlink(ballast)
ledger.apply([PutGrant(grant(applied + 1))])
ledger.close()
ledger = SqliteLedger(path)
assert [one.id for one in ledger.load().grants] == list(range(1, applied + 2))
ledger.close()
"""

FULL_AT_START = """
import os, sys
from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.errors import LedgerError

path = sys.argv[1] + "/state/ledger.db"
fill(sys.argv[1] + "/ballast")
try:
    SqliteLedger(path)
except LedgerError as exc:
    print(type(exc).__name__, exc)
assert not os.path.exists(path)
os.unlink(sys.argv[1] + "/ballast")
SqliteLedger(path).close()
"""

READ_ONLY = """
import subprocess, sys
from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.errors import LedgerError

path = sys.argv[1] + "/state/ledger.db"
if sys.argv[2] == "old":
    SqliteLedger(path).close()
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
try:
    SqliteLedger(path)
except LedgerError as exc:
    print(type(exc).__name__, exc)
"""


def in_small_file_system(tmp_path: Path, code: str, argument: str = "") -> str:
    """Run a program with a file system of 256 KiB at `tmp_path/disk`, and give what it printed."""
    place = tmp_path / "disk"
    place.mkdir()
    script = 'mount -t tmpfs -o size=256k,mode=0755 tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(place), sys.executable, FILL + code, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_full_disk_refuses_what_does_not_fit_and_loses_nothing(tmp_path: Path) -> None:
    """Promise 9: the ledger goes on by itself once there is room again."""
    said = in_small_file_system(tmp_path, FULL)
    assert said.startswith("LedgerError ledger ")
    assert "cannot write it" in said
    assert "free space" in said


def test_full_disk_at_the_first_start_leaves_no_half_ledger(tmp_path: Path) -> None:
    said = in_small_file_system(tmp_path, FULL_AT_START)
    assert said.startswith("LedgerError ledger ")
    assert "free space" in said


@pytest.mark.parametrize("state", ["old", "new"])
def test_read_only_file_system_is_named_as_the_cause(tmp_path: Path, state: str) -> None:
    said = in_small_file_system(tmp_path, READ_ONLY, state)
    assert said.startswith("LedgerError ledger ")
    assert "Read-only file system" in said
    assert "writable file system" in said
