"""`mcsctl run` up to the point where it becomes the command; what follows is in tests/host and the guest."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from mcsd.cli.arguments import parse
from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.run import LEVEL, Execution, RunOptions, run
from mcsd.cli.text import Screen
from mcsd.core.containers import ContainerId
from mcsd.core.volumes import ClaimMode, ClaimState
from mcsd.errors import ConflictError
from tests.fakes.service import NOW, FakeService, quiet_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

ID = ContainerId("run-" + "7" * 32)


class _ExecutedError(Exception):
    """Where a real process would be the command's from."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    scene = quiet_scene()
    grant = scene.container("build", "s0:c82,c83")
    found, seen, error = scene.containers[-1]
    scene.containers[-1] = replace(found, id=ID), seen, error
    scene.grants[-1] = replace(scene.grants[-1], container=ID)
    scene.claim(
        grant, "/etc", "/etc", mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED, reason="it is protected"
    )
    with settled(), serving(FakeService(scene), tmp_path / "s") as running:
        yield running


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    monkeypatch.delenv(LEVEL, raising=False)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    os.environ.pop(LEVEL, None)


def attempt(
    served: Served, options: RunOptions, *, context_error: OSError | None = None, error: OSError | None = None
) -> tuple[list[object], str]:
    """Run until the command would be executed; give what was done on the way, and what was said."""
    done: list[object] = []
    said = io.StringIO()

    def set_context(context: str) -> None:
        if context_error is not None:
            raise context_error
        done.append(context)

    def execute(program: str, command: list[str]) -> NoReturn:
        done.append((program, command, os.environ[LEVEL], signal.getsignal(signal.SIGPIPE)))
        raise error or _ExecutedError

    with pytest.raises(_ExecutedError if error is None and context_error is None else CtlError) as caught:
        run(
            options,
            Client(served.path),
            served.path,
            Screen.of(said, {}, NOW),
            Execution(set_context, execute),
        )
    if isinstance(caught.value, CtlError):
        done.append(caught.value)
    return done, said.getvalue()


def test_the_context_is_set_before_the_volumes_are_waited_for(served: Served) -> None:
    done, said = attempt(served, RunOptions(["make", "all"], name="build"))
    assert served.service.done == ["run build make all", f"start {ID}"]
    assert done == [
        "system_u:system_r:container_t:s0:c82,c83",
        ("make", ["make", "all"], "s0:c82,c83", signal.SIG_DFL),
    ]
    assert "mcsctl: left alone: /etc: it is protected\n" in said


def test_a_domain_of_its_own_is_asked_for(served: Served) -> None:
    done, _ = attempt(served, RunOptions(["true"], domain="spc_t"))
    assert done[0] == "system_u:system_r:spc_t:s0:c82,c83"


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (errno.ENOENT, Exit.NO_PROGRAM, "there is no program 'make'"),
        (errno.EACCES, Exit.NOT_EXECUTED, "'make' cannot be executed at its level: permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed_has_the_status_that_shells_give_it(
    served: Served, number: int, status: Exit, says: str
) -> None:
    done, _ = attempt(served, RunOptions(["make"]), error=OSError(number, os.strerror(number)))
    failure = done[-1]
    assert isinstance(failure, CtlError)
    assert (failure.status, failure.what) == (status, says)
    assert failure.hint


def test_a_process_that_may_set_no_context_is_told_so(served: Served) -> None:
    done, _ = attempt(served, RunOptions(["true"]), context_error=PermissionError(13, "Permission denied"))
    failure = done[-1]
    assert isinstance(failure, CtlError) and "may execute nothing as" in failure.what
    assert served.service.done == ["run  true"], "no volume is waited for"


def test_what_mcsd_refuses_is_not_executed(served: Served) -> None:
    served.service.refuses_runs = ConflictError("the name is taken", hint="take another")
    with pytest.raises(CtlError, match="the name is taken") as refused:
        run(
            RunOptions(["true"]),
            Client(served.path),
            served.path,
            Screen.of(io.StringIO(), {}, NOW),
            Execution(),
        )
    assert refused.value.status is Exit.REFUSED


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/srv/a", ("/srv/a", "")),
        ("/srv/a:shared", ("/srv/a", "shared")),
        ("a", ("a", "")),
        ("/srv/a:b/c", ("/srv/a:b/c", "")),
        ("/srv/a:b:ignore", ("/srv/a:b", "ignore")),
    ],
)
def test_a_volume_is_a_path_and_perhaps_a_mode(text: str, volume: tuple[str, str]) -> None:
    assert parse(["run", "--volume", text, "--", "true"]).volume == (volume,)


@pytest.mark.parametrize("text", ["/srv/a:rw", "/srv/a:", ":shared"])
def test_any_other_mode_is_wrong_usage(text: str) -> None:
    with pytest.raises(CtlError) as wrong:
        parse(["run", "--volume", text, "--", "true"])
    assert wrong.value.status is Exit.USAGE


def test_the_command_s_arguments_are_its_own() -> None:
    words = ["sh", "-c", "", "--json", "--", "x"]
    parsed = parse(["run", "--name", "build", "--json", "--", *words])
    assert (parsed.command_line, parsed.name, parsed.json) == (tuple(words), "build", True)
    with pytest.raises(CtlError):
        parse(["run", "--name", "build"])
