"""Stories in TAP: what counts as success, and the shell's half against the reader's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.vm import tap

LIBRARY = Path(__file__).parent / "tap.sh"


def tell(script: str) -> tuple[int, tap.Story]:
    done = subprocess.run(
        ["bash", "-euc", f'. "{LIBRARY}"\n{script}'], capture_output=True, text=True, check=False
    )
    return done.returncode, tap.read(done.stdout)


def test_a_story_that_holds_shows_each_command_and_its_output() -> None:
    status, story = tell('ok "it prints" echo "hello there"; says "it says" "^h.llo" echo hello; plan 2')
    assert (status, story.complaints()) == (0, [])
    assert story.claims[0].shown == ("# $ echo hello\\ there", "# hello there")


def test_a_claim_that_fails_is_told_with_its_output_and_the_rest_goes_on() -> None:
    status, story = tell('ok "no" sh -c "echo why; exit 4"; not "yes" false; refused "no" x true; plan')
    assert status == 1
    assert [claim.holds for claim in story.claims] == [False, True, False]
    assert "# why" in story.claims[0].shown
    assert "# exit status 4" in story.claims[0].shown


def test_a_claim_that_fails_is_told_with_what_the_story_shows_of_failures() -> None:
    status, story = tell('on_failure() { echo "the journal says"; }; ok "yes" true; ok "no" false; plan')
    assert status == 1
    assert ["# the journal says" in claim.shown for claim in story.claims] == [False, True]


def test_a_story_without_its_end_is_no_success() -> None:
    assert tap.read("ok 1 - a\n").complaints() == [
        "the script ended without a plan: it did not come to its end"
    ]
    assert tap.read("ok 1 - a\n1..2\n").complaints() == ["planned 2 claims, made 1"]
    assert tap.read("1..0\n").complaints() == ["nothing was claimed"]
    assert tap.read("ok 1 - a\nok 3 - b\n1..2\n").complaints()


def test_a_plan_that_is_not_kept_fails_the_script() -> None:
    status, story = tell('ok "a" true; plan 2')
    assert status == 1
    assert story.planned == 1
