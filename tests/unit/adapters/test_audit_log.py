"""Where records come from: auditd's files, old and new, and the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.audit.log import JournalRecords, LogFiles, line_of, open_log
from mcsd.adapters.audit.records import Records
from mcsd.errors import HostError

JOURNAL = json.loads((Path(__file__).parents[2] / "data/audit/journal.json").read_text())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for name, text in (("audit.log.2", "one\n"), ("audit.log.1", "two\n"), ("audit.log", "three\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "audit.log.gz").write_text("no part of it\n")
    return tmp_path / "audit.log"


def flat(parts: Iterator[list[str]]) -> list[str]:
    return [line for part in parts for line in part]


def test_files_are_read_the_oldest_first(log: Path) -> None:
    assert flat(LogFiles(log).since(0)) == ["one\n", "two\n", "three\n"]


def test_files_that_nothing_new_is_in_are_left_out(log: Path) -> None:
    os.utime(log.parent / "audit.log.2", (1, 1))
    assert flat(LogFiles(log).since(1000)) == ["two\n", "three\n"]


def test_lines_of_before_are_left_out_up_to_the_first_that_is_not(log: Path) -> None:
    lines = [f"type=AVC msg=audit({second}.500:7): avc:  denied\n" for second in (998, 999, 1000, 999, 1001)]
    log.write_text("".join(lines))
    for name in ("audit.log.1", "audit.log.2"):
        os.utime(log.parent / name, (1, 1))
    assert flat(LogFiles(log).since(1000)) == lines[2:]


def test_many_lines_come_in_parts(log: Path) -> None:
    log.write_text("x\n" * 2500)
    assert max(map(len, LogFiles(log).since(0))) == 1000


def test_one_that_may_not_be_read_says_what_to_do(log: Path) -> None:
    log.unlink()
    log.mkdir()
    with pytest.raises(HostError, match=r"audit\.log cannot be read"):
        flat(LogFiles(log).since(0))


def test_following_goes_on_in_the_next_file_and_waits_for_whole_lines(log: Path) -> None:
    following = LogFiles(log).follow(pause=0)
    assert next(following) == []
    with log.open("a") as file:
        file.write("four\nhalf")
        file.flush()
        assert next(following) == ["four\n"]
        file.write(" done\n")
    assert next(following) == ["half done\n"]
    log.rename(log.parent / "audit.log.0")
    log.write_text("")
    assert next(following) == []
    with log.open("a") as file:
        file.write("five\n")
    assert ["five\n"] in list(islice(following, 3))
    following.close()


class Reader:
    """A journal's reader as systemd-python has it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.left = list(JOURNAL)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.left)

    def get_next(self) -> Any:
        return self.left.pop(0) if self.left else {}

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.asked.append((name, *given))


def test_the_journals_parts_are_put_together_as_auditd_writes_them() -> None:
    reader = Reader()
    lines = flat(JournalRecords(lambda: reader).since(5.0))
    assert ("seek_realtime", 5.0) in reader.asked and ("close",) in reader.asked
    assert lines[0].startswith("type=AVC msg=audit(1799999500.123:570): avc:  denied  { read }")
    pytest.importorskip("auparse", reason="there is no auparse")
    records = Records()
    (denial,) = (*records.feed(lines), *records.flush())
    assert (denial.serial, denial.path) == (570, "/data/secret")


def test_the_journal_is_followed() -> None:
    reader = Reader()
    following = JournalRecords(lambda: reader).follow(pause=0)
    assert len(next(following)) == len(JOURNAL)
    assert next(following) == []
    following.close()
    assert ("close",) in reader.asked


def test_an_entry_that_is_no_record_is_passed_over() -> None:
    assert line_of({"MESSAGE": "hello"}) == ""
    assert line_of({"_AUDIT_TYPE_NAME": "AVC", "MESSAGE": "x"}) == ""


def test_the_journal_is_asked_where_there_is_no_auditd(log: Path) -> None:
    assert isinstance(open_log(log), LogFiles)
    assert isinstance(open_log(log.parent / "nothing"), JournalRecords)
