"""The whole daemon's answers are as its OpenAPI document says, with real containers, volumes and refusals."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.socket_api import document_of, hold_to_its_word, session_at
from tests.host.dockerd import Dockerd
from tests.host.mcsd_process import McsdProcess, wait_for

pytestmark = pytest.mark.host

EXAMPLES = 6


@pytest.fixture
def mcsd(dockerd: Dockerd) -> Iterator[McsdProcess]:
    place = Path(tempfile.mkdtemp(prefix="mcsd-api-", dir="/var/tmp"))
    process = McsdProcess(place, dockerd.url, extra='[booleans]\ndocker_connect_any = "lease"\n')
    try:
        yield process
    finally:
        process.end()
        shutil.rmtree(place)


def test_every_operation_keeps_its_word(mcsd: McsdProcess, dockerd: Dockerd) -> None:
    mcsd.start()
    tree = mcsd.tree("one")
    dockerd.create(f"--volume={tree}:/data", name="one")
    dockerd.run("start", "one")
    dockerd.create(f"--volume={tree}:/data", name="clash")
    dockerd.create("--volume=/etc:/data", name="refused")
    mcsd.ctl("reserve", "nightly", "--group", "shop")
    wait_for(lambda: len(mcsd.ask("containers")["items"]) == 3, "the look at all")
    with session_at(str(mcsd.socket)) as session:
        document = document_of(session)
        for path, operations in document["paths"].items():
            for method in operations:
                hold_to_its_word(session, document, method.upper(), path, mode="positive", examples=EXAMPLES)
    assert "unforeseen failure" not in mcsd.log()
    assert mcsd.end() == 0
