"""The gate program: what it takes apart, what it passes on untouched, what it tells Docker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.runtime import main as gate
from mcsd.runtime.oci.bundle import FORMER
from mcsd.runtime.oci.calls import ENDED, is_succeeded

ID = "f" * 64


def call(*words: str) -> gate.Invocation:
    return gate.Invocation(list(words))


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


def run(program: Path, runtime: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        return subprocess.run(
            [program, f"--mcsd-runtime={runtime}", *words],
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
def test_a_call_it_does_not_handle_is_a_plain_exec(program: Path, runtime: Path, words: list[str]) -> None:
    done = run(program, runtime, *words, MARK="x")
    assert done.returncode == 7 and done.stderr == ""
    assert json.loads((runtime.parent / "called").read_text()) == [words, str(runtime.parent), "x", True]


def bundle_at(path: Path, **fields: Any) -> Path:
    path.mkdir()
    label = "system_u:system_r:container_t:s0:c1,c2"
    config = {"process": {"selinuxLabel": label}, "linux": {"mountLabel": label}, "root": {"path": "rootfs"}}
    (path / "config.json").write_text(json.dumps({**config, **fields}))
    return path


def create(
    program: Path, runtime: Path, sock: Path, bundle: Path, *, log: Path
) -> subprocess.CompletedProcess[str]:
    return run(
        program,
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


def test_a_refusal_ends_the_start_and_reaches_docker_s_log(
    program: Path, runtime: Path, tmp_path: Path
) -> None:
    bundle, log = bundle_at(tmp_path / "b"), tmp_path / "log.json"
    refusal = {"admitted": False, "reason": "volume /etc is refused", "hint": "use another"}
    with Answering(tmp_path / "s", json.dumps(refusal).encode() + b"\n") as daemon:
        done = create(program, runtime, tmp_path / "s", bundle, log=log)
    assert done.returncode == 1 and not (tmp_path / "called").exists()
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and entry["msg"] == "mcsd: volume /etc is refused; use another"
    (asked,) = daemon.asked
    assert asked["operation"] == "create" and asked["container"] == ID


def test_the_same_labels_leave_every_mount_as_it_is(program: Path, runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b")
    label = "system_u:system_r:container_t:s0:c1,c2"
    answer = {"admitted": True, "process_label": label, "mount_label": label}
    with Answering(tmp_path / "s", json.dumps(answer).encode() + b"\n"):
        done = create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7, done.stderr


def test_a_root_that_is_not_an_overlay_is_said_to_be_none(
    program: Path, runtime: Path, tmp_path: Path
) -> None:
    bundle = bundle_at(tmp_path / "b")
    (bundle / "rootfs").mkdir()
    with Answering(tmp_path / "s", line(admitted=True, warning="it keeps Docker's level")) as daemon:
        done = create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7 and "it keeps Docker's level" in done.stderr
    assert daemon.asked[0]["obstacle"] == f"nothing is mounted at {bundle}/rootfs"


@pytest.mark.parametrize("cuts", [1, 2])
def test_mcsd_may_be_restarted_while_it_is_asked(
    program: Path, runtime: Path, tmp_path: Path, cuts: int
) -> None:
    """Promise 7: systemd goes on listening for it, and the next connection waits there."""
    bundle = bundle_at(tmp_path / "b")
    with Answering(tmp_path / "s", *[b""] * cuts, line(admitted=True)) as daemon:
        done = create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 7, done.stderr
    assert len(daemon.asked) == cuts + 1


def test_a_forged_note_of_former_labels_goes_at_the_start(
    program: Path, runtime: Path, tmp_path: Path
) -> None:
    """Whoever makes a container can annotate it (`docker run --annotation`)."""
    bundle = bundle_at(tmp_path / "b", annotations={FORMER: "u:r:t:s0", "mine": "stays"})
    with Answering(tmp_path / "s", line(admitted=True)):
        assert create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log").returncode == 7
    assert json.loads((bundle / "config.json").read_text())["annotations"] == {"mine": "stays"}


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"{"])
def test_without_an_answer_a_start_is_refused_by_default(
    program: Path, runtime: Path, tmp_path: Path, answer: bytes
) -> None:
    """Promise 9."""
    bundle = bundle_at(tmp_path / "b")
    with Answering(tmp_path / "s", answer):
        done = create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log")
    assert done.returncode == 1 and "mcsd" in done.stderr
    assert not (tmp_path / "called").exists()


def test_without_mcsd_the_configuration_decides(program: Path, runtime: Path, tmp_path: Path) -> None:
    bundle = bundle_at(tmp_path / "b")
    (tmp_path / "etc" / "conf.d").mkdir(parents=True)
    for name, wanted, status in (("mcsd.toml", "start", 7), ("conf.d/x.toml", "refuse", 1)):
        (tmp_path / "etc" / name).write_text(f'[gate]\non_error = "{wanted}"\n')
        done = create(program, runtime, tmp_path / "none", bundle, log=tmp_path / "log")
        assert done.returncode == status, done.stderr


def test_a_container_that_docker_does_not_confine_is_passed_on(
    program: Path, runtime: Path, tmp_path: Path
) -> None:
    bundle = bundle_at(tmp_path / "b", process={})
    assert create(program, runtime, tmp_path / "none", bundle, log=tmp_path / "log").returncode == 7


def test_a_checkpoint_is_declined_with_the_reason(program: Path, runtime: Path) -> None:
    done = run(program, runtime, "checkpoint", ID)
    assert done.returncode == 1 and "checkpoint" in done.stderr


def test_an_end_is_told_and_waits_for_nobody(program: Path, runtime: Path, tmp_path: Path) -> None:
    assert run(program, runtime, f"--mcsd-socket={tmp_path / 'none'}", "delete", ID).returncode == 7


def test_a_bundle_that_cannot_be_read_holds_no_end_up(program: Path, runtime: Path, tmp_path: Path) -> None:
    """Promise 9: a container that cannot be removed is worse than a label that stays."""
    (tmp_path / ID).mkdir()
    (tmp_path / ID / "config.json").write_text("nonsense")
    here = runtime.rename(tmp_path / ID / "runtime")  # called from the bundle, as containerd's shim does
    done = run(program, here, f"--mcsd-socket={tmp_path / 'none'}", "delete", ID)
    assert (tmp_path / "called").exists(), done.stderr
    assert "keeps the level" in done.stderr


def test_a_late_delete_leaves_the_container_that_has_been_started_since(
    program: Path, runtime: Path, tmp_path: Path
) -> None:
    """containerd's clean-up after the last start may come after the next one has begun."""
    state = tmp_path / "root" / ID / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    words = (f"--mcsd-socket={tmp_path / 'none'}", "--root", str(tmp_path / "root"), "delete", "--force", ID)
    os.utime(state, (2**32, 2**32))
    assert run(program, runtime, *words).returncode == 0
    assert not (tmp_path / "called").exists()
    os.utime(state, (1, 1))
    assert run(program, runtime, *words).returncode == 7, "the runtime's own"
    assert (tmp_path / "called").exists()


class Ending:
    """A container's end, called from its bundle as containerd's shim does, and the clean-up after it."""

    def __init__(self, program: Path, runtime: Path, place: Path) -> None:
        self.bundle, self.root, self.called = bundle_at(place / ID), place / "root", place / "called"
        self.note, self.socket = self.bundle / ENDED, place / "s"
        os.utime(self.bundle / "config.json", (1, 1))  # older than any call
        self._program, self._runtime = program, runtime.rename(self.bundle / "runtime")

    def call(self, *words: str) -> list[str]:
        """Call, and give the words that the runtime got."""
        theirs = ("--root", str(self.root), *words)
        done = run(self._program, self._runtime, f"--mcsd-socket={self.socket}", *theirs)
        assert (done.returncode, done.stderr) == (7, "")
        got: list[str] = json.loads(self.called.read_text())[0]
        assert got == list(theirs)
        return got


@pytest.fixture
def ending(program: Path, runtime: Path, tmp_path: Path) -> Ending:
    return Ending(program, runtime, tmp_path)


def has_front(program: Path) -> bool:
    return program.with_name("mcsd-gate.py").exists()


def test_a_clean_up_after_an_end_with_nothing_left_to_do_is_passed_on(program: Path, ending: Ending) -> None:
    with Answering(ending.socket, line(admitted=True)) as daemon:
        ending.call("delete", ID)
        assert ending.note.exists() and len(daemon.asked) == 1
        ending.call("delete", "--force", ID)
    assert len(daemon.asked) == (1 if has_front(program) else 2)


@pytest.mark.parametrize("why", ["no end", "mcsd is away", "a container is there", "another's", "more words"])
def test_a_clean_up_after_which_something_may_be_left_is_looked_at(ending: Ending, why: str) -> None:
    """Promise 9: what an end did not do, the clean-up does."""
    words = ["delete", "--force", ID]
    if why not in ("no end", "mcsd is away"):
        with Answering(ending.socket, line(admitted=True)):
            ending.call("delete", ID)
        assert ending.note.exists()
        ending.socket.unlink()
    elif why == "mcsd is away":
        ending.call("delete", ID)
        assert not ending.note.exists()
    match why:
        case "a container is there":
            (ending.root / ID).mkdir(parents=True)
        case "another's":
            words[-1] = ID[:-1] + "0"
        case "more words":
            words.append("more")
    with Answering(ending.socket, line(admitted=True)) as daemon:
        ending.call(*words)
    assert [asked["container"] for asked in daemon.asked] == [words[2]]


def test_a_bundle_that_is_used_again_is_not_taken_for_one_that_has_ended(ending: Ending) -> None:
    ending.note.touch()
    (ending.bundle / "config.json").write_text("{}")
    ending.call("create", "--bundle", str(ending.bundle), ID)
    assert not ending.note.exists()


def test_without_a_bundle_nothing_outside_is_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/config.json` is somebody else's."""
    looked: list[str] = []

    def stat(path: str) -> os.stat_result:
        looked.append(path)
        raise FileNotFoundError

    monkeypatch.setattr(os, "stat", stat)
    assert not is_succeeded(gate.Invocation(["--root", "/run/runc", "delete", "--force", ID]), "")
    assert looked == [f"/run/runc/{ID}/state.json", f"/run/runc/{ID}/status"]


def test_it_needs_nothing_of_mcsd_s_but_its_own_parts(program: Path, runtime: Path, tmp_path: Path) -> None:
    """It works while mcsd is being replaced, and when it is gone."""
    bundle, installed = bundle_at(tmp_path / "b"), sorted(program.parent.rglob("*"))
    with Answering(tmp_path / "s", line(admitted=True)):
        assert create(program, runtime, tmp_path / "s", bundle, log=tmp_path / "log").returncode == 7
    assert sorted(program.parent.rglob("*")) == installed, "Docker's domain may not write there"


def test_a_runtime_that_cannot_be_executed_is_told_of(program: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    done = run(program, tmp_path / "broken", "--log", str(tmp_path / "log"), "start", ID)
    text = f"mcsd: cannot execute the runtime '{tmp_path / 'broken'}': No such file or directory"
    assert (done.returncode, done.stderr) == (1, text + "\n")
    assert (tmp_path / "log").read_text().endswith(f" error: {text}\n")


def test_without_a_runtime_nothing_is_passed_on(program: Path, tmp_path: Path) -> None:
    done = run(program, tmp_path / "none", "start", ID)
    assert done.returncode == 1 and "there is no runtime" in done.stderr


# --- the hook ------------------------------------------------------------------------------------------


def hook(program: Path, tmp_path: Path, told: bytes) -> subprocess.CompletedProcess[bytes]:
    """Call the program as Podman calls it at the stage precreate."""
    return subprocess.run(
        [
            program.with_name("mcsd-gate-precreate"),
            f"--mcsd-socket={tmp_path / 's'}",
            f"--mcsd-configuration={tmp_path / 'etc'}",
        ],
        input=told,
        capture_output=True,
        timeout=20,
    )


def told(tmp_path: Path, label: str = "system_u:system_r:container_t:s0:c1,c2") -> bytes:
    source = f"{tmp_path}/overlay-containers/{ID}/userdata/.containerenv"
    mounts = [{"destination": "/run/.containerenv", "type": "bind", "source": source}]
    config = {"process": {"selinuxLabel": label}, "linux": {"mountLabel": label}, "mounts": mounts}
    return json.dumps(config, indent=3).encode()  # not as the program would write it


def test_a_hook_asks_and_answers_with_what_it_was_told(program: Path, tmp_path: Path) -> None:
    with Answering(tmp_path / "s", line(admitted=True, process_label="x", mount_label="y")) as daemon:
        done = hook(program, tmp_path, told(tmp_path))
    assert (done.returncode, done.stdout) == (0, told(tmp_path)), done.stderr
    (asked,) = daemon.asked
    assert asked["keeps_level"] is True and asked["container"] == ID


def test_a_hook_leaves_alone_what_is_not_confined(program: Path, tmp_path: Path) -> None:
    done = hook(program, tmp_path, told(tmp_path, label=""))
    assert (done.returncode, done.stdout) == (0, told(tmp_path, label="")), done.stderr


@pytest.mark.parametrize("how", ["refused", "unreachable", "no container"])
def test_a_hook_that_cannot_prepare_a_start_refuses_it_with_the_reason(
    program: Path, tmp_path: Path, how: str
) -> None:
    """Promise 9: Podman starts nothing when a hook fails."""
    config = b'{"process": {"selinuxLabel": "x"}}' if how == "no container" else told(tmp_path)
    if how == "refused":
        with Answering(tmp_path / "s", line(admitted=False, reason="one holds /srv/a", hint="share it")):
            done = hook(program, tmp_path, config)
    else:
        done = hook(program, tmp_path, config)
    assert done.returncode == 1 and done.stdout == b""
    reason = {"refused": b"one holds /srv/a; share it", "unreachable": b"systemctl status mcsd"}
    assert reason.get(how, b"containerenv") in done.stderr


def test_a_hook_lets_go_on_what_may_start_without_mcsd(program: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mcsd.toml").write_text('[gate]\non_error = "start"\n')
    done = hook(program, tmp_path, told(tmp_path))
    assert (done.returncode, done.stdout) == (0, told(tmp_path))
    assert b"started unprepared" in done.stderr
