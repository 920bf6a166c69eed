"""What `tests/vm/run` promises to whoever calls it, with guests that have no mcsd in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RUN), *map(str, arguments)], capture_output=True, text=True, errors="replace", check=False
    )


@pytest.mark.vm
def test_status_output_arguments_and_files(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(
        '#!/bin/sh\necho "got $1 and $2"; echo aside >&2; cat brought /srv/there\n'
        'printf "%s" back > result; mkdir -p /srv/tree/below; echo deep > /srv/tree/below/file; exit 7\n'
    )
    (tmp_path / "brought").write_text("one\n")
    (tmp_path / "other").write_text("two\n")
    done = run(
        script, "--no-install", "--put", tmp_path / "brought", "--put", f"{tmp_path / 'other'}:/srv/there",
        "--get", f"result:{tmp_path / 'fetched'}", "--get", f"/srv/tree:{tmp_path / 'tree'}",
        "--", "a b", "c",
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "aside", "got a b and c", "one", "two"]
    assert (tmp_path / "fetched").read_text() == "back"
    assert (tmp_path / "tree/below/file").read_text() == "deep\n"


@pytest.mark.vm
def test_a_script_out_of_time_is_ended_and_each_run_starts_afresh(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n[ ! -e /srv/mark ] || exit 3\ntouch /srv/mark; sync; sleep 600\n")
    for _ in range(2):
        done = run(script, "--no-install", "--timeout", "10")
        assert done.returncode == 124, done.stdout + done.stderr


@pytest.mark.vm
def test_a_guest_that_dies_is_the_harness_s_failure(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo before; echo b > /proc/sysrq-trigger; sleep 60\n")
    done = run(script, "--no-install", "--timeout", "60")
    assert done.returncode == 125
    assert "the guest ended" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        ([], "nothing to do", 2),
        (["/nonexistent/script"], "there is no script", 125),
        (["--prepare", "--rootfs", "/nonexistent"], "no root tree with SELinux", 125),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], says: str, status: int) -> None:
    done = run(*arguments)
    assert done.returncode == status
    assert says in done.stderr
