"""The journal's catalog: made from the table of messages, complete, and in the form that journald reads."""

from __future__ import annotations

import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from mcsd.core.explanations import EXPLANATIONS
from mcsd.core.notices import Kind, Notice

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
CATALOG = PACKAGING / "mcsd.catalog"


def test_the_file_is_what_the_table_says() -> None:
    made = subprocess.run(
        [sys.executable, str(PACKAGING / "generate-catalog")], capture_output=True, text=True, check=True
    )
    assert made.stdout == CATALOG.read_text(encoding="utf-8"), "packaging/generate-catalog >mcsd.catalog"


def test_every_message_has_cause_consequence_and_remedy() -> None:
    assert set(EXPLANATIONS) == set(Kind)
    for kind, said in EXPLANATIONS.items():
        for text in said:
            assert text.endswith((".", ":")), (kind, text)
        if kind.value.priority <= 4:
            assert said.remedy != "Nothing is to be done.", f"{kind} is a warning and has no remedy"


def test_message_ids_are_unique_and_well_formed() -> None:
    ids = [kind.value.message_id for kind in Kind]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 32 and set(one) <= set(string.hexdigits.lower()) for one in ids)


def test_a_sentence_is_one_line_whatever_its_fields_hold() -> None:
    """No name can forge an entry."""
    for kind in Kind:
        gaps = {
            name: "\n\x1b[31m\udcff\u202e"
            for _, name, _, _ in string.Formatter().parse(kind.value.template)
            if name
        }
        sentence = Notice(kind, gaps).sentence
        assert sentence.isprintable(), sentence


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="there is no journalctl")
def test_journalctl_takes_it(tmp_path: Path) -> None:
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, place)
    update = ["journalctl", f"--root={tmp_path}", "--update-catalog"]
    done = subprocess.run(update, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    listed = subprocess.run(
        ["journalctl", f"--root={tmp_path}", "--list-catalog"], capture_output=True, text=True, check=True
    )
    assert {line.split()[0] for line in listed.stdout.splitlines()} == {k.value.message_id for k in Kind}
