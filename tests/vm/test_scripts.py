"""Every script in `scripts/` is one run in a guest where SELinux enforces, and every claim it makes holds.

A script that is to hold on more than the guest's own policy says so in its head, `# policies: debian NAME…`:
it runs once for each, `debian` being the guest's own and NAME one of `policies/`. What takes minutes and is
told in part by others names policies in `# long policies: NAME…`: those runs are `make test-long`'s.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm.command import head_of
from tests.vm.conftest import Runner

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.sh"))
OWN = "debian"
LONG = bool(os.environ.get("MCSD_LONG_POLICIES"))


def policies(script: Path, *, long: bool = LONG) -> list[str]:
    """Return the policies that a script is to hold on, in `make test` or in `make test-long`."""
    apart = head_of(script, "long policies")
    return apart if long else head_of(script, "policies") or ([] if apart else [OWN])


RUNS = sorted(
    ((script, policy) for script in SCRIPTS for policy in policies(script)),
    # What is translated takes longest: the others run beside it.
    key=lambda run: "--own-kernel" not in head_of(run[0], "guest"),
)


@pytest.mark.vm
@pytest.mark.parametrize(
    ("script", "policy"), RUNS, ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_every_claim_holds(guest: Runner, script: Path, policy: str) -> None:
    guest(script, *([] if policy == OWN else ["--policy", policy]))
