"""Every script in `scripts/` is one run in a guest where SELinux enforces, and every claim it makes holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.conftest import Runner

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.sh"))


@pytest.mark.vm
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_claim_holds(guest: Runner, script: Path) -> None:
    guest(script)
