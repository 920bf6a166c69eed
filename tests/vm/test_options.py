"""What guest a script gets: the options in its head, and the kernel line they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import command, levels
from tests.vm.cache import HarnessError
from tests.vm.image import KERNEL_LINE
from tests.vm.qemu import Snapshots
from tests.vm.test_scripts import OWN, policies

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.sh"))


def test_a_script_names_its_guest_in_its_head(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(
        '#!/bin/bash\n# guest: --no-install --boot "selinux=0 quiet"\n' + "#\n" * 20 + "# guest: --shell\n"
    )
    options = command.parser().parse_args([*command.head_of(script, "guest"), str(script)])
    assert options.no_install and options.boot == "selinux=0 quiet" and not options.shell


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_asks_for_what_there_is(script: Path) -> None:
    options = command.parser().parse_args([*command.head_of(script, "guest"), str(script)])
    uses = "packages.sh" in script.read_text() and "install_release" in script.read_text()
    assert options.packages == uses


def test_scripts_run_on_policies_that_there_are() -> None:
    known = {OWN, *(path.stem for path in levels.POLICIES.glob("*.cil"))}
    for script in SCRIPTS:
        usual, long = policies(script, long=False), policies(script, long=True)
        assert usual or long
        assert {*usual, *long} <= known
        assert not set(usual) & set(long)


def test_a_policy_that_there_is_not_is_refused(tmp_path: Path) -> None:
    below = levels.Level(tmp_path, tmp_path, Snapshots("tcg"), (), "")
    with pytest.raises(HarnessError, match="no policy 'none-such'"):
        levels._varied(below, levels.Guest(policy="none-such"))


def test_a_word_takes_the_place_of_the_one_with_its_key() -> None:
    assert levels._kernel_line("root=/dev/vda rw", []) == f"root=/dev/vda rw {KERNEL_LINE}"
    words = levels._kernel_line("root=/dev/vda", ["selinux=0", "mitigations=off"]).split()
    assert words[0] == "root=/dev/vda"
    assert words[-2:] == ["selinux=0", "mitigations=off"]
    assert "selinux=1" not in words and "enforcing=1" in words
