"""What lies in a volume: found, and nothing followed, crossed or changed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mcsd.adapters.host.contents import SHOWN, search, sorted_out
from mcsd.core.audit.facts import AuditedMount, Sort


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    top = tmp_path / "volume"
    (top / "in").mkdir(parents=True)
    (top / "in" / "file").touch(0o644)
    return top


def test_nothing_is_found_in_an_ordinary_tree(volume: Path) -> None:
    found = search(str(volume), limit=100)
    assert (found.suid_count, found.writable_count, found.seen, found.complete) == (0, 0, 3, True)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711])
def test_programs_with_set_ids_are_found(volume: Path, mode: int) -> None:
    (volume / "in/su").touch()
    (volume / "in/su").chmod(mode)
    assert search(str(volume), limit=100).suid == (str(volume / "in/su"),)


def test_a_bit_without_leave_to_execute_is_mandatory_locking_and_on_directories_inheritance(
    volume: Path,
) -> None:
    (volume / "in/file").chmod(0o2644)
    (volume / "in").chmod(0o2755)
    assert search(str(volume), limit=100).suid == ()


def test_what_everybody_may_write_is_found_but_for_sticky_directories(volume: Path) -> None:
    (volume / "in/file").chmod(0o666)
    (volume / "open").mkdir()
    (volume / "open").chmod(0o777)
    (volume / "tmp").mkdir()
    (volume / "tmp").chmod(0o1777)
    (volume / "link").symlink_to("in/file")
    found = search(str(volume), limit=100)
    assert set(found.writable) == {str(volume / "in/file"), str(volume / "open")}


def test_links_are_not_followed(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/su").touch()
    (tmp_path / "outside/su").chmod(0o4755)
    (volume / "way").symlink_to(tmp_path / "outside")
    assert search(str(volume), limit=100).suid == ()


def test_many_are_counted_and_a_few_named(volume: Path) -> None:
    for number in range(SHOWN + 3):
        (volume / f"w{number}").touch()
        (volume / f"w{number}").chmod(0o666)
    found = search(str(volume), limit=100)
    assert (len(found.writable), found.writable_count) == (SHOWN, SHOWN + 3)


def test_the_search_has_an_end_and_says_so(volume: Path) -> None:
    found = search(str(volume), limit=2)
    assert (found.seen, found.complete) == (2, False)


def test_a_single_file_is_looked_at(volume: Path) -> None:
    (volume / "in/file").chmod(0o666)
    assert search(str(volume / "in/file"), limit=9).writable == (str(volume / "in/file"),)


def test_what_cannot_be_looked_at_is_said_to(tmp_path: Path) -> None:
    assert "No such file" in search(str(tmp_path / "nothing"), limit=9).error


def test_directories_that_cannot_be_read_are_counted(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def broken(path: str, *rest: int, **more: int) -> int:
        if path == "in":
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", broken)
    assert search(str(volume), limit=9).error == "1 of its directories cannot be read"


def test_where_a_mount_leads_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sorts = {
            name: sorted_out(AuditedMount(str(tmp_path / name), "/x")).sort
            for name in ("file", "link", "s", "gone")
        }
    assert sorts == {"file": Sort.FILE, "link": Sort.FILE, "s": Sort.SOCKET, "gone": Sort.UNKNOWN}
    assert sorted_out(AuditedMount(str(tmp_path / "link"), "/x")).real == str(tmp_path / "file")
    assert sorted_out(AuditedMount("/dev/null", "/x")).sort is Sort.DEVICE
    assert sorted_out(AuditedMount(str(tmp_path), "/x")).sort is Sort.DIRECTORY
