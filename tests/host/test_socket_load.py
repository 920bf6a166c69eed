"""The whole daemon while others hold a thousand connections: readers are served, and volumes are labelled.

How long that takes is measured by `tests.bench.socket_load`; here it is enough that it happens.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.socket_load import helper
from tests.host.dockerd import Dockerd
from tests.host.mcsd_process import McsdProcess, label_of, labels_below, wait_for

pytestmark = pytest.mark.host


@pytest.fixture
def mcsd(dockerd: Dockerd) -> Iterator[McsdProcess]:
    place = Path(tempfile.mkdtemp(prefix="mcsd-load-", dir="/var/tmp"))
    process = McsdProcess(place, dockerd.url)
    try:
        yield process
    finally:
        process.end()
        shutil.rmtree(place)


@pytest.mark.parametrize("kind", ["idle", "drip"])
def test_a_thousand_connections_keep_no_reader_out_and_no_volume_waiting(
    mcsd: McsdProcess, dockerd: Dockerd, kind: str
) -> None:
    """Whoever may connect is no friend: it must not matter to containers what they do with it."""
    tree = mcsd.tree("one", files=200)
    mcsd.start()
    with helper("crowd", str(mcsd.socket), kind):
        for _ in range(10):
            done = mcsd.ctl("status")
            assert done.returncode == 0, done.stderr
        dockerd.create(f"--volume={tree}:/data", name="one")
        wait_for(lambda: label_of(tree), "the walk, while the crowd is there")
        done = mcsd.ctl("wait", "--timeout", "30", "one")
        assert done.returncode == 0, done.stderr + mcsd.log()
        level = mcsd.ask("show", "one")["level"]
        assert set(labels_below(tree).values()) == {f"system_u:object_r:svirt_sandbox_file_t:{level}"}
        assert 'mcsd_containers{isolation="not_isolated"}' in _metrics(mcsd)
    assert mcsd.end() == 0, mcsd.log()


def _metrics(mcsd: McsdProcess) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(mcsd.socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()
