"""The program that keeps booleans in the policy store, over a libsemanage in memory. Promise 10."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcsd.adapters.selinux.semanage import STORED, PolicyStore, StoredBooleans, main
from mcsd.errors import BooleanError


@dataclass
class _Value:
    name: str
    value: int


@dataclass
class FakeSemanage:
    """The calls that are used, with their return values; `refuse` names one that fails."""

    values: dict[str, int]
    refuse: str = ""
    reload: int = 1
    commits: int = 0
    waiting: dict[str, int] = field(default_factory=dict)

    def _code(self, call: str) -> int:
        return -1 if call == self.refuse else 0

    def semanage_bool_list(self, _: object) -> tuple[int, list[_Value]]:
        found = [_Value(name, value) for name, value in self.values.items()]
        return self._code("list"), found

    def semanage_bool_get_name(self, one: _Value) -> str:
        return one.name

    def semanage_bool_get_value(self, one: _Value) -> int:
        return one.value

    def semanage_bool_set_value(self, one: _Value, value: int) -> None:
        one.value = value

    def semanage_bool_key_create(self, _: object, name: str) -> tuple[int, str]:
        return self._code("key"), name

    def semanage_bool_query(self, _: object, key: str) -> tuple[int, _Value]:
        return self._code("query"), _Value(key, self.values[key])

    def semanage_begin_transaction(self, _: object) -> int:
        return self._code("begin")

    def semanage_bool_modify_local(self, _: object, key: str, value: _Value) -> int:
        self.waiting[key] = value.value
        return self._code("modify")

    def semanage_set_reload(self, _: object, reload: int) -> None:
        self.reload = reload

    def semanage_commit(self, _: object) -> int:
        if self._code("commit") == 0:
            self.values.update(self.waiting)
            self.commits += 1
        return self._code("commit")


def store_of(semanage: FakeSemanage) -> PolicyStore:
    return PolicyStore(semanage, object())


def test_what_differs_is_stored_as_one_transaction_without_loading_a_policy() -> None:
    semanage = FakeSemanage({"a": 0, "b": 1, "c": 0})
    assert store_of(semanage).put({"a": True, "b": False})
    assert semanage.values == {"a": 1, "b": 0, "c": 0}
    assert (semanage.commits, semanage.reload) == (1, 0)


def test_where_all_is_stored_already_the_policy_is_not_built_again() -> None:
    semanage = FakeSemanage({"a": 1})
    assert not store_of(semanage).put({"a": True})
    assert semanage.commits == 0


@pytest.mark.parametrize("call", ["key", "query", "begin", "modify", "commit"])
def test_a_store_that_refuses_is_an_error(call: str) -> None:
    semanage = FakeSemanage({"a": 0}, refuse=call)
    with pytest.raises(BooleanError, match="policy store"):
        store_of(semanage).put({"a": True})
    assert semanage.values == {"a": 0}


def test_names_come_from_the_store() -> None:
    assert store_of(FakeSemanage({"a": 0, "b": 1})).names() == {"a", "b"}
    with pytest.raises(BooleanError, match="listed"):
        store_of(FakeSemanage({}, refuse="list")).names()


def test_what_was_stored_is_left_for_the_daemon(tmp_path: Path) -> None:
    stored = StoredBooleans(tmp_path)
    assert stored() == {}
    stored.write({"b": True, "a": False})
    assert stored() == {"a": False, "b": True}
    assert stat.S_IMODE(os.stat(tmp_path / STORED).st_mode) == 0o600
    stored.clear()
    stored.clear()
    assert stored() == {} and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "on"}', "\udcff"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / STORED).write_text(text, encoding="utf-8", errors="surrogateescape")
    assert StoredBooleans(tmp_path)() == {}


def config(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "mcsd.toml").write_text(text)
    return ["--config", str(tmp_path / "mcsd.toml"), "--state", str(tmp_path)]


def test_without_persist_nothing_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    StoredBooleans(tmp_path).write({"a": True})
    assert main(config(tmp_path, "[booleans]\na = 'on'\n")) == 0
    assert "persist is false" in capsys.readouterr().out
    assert StoredBooleans(tmp_path)() == {}


def test_a_bad_configuration_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config(tmp_path, "[booleans]\na = 'maybe'\n")) == 78
    assert "maybe" in capsys.readouterr().err


@pytest.mark.skipif(os.path.exists("/sys/fs/selinux/enforce"), reason="this host has SELinux")
def test_where_there_is_no_policy_store_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(config(tmp_path, "[booleans]\npersist = true\na = 'on'\n")) == 1
    assert "mcsd-booleans: " in capsys.readouterr().err
    assert StoredBooleans(tmp_path)() == {}
