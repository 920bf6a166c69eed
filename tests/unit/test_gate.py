"""The gate program: what it takes apart, what it passes on untouched, what it tells Docker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd import gate
from mcsd.oci.bundle import FORMER

ID = "f" * 64
PROGRAM = [("/usr/bin/python3"), "-IS", gate.__file__]


def call(*words: str) -> gate.Call:
    return gate.Call(list(words))


def test_a_call_is_taken_apart() -> None:
    one = call(
        *("--root", "/run/runc", "--log=/l", "--log-format", "json", "--systemd-cgroup"),
        *("create", "--bundle", "/b", "--pid-file", "/p", ID),
    )
    assert (one.command, one.container) == ("create", ID)
    assert one.option("--bundle", "-b") == "/b" and one.option("--log") == "/l"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)))
def test_whatever_is_passed_on_is_passed_on_as_it_came(words: list[str]) -> None:
    theirs = [word for word in words if word.partition("=")[0] not in gate._OURS]
    assert call(*theirs).passed == theirs
    assert call("--mcsd-runtime", "/x", *theirs).passed == theirs
    assert call("--mcsd-runtime=/x", *theirs).passed == theirs


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A runtime that writes down how it was called, and leaves with 7."""
    path = tmp_path / "runtime"
    path.write_text(
        "#!/usr/bin/python3 -IS\nimport os, sys, json, _signal\n"
        f"open({str(tmp_path / 'called')!r}, 'w').write(json.dumps([sys.argv[1:], os.getcwd(),"
        " os.environ.get('MARK'), os.path.exists('/proc/self/fd/' + os.environ['KEPT'])]))\nsys.exit(7)\n"
    )
    path.chmod(0o755)
    return path


def run(runtime: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        return subprocess.run(
            [*PROGRAM, f"--mcsd-runtime={runtime}", *words],
            cwd=runtime.parent,
            env={**os.environ, **environment, "KEPT": str(descriptor)},
            pass_fds=[descriptor],
            text=True,
            capture_output=True,
            timeout=20,
        )
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("words", [["start", ID], ["features"], ["--version"], ["kill", ID, "9"], []])
def test_a_call_it_does_not_handle_is_a_plain_exec(runtime: Path, words: list[str]) -> None:
    done = run(runtime, *words, MARK="x")
    assert done.returncode == 7 and done.stderr == ""
    assert json.loads((runtime.parent / "called").read_text()) == [words, str(runtime.parent), "x", True]


def bundle_at(path: Path, **fields: Any) -> Path:
    path.mkdir()
    label = "system_u:system_r:container_t:s0:c1,c2"
    config = {"process": {"selinuxLabel": label}, "linux": {"mountLabel": label}, "root": {"path": "rootfs"}}
    (path / "config.json").write_text(json.dumps({**config, **fields}))
    return path


def create(runtime: Path, sock: Path, bundle: Path, *, log: Path) -> subprocess.CompletedProcess[str]:
    return run(
        runtime,
        *(f"--mcsd-socket={sock}", f"--mcsd-configuration={runtime.parent / 'etc'}"),
        *("--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle), ID),
    )


class Answering:
    """A daemon that gives one answer after the other, and the last one from then on."""

    def __init__(self, path: Path, *answers: bytes) -> None:
        self.asked: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._answers = list(answers)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # the end
            with connection:
                asked = b""
                while not asked.endswith(b"\n"):
                    asked += connection.recv(65536)
                self.asked.append(json.loads(asked))
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                connection.sendall(answer)


def line(**answer: object) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def test_a_refusal_ends_the_start_and_reaches_docker_s_log(runtime: Path, tmp_path: Path) -> None:
    bundle, log = bundle_at(tmp_path / "b"), tmp_path / "log.json"
    refusal = {"admitted": False, "reason": "volume /etc is refused", "hint": "use another"}
    with Answering(tmp_path / "s", json.dumps(refusal).encode() + b"\n") as daemon:
        done = create(runtime, tmp_path / "s", bundle, log=log)
    assert done.returncode == 1 and not (tmp_path / "called").exists()
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and entry["msg"] == "mcsd: volume /etc is refused; use another"
    (asked,) = daemon.asked
    assert asked["operation"] == "create" and asked["container"] == ID


def test_the_same_labels_leave_every_mount_as_it_is(runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b")
    label = "system_u:system_r:container_t:s0:c1,c2"
    answer = {"admitted": True, "process_label": label, "mount_label": label}
    with Answering(tmp_path / "s", json.dumps(answer).encode() + b"\n"):
        done = create(runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7, done.stderr


def test_a_root_that_is_not_an_overlay_is_said_to_be_none(runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b")
    (bundle / "rootfs").mkdir()
    with Answering(tmp_path / "s", line(admitted=True, warning="it keeps Docker's level")) as daemon:
        done = create(runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7 and "it keeps Docker's level" in done.stderr
    assert daemon.asked[0]["obstacle"] == f"nothing is mounted at {bundle}/rootfs"


@pytest.mark.parametrize("cuts", [1, 2])
def test_mcsd_may_be_restarted_while_it_is_asked(runtime: Path, tmp_path: Path, cuts: int) -> None:
    """Promise 7: systemd goes on listening for it, and the next connection waits there."""
    bundle = bundle_at(tmp_path / "b")
    with Answering(tmp_path / "s", *[b""] * cuts, line(admitted=True)) as daemon:
        done = create(runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7, done.stderr
    assert len(daemon.asked) == cuts + 1


def test_a_forged_note_of_former_labels_goes_at_the_start(runtime: Path, tmp_path: Path) -> None:
    """Whoever makes a container can annotate it (`docker run --annotation`)."""
    bundle = bundle_at(tmp_path / "b", annotations={FORMER: "u:r:t:s0", "mine": "stays"})
    with Answering(tmp_path / "s", line(admitted=True)):
        assert create(runtime, tmp_path / "s", bundle, log=tmp_path / "log").returncode == 7
    assert json.loads((bundle / "config.json").read_text())["annotations"] == {"mine": "stays"}


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"{"])
def test_without_an_answer_a_start_is_refused_by_default(
    runtime: Path, tmp_path: Path, answer: bytes
) -> None:
    """Promise 9."""
    bundle = bundle_at(tmp_path / "b")
    with Answering(tmp_path / "s", answer):
        done = create(runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 1 and "mcsd" in done.stderr
    assert not (tmp_path / "called").exists()


def test_without_mcsd_the_configuration_decides(runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b")
    (tmp_path / "etc" / "conf.d").mkdir(parents=True)
    for name, wanted, status in (("mcsd.toml", "start", 7), ("conf.d/x.toml", "refuse", 1)):
        (tmp_path / "etc" / name).write_text(f'[gate]\non_error = "{wanted}"\n')
        done = create(runtime, tmp_path / "none", bundle, log=tmp_path / "log")
        assert done.returncode == status, done.stderr


def test_a_container_that_docker_does_not_confine_is_passed_on(runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b", process={})
    assert create(runtime, tmp_path / "none", bundle, log=tmp_path / "log").returncode == 7


def test_a_checkpoint_is_declined_with_the_reason(runtime: Path) -> None:
    done = run(runtime, "checkpoint", ID)
    assert done.returncode == 1 and "checkpoint" in done.stderr


def test_an_end_is_told_and_waits_for_nobody(runtime: Path, tmp_path: Path) -> None:
    assert run(runtime, f"--mcsd-socket={tmp_path / 'none'}", "delete", ID).returncode == 7


def test_a_bundle_that_cannot_be_read_holds_no_end_up(runtime: Path, tmp_path: Path) -> None:
    """Promise 9: a container that cannot be removed is worse than a label that stays."""
    (tmp_path / ID).mkdir()
    (tmp_path / ID / "config.json").write_text("nonsense")
    here = runtime.rename(tmp_path / ID / "runtime")  # called from the bundle, as containerd's shim does
    done = run(here, f"--mcsd-socket={tmp_path / 'none'}", "delete", ID)
    assert (tmp_path / "called").exists(), done.stderr
    assert "keeps the level" in done.stderr


def test_a_late_delete_leaves_the_container_that_has_been_started_since(
    runtime: Path, tmp_path: Path
) -> None:
    """containerd's clean-up after the last start may come after the next one has begun."""
    state = tmp_path / "root" / ID / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    words = (f"--mcsd-socket={tmp_path / 'none'}", "--root", str(tmp_path / "root"), "delete", "--force", ID)
    os.utime(state, (2**32, 2**32))
    assert run(runtime, *words).returncode == 0
    assert not (tmp_path / "called").exists()
    os.utime(state, (1, 1))
    assert run(runtime, *words).returncode == 7, "the runtime's own"
    assert (tmp_path / "called").exists()


def test_it_needs_nothing_of_mcsd_s_but_its_own_parts(runtime: Path, tmp_path: Path) -> None:
    """It works while mcsd is being replaced, and when it is gone."""
    place = tmp_path / "libexec"
    place.mkdir()
    shutil.copy(gate.__file__, place / "mcsd-gate")
    parts = Path(gate.__file__).parent / "oci"
    shutil.copytree(parts, place / "oci", ignore=shutil.ignore_patterns("__pycache__"))
    bundle = bundle_at(tmp_path / "b")
    with Answering(tmp_path / "s", line(admitted=True)):
        ours = [f"--mcsd-runtime={runtime}", f"--mcsd-socket={tmp_path / 's'}"]
        done = subprocess.run(
            [place / "mcsd-gate", *ours, "create", "--bundle", str(bundle), ID],
            env={"KEPT": "0"},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 7, done.stderr
    assert not (place / "oci" / "__pycache__").exists(), "Docker's domain may not write there"
