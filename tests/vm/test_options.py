"""What guest a script gets: the options in its head, and the kernel line they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import command, levels
from tests.vm.image import KERNEL_LINE

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.sh"))


def test_a_script_names_its_guest_in_its_head(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(
        '#!/bin/bash\n# guest: --no-install --boot "selinux=0 quiet"\n' + "#\n" * 20 + "# guest: --shell\n"
    )
    options = command.parser().parse_args([*command._asked_by(script), str(script)])
    assert options.no_install and options.boot == "selinux=0 quiet" and not options.shell


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_asks_for_what_there_is(script: Path) -> None:
    options = command.parser().parse_args([*command._asked_by(script), str(script)])
    uses = "packages.sh" in script.read_text() and "install_release" in script.read_text()
    assert options.packages == uses


def test_a_word_takes_the_place_of_the_one_with_its_key() -> None:
    assert levels._kernel_line([]) == KERNEL_LINE
    words = levels._kernel_line(["selinux=0", "mitigations=off"]).split()
    assert words[-2:] == ["selinux=0", "mitigations=off"]
    assert "selinux=1" not in words and "enforcing=1" in words
