"""The gate's front: it passes on what the parser in Python would, and hands everything else to that."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.runtime import main as gate
from mcsd.runtime.oci import calls
from mcsd.runtime.oci.calls import ENDED
from tests.installed_gate import RUNTIME, build_front, has_compiler

ID = "f" * 64
SAYS = '#!/bin/sh\nprintf "%s\\0" {who} "$@"\n'
ROUNDS = int(os.environ.get("MCSD_LONG", "3000")) // 10


@dataclass(frozen=True, slots=True)
class Scene:
    """A front whose Python and whose runtimes say who they are, and with which words they were called."""

    front: Path
    runtimes: tuple[str, ...]
    odd: str
    """A runtime that is on no list."""

    def outcome(self, words: Sequence[bytes]) -> list[bytes]:
        """Call, and give who came of it and its words."""
        done = subprocess.run([self.front, *words], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.split(b"\0")[:-1]


def laid_down(path: Path, who: str) -> str:
    path.write_text(SAYS.format(who=who))
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The first runtime of its list is not there, the second and the third are."""
    if not has_compiler():
        pytest.skip("there is no compiler")
    root = tmp_path_factory.mktemp("scene")
    laid_down(root / "mcsd-gate.py", "python")
    there = [laid_down(root / name, str(root / name)) for name in ("second", "third", "odd")]
    runtimes = (str(root / "first"), *there[:2])
    return Scene(build_front(root / "mcsd-gate", runtimes=runtimes), runtimes, there[2])


def decision(
    words: Sequence[bytes], runtimes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    """Say what the Python program would do: handle the call, or pass on which words to which runtime."""
    with monkeypatch.context() as patch:
        patch.setattr(gate, "RUNTIMES", runtimes)
        call = gate.Invocation([os.fsdecode(word) for word in words])
        if call.command in gate.HANDLED or not call.runtime:
            return [b"python", *words]
        return [os.fsencode(word) for word in (call.runtime, *call.passed)]


THEIRS = ("--root", "--log", "--log-format", "--log-level", "--criu", "--rootless", "--cgroup-manager")
OURS = tuple(sorted(gate._OURS))
PLAIN = ("start", "state", "kill", "features", "events", "list", "ps", "pause", "resume", "update")
ODD = (
    *(
        "--debug",
        "--systemd-cgroup",
        "--debug=true",
        "--version",
        "-v",
        "--help",
        "-root",
        "--ro",
        "--bundle",
    ),
    *(
        "-",
        "--",
        "",
        "=",
        "--=",
        "--mcsd-",
        "--mcsd-runtimes",
        "--mcsd-runtime-",
        "mcsd-runtime",
        "start=",
        "run",
    ),
    *("starts", "star", "spec", "init", "9", "json", "/run/runc", "--root=/run=x", "-e", "--force"),
)


def words(scene: Scene) -> st.SearchStrategy[list[bytes]]:
    """Make the words of a call, of which many are nearly Docker's."""
    value = st.sampled_from([scene.odd, *scene.runtimes, "", "/nonexistent", "start", "--root", "create"])
    text = st.sampled_from([*THEIRS, *OURS, *PLAIN, *gate.HANDLED, *ODD, *scene.runtimes, scene.odd, ID])
    raw = st.binary(max_size=6).filter(lambda word: b"\0" not in word)
    option = st.tuples(st.sampled_from([*THEIRS, *OURS]), value)
    joined = option.map(lambda pair: [os.fsencode("=".join(pair))])
    apart = option.map(lambda pair: [os.fsencode(one) for one in pair])
    single = st.one_of(text.map(os.fsencode), raw).map(lambda word: [word])
    some = st.lists(st.one_of(joined, apart, single), max_size=6)
    command = st.sampled_from([*PLAIN, *gate.HANDLED]).map(lambda word: [os.fsencode(word)])
    ordered = st.tuples(st.lists(st.one_of(joined, apart), max_size=4), st.tuples(command), some)
    return st.one_of(
        some.map(lambda parts: [word for part in parts for word in part]),
        ordered.map(lambda three: [word for parts in three for part in parts for word in part]),
    )


@pytest.fixture
def met() -> dict[str, int]:
    return {"passed on": 0, "to Python, as it says itself": 0, "to Python, which passes on": 0}


def test_it_decides_as_the_parser_in_python_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, met: dict[str, int]
) -> None:
    """Passed on is what the parser would, to the same runtime with the same words; the rest is for Python."""

    @settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words(scene))
    def holds(call: list[bytes]) -> None:
        by_front, by_python = scene.outcome(call), decision(call, scene.runtimes, monkeypatch)
        to_python = [b"python", *call]
        if by_python == to_python:
            met["to Python, as it says itself"] += 1
            assert by_front == to_python
        elif by_front == to_python:
            met["to Python, which passes on"] += 1
        else:
            met["passed on"] += 1
            assert by_front == by_python

    holds()
    assert min(met.values()) > ROUNDS // 50, met


LOG = ("--root", "/run/docker/runtime-runc/moby", "--log", "/b/log.json", "--log-format", "json")
CALLS: tuple[tuple[str, ...], ...] = (
    (*LOG, "start", ID),
    (*LOG, "--systemd-cgroup", "state", ID),
    (*LOG, "kill", "--all", ID, "9"),
    (*LOG, "ps", "--format", "json", ID),
    (*LOG, "update", "--resources", "-", ID),
    (*LOG, "events", "--stats", ID),
    ("--root=/run/runc", "--log=/b/log.json", "pause", ID),
    ("--debug=false", "resume", ID),
    ("--cgroup-manager", "systemd", "list", "-f", "json"),
    ("features",),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: " ".join(call[-3:])[:20])
def test_what_docker_calls_beside_the_gate_s_own_never_waits_for_python(
    scene: Scene, call: tuple[str, ...]
) -> None:
    named = f"--mcsd-runtime={scene.odd}"
    told = [os.fsencode(word) for word in call]
    assert scene.outcome(told) == [os.fsencode(scene.runtimes[1]), *told]
    assert scene.outcome([os.fsencode(named), *told]) == [os.fsencode(scene.odd), *told]


@pytest.mark.parametrize("command", gate.HANDLED)
def test_what_the_gate_handles_is_for_python(scene: Scene, command: str) -> None:
    told = [os.fsencode(word) for word in (*LOG, command, ID)]
    assert scene.outcome(told) == [b"python", *told]


def test_what_comes_to_python_has_a_handler_there() -> None:
    assert set(calls.HANDLERS) == set(gate.HANDLED)


def test_both_programs_know_the_same_runtimes_and_options() -> None:
    source = (RUNTIME / "native" / "gate.c").read_text()
    tables = {
        name: tuple(re.findall('"(.*?)"', text))
        for name, text in re.findall(r"const (\w+)\[\] = {(.*?)}", source, re.DOTALL)
    }
    listed = re.search(r"#define MCSD_RUNTIMES (.*)", source)
    assert f'#define ENDED "{ENDED}"' in source
    assert listed and tuple(re.findall('"(.*?)"', listed[1])) == gate.RUNTIMES
    assert set(tables["ours"]) == gate._OURS
    assert set(tables["with_value"]) <= gate._WITH_VALUE
    assert not set(tables["without_value"]) & gate._WITH_VALUE
    assert not set(tables["commands"]) & set(gate.HANDLED)


def test_environment_directory_descriptors_and_signals_are_handed_on(scene: Scene, tmp_path: Path) -> None:
    """`cat` is the runtime: it changes nothing of what it shows of itself."""
    (tmp_path / "features").write_text("here\n")
    environment = {"LD_X": "é", "PYTHONPATH": "/x", "EMPTY": "", "LC_ALL": "C", "PATH": os.environ["PATH"]}

    def as_called() -> None:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    kept = os.open("/dev/null", os.O_RDONLY)
    try:
        shown = [f"/proc/self/{name}" for name in ("status", f"fdinfo/{kept}", "environ")]
        done = subprocess.run(
            [scene.front, "--mcsd-runtime=/bin/cat", "features", *shown],
            cwd=tmp_path,
            env=environment,
            preexec_fn=as_called,
            pass_fds=[kept],
            capture_output=True,
            check=True,
        )
    finally:
        os.close(kept)
    assert done.stdout.startswith(b"here\n")
    assert done.stdout.endswith(
        b"".join(os.fsencode(f"{name}={environment[name]}\0") for name in environment)
    )
    masks = {name: int(mask, 16) for name, mask in re.findall(rb"(Sig\w+):\t([0-9a-f]{16})\n", done.stdout)}
    assert masks[b"SigBlk"] == 1 << (signal.SIGUSR2 - 1)
    assert masks[b"SigIgn"] & (1 << (signal.SIGPIPE - 1))
    assert masks[b"SigIgn"] & (1 << (signal.SIGUSR1 - 1))


def test_it_is_found_beside_itself_however_it_is_called(scene: Scene, tmp_path: Path) -> None:
    """Not by its name, which whoever calls it chooses, nor by the directory that it is called from."""
    (tmp_path / "link").symlink_to(scene.front)
    laid_down(tmp_path / "mcsd-gate.py", "another")
    done = subprocess.run(
        ["mcsd-gate", "create"], executable="./link", cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout == b"python\0create\0"


@pytest.fixture
def alone(scene: Scene, tmp_path: Path) -> Path:
    """A front without its Python."""
    return Path(shutil.copy(scene.front, tmp_path / "mcsd-gate"))


def test_without_its_python_it_ends_the_start_and_docker_hears_why(alone: Path, tmp_path: Path) -> None:
    """Promise 9."""
    log = tmp_path / "log.json"
    done = subprocess.run(
        [alone, "--log", log, "--log-format=json", "create", ID], capture_output=True, text=True
    )
    entry = json.loads(log.read_text())
    assert done.returncode == 1 and "install the package mcsd again" in done.stderr
    assert entry["level"] == "error" and entry["msg"] + "\n" == done.stderr
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    log.unlink()
    subprocess.run([alone, f"--log={log}", "create", ID], capture_output=True)
    assert log.read_text().endswith(f" error: {entry['msg']}\n")


def test_a_python_that_may_not_be_executed_is_told_of_at_once(alone: Path) -> None:
    alone.with_name("mcsd-gate.py").write_text("#!/bin/sh\n")
    done = subprocess.run([alone, "create", ID], capture_output=True, text=True)
    assert done.returncode == 1 and "Permission denied" in done.stderr


def test_it_waits_for_its_python_while_a_package_is_replaced(alone: Path, tmp_path: Path) -> None:
    """The package manager may lay this program down first."""
    draft = tmp_path / "draft"
    laid_down(draft, "python")
    started = subprocess.Popen([alone, "create", ID], stdout=subprocess.PIPE)
    threading.Timer(0.3, draft.rename, [alone.with_name("mcsd-gate.py")]).start()
    assert started.communicate(timeout=60)[0] == b"python\0create\0" + ID.encode() + b"\0"


def test_called_with_no_words_at_all_it_is_python_s(scene: Scene) -> None:
    assert scene.outcome([]) == [b"python"]
