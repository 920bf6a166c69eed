"""Asking what may not answer: one source that hangs is waited for a moment, the others not at all."""

from __future__ import annotations

import threading

import pytest

from mcsd.blocking.patient import Patient
from tests.fakes.settled import settled

SOON = 0.02


def test_an_answer_lasts_a_while_and_is_asked_for_again_for_another_version() -> None:
    now = [0.0]
    patient = Patient(moment=60, clock=lambda: now[0])
    asked: list[int] = []

    def question() -> int:
        asked.append(1)
        return len(asked)

    with settled():
        assert patient.ask("a", question, 0, lasts=5) == 1
        assert patient.ask("a", question, 0, lasts=5) == 1
        assert patient.ask("a", question, 0, version="another", lasts=5) == 2
        now[0] += 5
        assert patient.ask("a", question, 0, version="another", lasts=5) == 3
        assert patient.ask("b", question, 0, lasts=5) == 4


def test_a_source_that_hangs_is_what_it_was_and_holds_one_thread() -> None:
    gate = threading.Event()
    patient = Patient(moment=SOON)
    began: list[int] = []

    def hang() -> str:
        began.append(1)
        gate.wait()
        return "new"

    with settled():
        assert patient.ask("server", hang, "nothing", lasts=0) == "nothing"
        for _ in range(5):
            assert patient.ask("server", hang, "nothing", version=_, lasts=0) == "nothing"
        assert len(began) <= 1 and list(patient.silent()) == ["server"]
        assert Patient().ask("disk", lambda: "there", "nothing", lasts=0) == "there"
        gate.set()
        while patient.silent():
            pass
        again = Patient(moment=60)
        assert again.ask("server", hang, "nothing", lasts=0) == "new"


def test_what_was_last_known_counts_while_it_hangs() -> None:
    gate = threading.Event()
    patient = Patient(moment=60)
    assert patient.ask("server", lambda: "old", "nothing", lasts=0) == "old"
    patient._moment = SOON

    def hang() -> str:
        gate.wait()
        return "new"

    with settled():
        assert patient.ask("server", hang, "nothing", version=2, lasts=0) == "old"
        gate.set()


def test_what_a_question_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Patient(moment=60).ask("a", lambda: 1 // 0, 0, lasts=0)
