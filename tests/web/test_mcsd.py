"""The page on a real mcsd and a real Docker: what it shows is what they do, through kills and restarts."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.dockerd import Dockerd, running_dockerd
from tests.host.mcsd_process import McsdProcess
from tests.web.browser import Browser
from tests.web.console import Console, running_console

pytestmark = pytest.mark.host

HOSTILE = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Dockerd]:
    with running_dockerd(Path(tempfile.mkdtemp(prefix="mcsd-dockerd-"))) as daemon:
        yield daemon


@pytest.fixture
def mcsd(dockerd: Dockerd) -> Iterator[McsdProcess]:
    place = Path(tempfile.mkdtemp(prefix="mcsd-web-", dir="/var/tmp"))
    process = McsdProcess(
        place, dockerd.url, extra="[watch]\ndirectories = 0\n"
    )  # or it is put right at once
    (place / "run").mkdir()
    process.socket = place / "run/mcsd.sock"
    try:
        yield process
    finally:
        process.end()
        dockerd.remove_containers()
        shutil.rmtree(place)


@pytest.fixture
def console(mcsd: McsdProcess) -> Iterator[Console]:
    top = mcsd.root / "console"
    top.mkdir()
    with running_console(top, mcsd.root / "run") as running:
        yield running


def test_containers_come_and_go_on_the_page_and_mcsd_is_killed_meanwhile(
    mcsd: McsdProcess, dockerd: Dockerd, console: Console, browser: Browser
) -> None:
    mcsd.start()
    browser.size(1440)
    browser.open(console.url)
    browser.wait_for("There is no SELinux in the kernel")
    browser.wait_for("There are no containers.")
    tree = mcsd.tree(HOSTILE)
    dockerd.create(f"--volume={tree}:/data", name="web")
    dockerd.run("start", "web")
    browser.wait_for("0 of 1 running containers are isolated")
    browser.click("web")
    browser.wait_for(f"{tree}")
    browser.wait_for("labels are written with no SELinux in the kernel")
    browser.wait_for("volume-labelled")

    os.setxattr(tree / "f0", "security.selinux", b"system_u:object_r:var_t:s0\0")
    browser.click("Verify")
    browser.wait_for(f"{tree}: 1 differ")
    browser.click("Verify and repair", within="main")
    browser.click("Verify and repair", within="dialog")
    browser.wait_for("everything agrees")

    browser.go("#/map")
    browser.wait_for("Nothing is held apart on this host")
    browser.wait_for("Alone behind their walls")
    mcsd.end(signal.SIGKILL)
    browser.wait_for("mcsd does not answer")
    dockerd.run("rm", "-f", "web")
    mcsd.start()
    browser.wait(lambda: "does not answer" not in browser.text(), "mcsd's return")
    browser.wait(lambda: "Alone behind their walls" not in browser.text(), "the container's end on the map")
    browser.go("#/container/web")
    browser.wait_for("There is no such container")
    assert browser.run("return window.hacked") is None
    browser.open("about:blank")
    assert mcsd.end() == 0, mcsd.log()
