"""This host's own protected places, as they are at the moment they are asked for."""

from __future__ import annotations

import os
import pwd
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcsd.blocking.patient import Patient
from mcsd.core.protected import ProtectionRules
from mcsd.errors import VolumeRefusedError
from mcsd.relabel import Engine
from mcsd.relabel import landmarks as landmarks_module
from mcsd.relabel.homes import Homes
from mcsd.relabel.landmarks import Landmarks
from mcsd.relabel.places import LASTS, Location, PathIndex
from tests.fakes.settled import settled

USER = 4711


def engine(
    tmp_path: Path,
    *,
    rules: Callable[[], ProtectionRules] = ProtectionRules.of,
    default_label: Callable[[str, int], str | None] = lambda path, mode: None,
    homes: dict[int, str] | None = None,
    patient: Patient | None = None,
) -> Engine:
    patient = patient or Patient(moment=60)
    return Engine(
        store=tmp_path / "store",
        rules=rules,
        default_label=default_label,
        patient=patient,
        homes=Homes(patient, (homes or {}).get),
    )


def refusal(of: Engine, path: Path, *, allowed: Iterable[str] = (), storage: Iterable[str] = ()) -> str:
    """Return the rule that refuses a volume, "" where none does, whatever becomes of its label."""
    try:
        of.examine(str(path), allowed=tuple(allowed), storage=tuple(storage))
    except VolumeRefusedError as refused:
        return "" if refused.rule == "no-labels" else refused.rule
    return ""


def test_an_engine_s_storage_is_protected_wherever_the_engine_says_it_is(tmp_path: Path) -> None:
    root = tmp_path / "srv/docker"
    inside = root / "volumes/a/_data"
    inside.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(root)
    of = engine(tmp_path)
    assert refusal(of, root) == ""
    for path in (root, inside, root.parent):
        for spelling in (str(root), f"{root}//", str(link)):
            assert refusal(of, path, storage=[spelling]) == "engine-storage", (path, spelling)
    assert refusal(of, inside, storage=[str(root)], allowed=[str(inside)]) == "", "its own volume"
    assert of.survey(str(inside), storage=[str(root)]).shown, "and it is told what it shows"


def test_a_home_is_known_the_moment_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts: list[SimpleNamespace] = []
    monkeypatch.setattr(pwd, "getpwall", lambda: list(accounts))
    monkeypatch.setattr(landmarks_module, "LASTS", 0.0)
    home = tmp_path / "people/ann"
    home.mkdir(parents=True)
    marks = Landmarks(
        Patient(moment=60), of_host=lambda: ["/srv/x"], of_homes=lambda homes: [], state=[], sockets=[]
    )
    of = engine(tmp_path, rules=marks)
    assert refusal(of, home) == ""
    accounts.append(SimpleNamespace(pw_dir=str(home)))
    assert refusal(of, home) == refusal(of, home.parent) == "home"
    assert "/srv/x" in marks().storage
    assert marks() is marks(), "what follows from the rules is kept with them"


def test_a_home_of_an_account_that_nobody_lists_is_known_by_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "people/ldap"
    keys, work = home / ".ssh", home / "work"
    for place in (home, work):
        place.mkdir(parents=True)
        os.chown(place, USER, USER)
    of = engine(tmp_path, homes={USER: str(home)})
    assert refusal(of, home) == "home"
    assert refusal(of, home.parent) == "home", "which is not theirs, and contains it"
    assert refusal(of, home, allowed=[str(home)]) == ""
    assert refusal(of, work) == "", "what lies in a home is its owner's to give"
    keys.mkdir()
    time.sleep(LASTS)  # a view of the places is that old at most
    assert refusal(of, keys) == refusal(of, home) == "home-keys"


def test_a_home_by_the_policy_s_own_word(tmp_path: Path) -> None:
    home, other = tmp_path / "home/eve", tmp_path / "srv/eve"
    for place in (home, other):
        place.mkdir(parents=True)

    def contexts(path: str, mode: int) -> str | None:
        kind = "user_home_dir_t" if path == str(home) else "var_t"
        return f"system_u:object_r:{kind}:s0"

    of = engine(tmp_path, default_label=contexts)
    assert refusal(of, home) == "home"
    assert refusal(of, other) == ""
    assert refusal(of, home, allowed=[str(home)]) == ""


def test_places_that_do_not_answer_keep_nobody_from_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home on a server that is down: other volumes are looked at, and what is protected stays so."""
    gate, real = threading.Event(), PathIndex._look

    def look(self: PathIndex, path: str) -> Location | None:
        if path == "/mnt/down/ann":
            gate.wait()
        return real(self, path)

    monkeypatch.setattr(PathIndex, "_look", look)
    fine = tmp_path / "fine"
    fine.mkdir()
    of = engine(
        tmp_path, rules=lambda: ProtectionRules.of(homes=["/mnt/down/ann"]), patient=Patient(moment=0.02)
    )
    with settled():
        for _ in range(3):
            assert refusal(of, fine) == ""
            assert refusal(of, Path("/etc")) == "system"
        assert [one.subject.party for one in of.blocked()] == ["places"]
        gate.set()
    assert of.blocked() == ()


def test_a_directory_of_accounts_that_hangs_keeps_nobody_from_looking(tmp_path: Path) -> None:
    gate = threading.Event()

    def look_up(owner: int) -> str | None:
        gate.wait()
        return None

    fine = tmp_path / "fine"
    fine.mkdir()
    os.chown(fine, USER, USER)
    patient = Patient(moment=0.02)
    of = Engine(
        store=tmp_path / "store",
        rules=ProtectionRules.of(),
        default_label=lambda path, mode: None,
        patient=patient,
        homes=Homes(patient, look_up),
    )
    with settled():
        for _ in range(3):
            assert refusal(of, fine) == ""
        assert "accounts" in [one.subject.party for one in of.blocked()]
        gate.set()
