"""The daemon as a process against a real dockerd: the main job, kills, and what is wrong at the start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.dockerd import Dockerd
from tests.host.mcsd_process import McsdProcess, label_of, labels_below, wait_for

pytestmark = pytest.mark.host


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mcsd-host-", dir="/var/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def mcsd(place: Path, dockerd: Dockerd) -> Iterator[McsdProcess]:
    process = McsdProcess(place, dockerd.url)
    try:
        yield process
    finally:
        process.end()


def level_of(mcsd: McsdProcess, name: str) -> str:
    return str(mcsd.ask("show", name)["level"])


def ready(mcsd: McsdProcess, name: str) -> str:
    done = mcsd.ctl("wait", "--timeout", "30", name)
    assert done.returncode == 0, done.stderr + mcsd.log()
    return level_of(mcsd, name)


def test_the_main_job(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    one, two = mcsd.tree("one"), mcsd.tree("two")
    before = labels_below(one), labels_below(two)
    mcsd.start()
    for name, path in (("one", one), ("two", two)):
        dockerd.create(f"--volume={path}:/data", name=name)
        dockerd.run("start", name)
    levels = [ready(mcsd, name) for name in ("one", "two")]
    assert levels[0] != levels[1]
    for path, level in ((one, levels[0]), (two, levels[1])):
        assert set(labels_below(path).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{level}"}
    shown = mcsd.ask("show", "one")
    assert shown["isolated"] is False, "promise 8: no kernel enforces here"
    dockerd.run("restart", "-t", "0", "one")
    assert ready(mcsd, "one") == levels[0]
    dockerd.remove_containers()
    wait_for(lambda: mcsd.ask("pairs")["items"] == [], "the pairs' return")
    assert (labels_below(one), labels_below(two)) == before, "promise 6"
    assert mcsd.end() == 0, mcsd.log()


@pytest.mark.parametrize("round_number", range(4))
def test_kill_9_in_the_middle_of_a_walk(mcsd: McsdProcess, dockerd: Dockerd, round_number: int) -> None:
    """Promises 3, 6 and 7: the walk is finished after the restart, and undo is still exact."""
    tree = mcsd.tree("big", files=6000)
    os.setxattr(tree / "f7", "security.selinux", b"system_u:object_r:etc_runtime_t:s0\0")
    before = labels_below(tree)
    mcsd.start()
    dockerd.create(f"--volume={tree}:/data", name="big")
    if round_number:
        wait_for(lambda: label_of(tree / f"f{1500 * round_number}"), "the walk")
    mcsd.end(signal.SIGKILL)
    mcsd.start()
    level = ready(mcsd, "big")
    assert set(labels_below(tree).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{level}"}
    dockerd.run("rm", "big")
    wait_for(lambda: label_of(tree) is None, "the root's return")
    mcsd.end(signal.SIGKILL)
    mcsd.start()
    wait_for(lambda: mcsd.ask("pairs")["items"] == [], "the pair's return")
    assert labels_below(tree) == before


def test_verify_tells_and_mends_what_others_did_to_the_labels(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    """Promises 6 and 8: as `restorecon -RF` and a backup program leave a volume."""
    tree = mcsd.tree("one")
    before = labels_below(tree)
    mcsd.config.write_text(
        f"{mcsd.config.read_text()}\n[watch]\ndirectories = 0\n"
    )  # or it is put right at once
    mcsd.start()
    dockerd.create(f"--volume={tree}:/data", name="one")
    level = ready(mcsd, "one")
    assert mcsd.ctl("verify").returncode == 0
    os.setxattr(tree / "f0", "security.selinux", b"system_u:object_r:var_t:s0\0")
    os.removexattr(tree / "f1", "security.selinux")
    os.setxattr(tree, "security.selinux", b"system_u:object_r:var_t:s0\0")
    for target in ([], ["one"], [str(tree)]):
        told = mcsd.ctl("verify", *target)
        assert told.returncode == 1, told.stdout
        assert "3 of 4 inodes do not carry" in told.stdout
        assert "hint: mcsctl verify --repair" in told.stderr
    mended = mcsd.ctl("verify", "--repair")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "3 of them mended" in mended.stdout
    assert set(labels_below(tree).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{level}"}
    dockerd.run("rm", "-f", "one")
    wait_for(lambda: mcsd.ask("pairs")["items"] == [], "the pair's return")
    after = labels_below(tree)
    assert after["f2"] == before["f2"]
    assert after["f0"] == "system_u:object_r:var_t:s0", "what somebody put there since is the original now"


def test_docker_goes_and_comes_back(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    """Promise 7."""
    tree = mcsd.tree("one")
    mcsd.start()
    dockerd.stop()
    wait_for(lambda: "cannot be reached" in mcsd.log(), "the complaint")
    assert "Docker" in mcsd.ctl("status").stdout
    dockerd.start()
    dockerd.create(f"--volume={tree}:/data", name="one")
    wait_for(lambda: mcsd.ctl("show", "one").returncode == 0, "the look at the container")
    ready(mcsd, "one")


def refused(mcsd: McsdProcess, dockerd: Dockerd, source: str | Path, destination: str = "/data") -> str:
    """Have a container claim something, and give why mcsd does not label it."""
    dockerd.create(f"--volume={source}:{destination}", name="claims")
    wait_for(lambda: mcsd.ctl("show", "claims").returncode == 0, "the look")
    volumes = wait_for(lambda: mcsd.ask("show", "claims")["claims"], "the claim")
    return f"{volumes[0]['state']}: {volumes[0]['reason']} / {volumes[0]['hint']}"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("/", "is or contains the host's root"),
        ("/etc", "belongs to the operating system"),
        ("/root", "more than one service or person"),
        ("/usr/bin", "belongs to the operating system"),
        ("/proc/sys", "'proc' file system"),
        ("/dev/null", "device node"),
    ],
)
def test_what_must_not_be_labelled_is_left_alone_by_name(
    mcsd: McsdProcess, dockerd: Dockerd, source: str, says: str
) -> None:
    """Promise 10."""
    before = label_of(Path(source))
    mcsd.start()
    told = refused(mcsd, dockerd, source)
    assert told.startswith("unmanaged: ") and says in told, told
    assert label_of(Path(source)) == before
    assert "is left alone" in mcsd.log()


def test_a_symbolic_link_to_a_protected_place_does_not_fool_it(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    """Promises 5 and 10."""
    link = mcsd.volumes / "link"
    link.symlink_to("/etc")
    mcsd.start()
    told = refused(mcsd, dockerd, link)
    assert "belongs to the operating system" in told or "symbolic link" in told, told
    assert label_of(Path("/etc")) is None


def test_a_volume_that_vanished_is_reported_and_comes_back(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    """Promise 9."""
    tree = mcsd.tree("one")
    mcsd.start()
    dockerd.create(f"--volume={tree}:/data", name="one")
    ready(mcsd, "one")
    shutil.rmtree(tree)
    dockerd.run("rm", "one")
    wait_for(lambda: mcsd.ask("pairs")["items"] == [], "the pair's return: nothing carries it any more")


def test_a_file_can_be_a_volume(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    file = mcsd.volumes / "file"
    file.write_text("text")
    mcsd.start()
    dockerd.create(f"--volume={file}:/file", name="one")
    level = ready(mcsd, "one")
    assert label_of(file) == f"system_u:object_r:svirt_sandbox_file_t:{level}"


# --- what is wrong at the start ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[volumes]\nlingre = 3\n", "lingre"),
        ('[volumes]\nlinger = "soon"\n', "linger"),
        ("[docker]\nurl = 7\n", "docker.url"),
        ("[docker\n", "not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_78_with_file_key_and_hint(place: Path, text: str, says: str) -> None:
    mcsd = McsdProcess(place, "unix:///nowhere.sock")
    mcsd.config.write_text(text)
    for arguments in ((), ("--check-config",)):
        done = mcsd.run(*arguments)
        assert done.returncode == 78
        assert str(mcsd.config) in done.stderr and says in done.stderr and "hint: " in done.stderr


def test_a_configuration_that_is_not_there_is_78(place: Path) -> None:
    mcsd = McsdProcess(place, "unix:///nowhere.sock")
    mcsd.config.unlink()
    assert mcsd.run("--check-config").returncode == 78


@pytest.mark.parametrize("kind", ["missing", "directory", "nobody"])
def test_a_docker_socket_that_is_none_is_waited_for(place: Path, kind: str) -> None:
    path = place / "docker.sock"
    sock = socket.socket(socket.AF_UNIX)
    if kind == "directory":
        path.mkdir()
    elif kind == "nobody":
        sock.bind(str(path))  # nobody listens
    mcsd = McsdProcess(place, f"unix://{path}")
    try:
        mcsd.start()
        wait_for(lambda: "Docker cannot be reached" in mcsd.log(), "the complaint")
        status = mcsd.ask("status")
        assert status["engine"]["error"], status["engine"]
        assert mcsd.end() == 0
    finally:
        mcsd.end()
        sock.close()


def test_a_second_mcsd_on_one_ledger_is_told_so(place: Path) -> None:
    mcsd = McsdProcess(place, "unix:///nowhere.sock")
    try:
        mcsd.start()
        done = mcsd.run()
        assert done.returncode == 1 and "ledger" in done.stderr and "hint: " in done.stderr
    finally:
        mcsd.end()


def test_a_newer_ledger_is_left_as_it_is(place: Path) -> None:
    mcsd = McsdProcess(place, "unix:///nowhere.sock")
    mcsd.start()
    mcsd.end()
    path = place / "state" / "ledger.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 999")
    database.close()
    before = path.read_bytes()
    done = mcsd.run()
    assert done.returncode == 1 and "999" in done.stderr
    assert path.read_bytes() == before


def test_a_damaged_ledger_is_moved_aside_and_rebuilt(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    """Promises 2 and 6."""
    tree = mcsd.tree("one")
    mcsd.start()
    dockerd.create(f"--volume={tree}:/data", name="one")
    ready(mcsd, "one")
    mcsd.end(signal.SIGKILL)
    for name in ("ledger.db", "ledger.db-wal"):
        (mcsd.root / "state" / name).write_bytes(b"\xff" * 8192)
    mcsd.start()
    assert list((mcsd.root / "state").glob("ledger.db.damaged-*"))
    assert "damaged" in mcsd.log() and "found on disk" in mcsd.log()
    ready(mcsd, "one")
    dockerd.run("rm", "one")
    wait_for(lambda: label_of(tree) is None and mcsd.ask("pairs")["items"] == [], "the end")
    assert set(labels_below(tree).values()) == {None}
