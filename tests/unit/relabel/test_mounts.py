"""Reading mountinfo, and where a path lies in its file system whatever mount shows it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from mcsd.core.protected import is_unlabelled
from mcsd.core.volumes import Identity
from mcsd.relabel import handles, kernel, mounts
from mcsd.relabel.handles import GoneError, Handle, handle_of, open_again

LINE = rb"36 35 98:0 /part\040one /mnt/a\134b rw,noatime master:1 - ext4 /dev/root ro,errors=continue"


def test_a_line_of_mountinfo() -> None:
    mount = mounts._parse(LINE)
    assert (mount.id, mount.device, mount.root, mount.point) == (36, "98:0", "/part one", "/mnt/a\\b")
    assert mount.file_system == "ext4"
    assert mount.is_read_only  # the file system is, whatever the mount says


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ("rw,seclabel", ""),
        ("rw,context=system_u:object_r:container_file_t:s0", "system_u:object_r:container_file_t:s0"),
        ('rw,context="a:b:c_t:s0:c1,c2",vers=4', "a:b:c_t:s0:c1,c2"),
        ('context="a:b:c_t:s0:c1,c2"', "a:b:c_t:s0:c1,c2"),
        ("rw,rootcontext=a:b:c_t:s0,defcontext=a:b:d_t:s0", ""),
    ],
)
def test_the_label_that_a_file_system_is_mounted_with(options: str, label: str) -> None:
    mount = mounts._parse(f"1 0 0:50 / /srv/nas rw - nfs4 nas:/export {options}".encode())
    assert mount.fixed_label == label


@pytest.mark.parametrize(
    ("kind", "options", "is_so"),
    [
        ("nfs4", "rw,seclabel,vers=4.2", False),
        ("nfs4", "rw,vers=4.2", True),
        ("nfs", "rw,vers=3", True),
        ("vfat", "rw", True),
        ("fuse.sshfs", "rw,seclabel", True),
        ("ext4", "rw,seclabel", False),
        ("ext4", "rw", False),
    ],
)
def test_nfs_has_labels_if_the_mount_says_so(kind: str, options: str, is_so: bool) -> None:
    mount = mounts._parse(f"1 0 0:50 / /srv/nas rw - {kind} nas:/export {options}".encode())
    assert is_unlabelled(mount.file_system, mount.options) is is_so


def test_a_position_is_the_same_for_every_bind_mount() -> None:
    whole = mounts._parse(b"1 0 8:1 / / rw - ext4 /dev/a rw")
    part = mounts._parse(b"2 1 8:1 /usr /srv/x rw - ext4 /dev/a rw")
    assert mounts.position("/usr/bin", whole) == mounts.position("/srv/x/bin", part)
    assert mounts.position("/usr", whole) == ("8:1", PurePosixPath("/usr"))


def test_this_machine_s_mounts_are_found_by_the_id_that_statx_tells() -> None:
    found = mounts.mounts()[kernel.stat_path("/").mount]
    assert found.point == "/"


@pytest.mark.parametrize("text", ["", "1:0708", "129:00"])
def test_a_handle_is_written_and_read(text: str) -> None:
    handle = Handle.parse(text)
    assert ("" if handle is None else str(handle)) == text


@pytest.mark.skipif(os.geteuid() != 0, reason="opening by handle needs CAP_DAC_READ_SEARCH")
def test_a_handle_leads_to_a_renamed_directory_and_not_to_its_successor(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    found = old.stat()
    identity = Identity(found.st_dev, found.st_ino)
    descriptor = os.open(old, os.O_PATH)
    handle = handle_of(descriptor)
    os.close(descriptor)
    if handle is None:
        pytest.skip("this file system has no handles")
    old.rename(tmp_path / "new")
    again = open_again(handle, identity, str(old))
    assert again is not None
    assert kernel.path_of(again) == str(tmp_path / "new")
    os.close(again)
    (tmp_path / "new").rmdir()
    old.mkdir()
    with pytest.raises(GoneError):
        open_again(handle, identity, str(old))


@pytest.mark.skipif(os.geteuid() != 0, reason="opening by handle needs CAP_DAC_READ_SEARCH")
def test_nothing_is_proven_where_the_file_system_is_not_mounted() -> None:
    """Promise 2: not found is not gone."""
    assert open_again(Handle(1, b"\x01" * 8), Identity(os.makedev(250, 77), 5), "/no/such/place") is None


def test_what_was_in_memory_is_gone_with_its_last_mount() -> None:
    """Its pair is free then: nothing carries it any more."""
    handle, identity = Handle(1, b"\x01" * 8), Identity(os.makedev(250, 77), 5)
    for file_system in ("tmpfs", "ramfs"):
        with pytest.raises(GoneError):
            open_again(handle, identity, "/no/such/place", file_system)
    assert open_again(handle, identity, "/no/such/place", "ext4") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="opening by handle needs CAP_DAC_READ_SEARCH")
def test_a_file_system_mounted_elsewhere_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 2: after a reboot the number may be another one's, which knows no such handle."""
    gone = tmp_path / "gone"
    gone.mkdir()
    identity = Identity(gone.stat().st_dev, gone.stat().st_ino)
    descriptor = os.open(gone, os.O_PATH)
    handle = handle_of(descriptor)
    os.close(descriptor)
    if handle is None:
        pytest.skip("this file system has no handles")
    gone.rmdir()
    monkeypatch.setattr(handles, "_places_on", lambda device, path: iter([str(tmp_path)]))
    assert open_again(handle, identity, "/srv/elsewhere") is None
    with pytest.raises(GoneError):
        open_again(handle, identity, str(gone))
