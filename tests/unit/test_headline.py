"""Promise 8: the one line that `systemctl status` shows says what the host lacks, and what to do."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.api.reports.status import headline
from mcsd.app.main import EX_CONFIG, main
from mcsd.core.containers import EngineInfo
from mcsd.core.host import SelinuxStatus
from mcsd.core.selinux_state import SelinuxState, findings
from mcsd.core.snapshot import Snapshot
from tests.fakes.world import ENFORCING, World, with_world

DOCKER = EngineInfo(True, "26.1.5", "1.45", "/var/lib/docker", "runc")


def standing(
    status: SelinuxStatus = ENFORCING,
    engine: EngineInfo | None = DOCKER,
    *,
    error: str = "",
    file_type: str = "",
) -> Snapshot:
    pictures: list[Snapshot] = []

    async def story(world: World) -> None:
        pictures.append(world.mcsd.facade.standing())

    with_world(story)
    ground = SelinuxState(status, file_type_error=file_type)
    host = replace(pictures[0].host, selinux=status, engines={"docker": engine} if engine else {})
    errors = {"docker": (error, "")} if error else {}
    return replace(pictures[0], host=host, engine_errors=errors, findings=findings(ground))


def test_a_host_that_lacks_nothing() -> None:
    line = headline(standing())
    assert line == (
        "SELinux: enforcing, policy targeted, with categories; Docker: 26.1.5, labels containers; "
        "Ledger: written; 0 levels held"
    )


@pytest.mark.parametrize(
    ("snapshot", "says", "hint"),
    [
        (
            {"status": replace(ENFORCING, enabled=False, enforcing=False, mls=False)},
            "SELinux is disabled in the kernel",
            "SELINUX=enforcing",
        ),
        ({"status": replace(ENFORCING, enforcing=False)}, "SELinux is permissive", "setenforce 1"),
        ({"status": replace(ENFORCING, mls=False)}, "the loaded policy has no categories", "targeted"),
        ({"file_type": "no type 'container_file_t'"}, "volumes cannot be labelled", "container-selinux"),
        ({"engine": None, "error": "docker is not there"}, "docker is not there", "systemctl status docker"),
        ({"engine": None}, "Docker: has not answered yet", "systemctl status docker"),
        ({"engine": replace(DOCKER, selinux=False)}, "does not label containers", '"selinux-enabled": true'),
    ],
)
def test_what_a_host_lacks_is_one_line(snapshot: dict[str, object], says: str, hint: str) -> None:
    line = headline(standing(**snapshot))  # type: ignore[arg-type]
    assert says in line.split(" (next: ")[0] and hint in line.split(" (next: ")[1]
    assert "\n" not in line and "Ledger" not in line


def test_the_worst_comes_first() -> None:
    line = headline(standing(replace(ENFORCING, enforcing=False), None))
    assert line.index("SELinux") < line.index("Docker") and "setenforce 1" in line


def test_who_declines_says_so_to_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mcsd.toml").write_text("[docker]\nurn = 1\n", encoding="utf-8")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert main(["--config", str(tmp_path / "mcsd.toml"), "--state", os.fspath(tmp_path)]) == EX_CONFIG
        said = listener.recv(4096).decode()
    assert said.startswith("STATUS=") and "urn" in said and "\n" not in said
