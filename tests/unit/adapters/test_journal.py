"""The journal: what an entry is made of, who gets it, and that nobody ever waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.adapters.systemd import journal as adapter
from mcsd.adapters.systemd.journal import SystemdJournal, to_journald, to_standard_error
from mcsd.adapters.systemd.journal_entry import Fields, entry_of, line_of
from mcsd.core.notices import Kind, Notice
from tests.fakes.running import until
from tests.fakes.settled import settled

GRANTED = Notice(Kind.GRANTED, {"name": "web", "level": "s0:c1,c2", "origin": "adopted"}, "c" * 64)


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


class Sink:
    """Keeps entries; fails with `failure`, and while `gate` is closed takes none."""

    def __init__(self) -> None:
        self.entries: list[Fields] = []
        self.failure: Exception | None = None
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, entry: Fields) -> None:
        self.asked.set()
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.entries.append(entry)

    @property
    def messages(self) -> list[str]:
        """The sentences, in order."""
        return [entry["MESSAGE"] for entry in self.entries]


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestEntry:
    """The fields of an entry."""

    def test_well_known_fields_carry_the_data(self) -> None:
        assert entry_of(GRANTED) == {
            "MESSAGE": "container web: level s0:c1,c2 adopted",
            "MESSAGE_ID": Kind.GRANTED.value.message_id,
            "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "mcsd",
            "MCSD_KIND": "granted",
            "MCSD_CONTAINER_NAME": "web",
            "MCSD_CONTAINER_ID": "c" * 64,
            "MCSD_LEVEL": "s0:c1,c2",
            "MCSD_ORIGIN": "adopted",
        }

    def test_volume_and_reason_have_their_own_fields(self) -> None:
        fields = {"volume": "/srv/a", "name": "web", "reason": "it is /etc", "hint": "choose another"}
        entry = entry_of(Notice(Kind.VOLUME_REFUSED, fields))
        assert (entry["MCSD_VOLUME"], entry["MCSD_REASON"]) == ("/srv/a", "it is /etc")
        assert "MCSD_CONTAINER_ID" not in entry

    @pytest.mark.parametrize(
        "text", ["a\nPRIORITY=0", "a\rb", "\x1b[2J", "\x00", "\u2028", "\udcff", "\u202e"]
    )
    def test_other_peoples_text_forges_no_line(self, text: str) -> None:
        entry = entry_of(Notice(Kind.GRANTED, {"name": text, "level": "s0", "origin": text}, text))
        assert all(value.isprintable() for value in entry.values())
        assert line_of(entry).count("\n") == 1

    def test_traceback_keeps_its_lines_and_nothing_else(self) -> None:
        fields = {"where": "x", "reason": "y", "traceback": 'File "a"\n  boom \x1b[2J\n'}
        entry = entry_of(Notice(Kind.INTERNAL, fields))
        assert entry["MCSD_TRACEBACK"] == 'File "a"\n  boom \\x1b[2J'
        assert line_of(entry).splitlines() == [
            "mcsd: critical: unforeseen failure in x: y",
            '    File "a"',
            "      boom \\x1b[2J",
        ]

    def test_names_of_fields_are_ones_that_journald_takes(self) -> None:
        for kind in Kind:
            names = ["traceback", *_placeholders(kind.value.template)]
            for name in entry_of(Notice(kind, dict.fromkeys(names, "x"), "c")):
                assert len(name) <= 64
                assert name.isascii()
                assert name.replace("_", "").isalnum()
                assert name == name.upper()
                assert not name.startswith("_")


def _placeholders(template: str) -> list[str]:
    return [part.split("}")[0] for part in template.split("{")[1:]]


class TestSinks:
    """Who gets an entry."""

    def test_each_entry_goes_to_the_first_that_takes_it(self) -> None:
        first, second = Sink(), Sink()
        journal = SystemdJournal(sinks=(first, second))
        journal.emit(GRANTED)
        journal.close()
        first.failure = FileNotFoundError("gone")
        journal = SystemdJournal(sinks=(first, second))
        journal.emit(Notice(Kind.STOPPING))
        journal.close()
        assert first.messages == [GRANTED.sentence]
        assert second.messages == ["mcsd is stopping"]
        assert journal.lost == 0

    def test_nobody_there_is_survived_and_counted(self) -> None:
        broken, closed = Sink(), Sink()
        broken.failure, closed.failure = OSError("broken"), ValueError("I/O operation on closed file")
        journal = SystemdJournal(sinks=(broken, closed))
        journal.emit(GRANTED)
        journal.close()
        assert journal.lost == 1

    def test_standard_error_has_it_where_there_is_no_journald(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        monkeypatch.setattr(adapter, "SOCKET", tmp_path / "socket")
        journal = SystemdJournal(sinks=(to_journald, to_standard_error))
        journal.emit(GRANTED)
        journal.close()
        assert capsys.readouterr().err == "mcsd: info: container web: level s0:c1,c2 adopted\n"

    def test_process_without_standard_error_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stderr", None)
        to_standard_error(entry_of(GRANTED))

    def test_order_is_kept(self) -> None:
        sink = Sink()
        journal = SystemdJournal(sinks=(sink,))
        for number in range(100):
            journal.emit(Notice(Kind.RESYNCED, {"containers": number, "reason": "asked"}))
        journal.close()
        assert [entry["MCSD_CONTAINERS"] for entry in sink.entries] == [str(n) for n in range(100)]

    def test_what_comes_after_the_end_is_still_written(self) -> None:
        sink = Sink()
        journal = SystemdJournal(sinks=(sink,))
        journal.close()
        journal.close()
        journal.emit(GRANTED)
        assert sink.messages == [GRANTED.sentence]


class TestPressure:
    """Floods, and a journal that hangs."""

    def test_flood_is_thinned_out_and_the_next_one_tells_how_many(self) -> None:
        sink, clock = Sink(), Clock()
        journal = SystemdJournal(sinks=(sink,), clock=clock, burst=2, rate=1.0)
        for _ in range(5):
            journal.emit(GRANTED)
        clock.now += 1
        journal.emit(GRANTED)
        journal.close()
        told = [entry for entry in sink.entries if "MCSD_HELD_BACK" in entry]
        assert sum(int(entry["MCSD_HELD_BACK"]) for entry in told) + len(sink.entries) - len(told) == 6
        assert told[0]["MESSAGE"].startswith("3 more like this (granted) were held back")
        assert told[0]["MESSAGE_ID"] == Kind.GRANTED.value.message_id

    def test_count_is_told_at_the_end_without_another_message(self) -> None:
        sink = Sink()
        journal = SystemdJournal(sinks=(sink,), clock=Clock(), burst=1, rate=1.0)
        for _ in range(4):
            journal.emit(GRANTED)
        journal.close()
        assert [entry.get("MCSD_HELD_BACK") for entry in sink.entries] == [None, "3"]

    def test_count_is_told_by_itself_once_the_flood_is_over(self) -> None:
        sink, clock = Sink(), Clock()
        journal = SystemdJournal(sinks=(sink,), clock=clock, burst=1, rate=1.0)
        journal.emit(GRANTED)
        journal.emit(GRANTED)
        clock.now += 10
        journal.emit(Notice(Kind.STOPPING))  # wakes the writer; another kind
        asyncio.run(until(lambda: len(sink.entries) == 3))
        journal.close()
        assert [entry.get("MCSD_HELD_BACK") for entry in sink.entries].count("1") == 1

    def test_other_kinds_come_through_a_flood(self) -> None:
        sink = Sink()
        journal = SystemdJournal(sinks=(sink,), clock=Clock(), burst=1, rate=1.0)
        for _ in range(9):
            journal.emit(GRANTED)
        journal.emit(Notice(Kind.LEDGER_FAILED, {"reason": "full", "hint": "make room"}))
        journal.close()
        assert "the ledger cannot be written: full; make room" in sink.messages

    def test_journal_that_hangs_delays_nobody_and_the_loss_is_told(self) -> None:
        sink = Sink()
        sink.gate.clear()
        journal = SystemdJournal(sinks=(sink,), queued=3)
        journal.emit(GRANTED)
        sink.asked.wait()
        for _ in range(10):
            journal.emit(GRANTED)  # would wait for ever if it waited
        sink.gate.set()
        journal.close()
        assert sink.messages[:4] == [GRANTED.sentence] * 4
        assert sink.messages[4] == "7 messages were lost, because the journal did not take them"

    def test_end_does_not_wait_for_a_journal_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(adapter, "PATIENCE", 0.01)
        sink = Sink()
        sink.gate.clear()
        journal = SystemdJournal(sinks=(sink,))
        journal.emit(GRANTED)
        journal.close()
        assert sink.entries == []
        sink.gate.set()  # only so that the thread ends with the test
