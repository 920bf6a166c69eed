"""What the gate mounts again, on this machine's kernel: many layers, mounts with content, failures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.runtime.oci import mounts, syscalls
from mcsd.runtime.oci.mounts import MountInfo, carry, mounts_at

pytestmark = pytest.mark.host
LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory below which everything mounted is taken away at the end."""
    yield tmp_path
    for path in sorted(mounts_at(str(tmp_path), f"{tmp_path}/"), reverse=True):
        syscalls.unmount(path)


def overlay(place: Path, layers: int) -> tuple[Path, list[str]]:
    """Make layers as Docker's storage driver does; give where the overlay belongs, and its options."""
    own = place / "overlay2" / ("a" * 64)
    for name in ("diff", "work", "merged"):
        (own / name).mkdir(parents=True)
    names = []
    for number in range(layers):
        layer = place / "overlay2" / "l" / f"{number:026}"
        layer.mkdir(parents=True)
        (layer / f"from-{number}").write_text(str(number))
        names.append(f"l/{number:026}")
    options = [f"lowerdir={':'.join(names)}", f"upperdir={own}/diff", f"workdir={own}/work", "index=off"]
    return own / "merged", options


def mount(kind: str, path: Path, options: list[str], flags: list[str], base: Path) -> MountInfo:
    here = os.getcwd()
    os.chdir(base)
    try:
        syscalls.mount(kind, str(path), flags, options, "")
    finally:
        os.chdir(here)
    return mounts_at(str(path))[str(path)]


@pytest.mark.parametrize("layers", [1, 127])
def test_an_overlay_that_will_not_have_the_label_is_there_as_before(place: Path, layers: int) -> None:
    """Promise 9. Without SELinux in the kernel no file system takes `context=`."""
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("here it would take the label; the guest's scripts look at that")
    path, options = overlay(place, layers)
    mounted = mount("overlay", path, options, ["nodev"], place / "overlay2")
    (path / "new").write_text("kept")
    assert mounted.obstacle == ""
    with pytest.raises(OSError, match="cannot be mounted with another level"):
        carry(mounted, LABEL)
    again = mounts_at(str(path))[str(path)]
    assert (again.kind, again.flags, again.options) == (mounted.kind, mounted.flags, mounted.options)
    assert (path / "new").read_text() == "kept" and (path / f"from-{layers - 1}").exists()


def test_a_volatile_overlay_can_be_mounted_again(place: Path) -> None:
    """Podman mounts so for `--rm`, and the kernel refuses another mount until its mark is gone."""
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("here it would take the label; the guest's scripts look at that")
    path, options = overlay(place, 2)
    mounted = mount("overlay", path, [*options, "volatile"], ["nodev"], place / "overlay2")
    (path / "new").write_text("kept")
    with pytest.raises(OSError, match="cannot be mounted with another level"):
        carry(mounted, LABEL)
    assert (path / "new").read_text() == "kept", "it is there as before: mounted twice since"
    assert {"volatile", "fsync=volatile"} & set(mounts_at(str(path))[str(path)].options)


def test_layers_that_do_not_fit_a_page_are_given_one_by_one(place: Path) -> None:
    """127 of them are what Docker allows."""
    path, options = overlay(place, 127)
    long = [*options, f"redirect_dir={'nofollow'}", *["volatile"] * 60]
    assert len(",".join(long)) > 4096
    mounted = mount("overlay", path, long, [], place / "overlay2")
    assert sum(name.startswith("from-") for name in os.listdir(path)) == 127
    assert mounted.obstacle == "", "the kernel tells of its layers in another way, which is understood too"
    layers = [one for one in mounted.options if one.startswith(("lowerdir=", "lowerdir+="))]
    assert sum(len(one.split(":")) for one in layers) == 127


def test_what_is_in_a_tmpfs_is_in_the_next_one(place: Path) -> None:
    """Swarm's secrets and configs."""
    path = place / "secrets"
    path.mkdir()
    flags = ["nosuid", "nodev", "noexec"]
    mount("tmpfs", path, ["size=64k", "mode=700"], flags, place)
    (path / "one").write_bytes(b"s3cr3t" * 1000)
    (path / "none").touch(mode=0o400)
    os.chown(path / "one", 7, 8)
    (path / "one").chmod(0o440)
    syscalls.mount("tmpfs", str(path), [*flags, "ro", "remount"], [], "")
    before = mounts_at(str(path))[str(path)]
    mounts._carry_tmpfs(before, "")
    after = mounts_at(str(path))
    assert len([one for one in _lines() if f" {path} " in one]) == 1, "one mount, not two over each other"
    assert sorted(after[str(path)].flags) == sorted(before.flags) and "ro" in after[str(path)].options
    status = (path / "one").stat()
    assert (path / "one").read_bytes() == b"s3cr3t" * 1000 and (path / "none").read_bytes() == b""
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (7, 8, 0o440)
    with pytest.raises(OSError, match="Read-only"):
        (path / "one").write_text("")


def test_what_cannot_be_copied_stays_where_it_is(place: Path) -> None:
    path = place / "shm"
    path.mkdir()
    mounted = mount("tmpfs", path, [], [], place)
    (path / "directory").mkdir()
    with pytest.raises(OSError, match="is not a regular file"):
        mounts._carry_tmpfs(mounted, "")
    assert (path / "directory").is_dir()


def test_a_file_system_says_what_it_will_not_have(place: Path) -> None:
    with pytest.raises(OSError, match="nonsense"):
        syscalls.detached("overlay", [], ["nonsense=1"], "")


def test_docker_unmounts_what_the_gate_has_mounted(place: Path) -> None:
    path, options = overlay(place, 2)
    mount("overlay", path, options, [], place / "overlay2")
    subprocess.run(["umount", str(path)], check=True)
    assert mounts_at(str(path)) == {}


def _lines() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()
