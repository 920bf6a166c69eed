"""A process that walks under the shim and can be ended at any step: `python -m tests.host.relabel_child`.

It reads one order a line, carries it out in a fork of itself, and answers with one line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcsd.errors import McsdError
from tests.host.relabel_trees import TARGET, Stage


@dataclass
class Child:
    """The process that obeys; `shim` is loaded into it."""

    process: subprocess.Popen[str]

    def order(self, stage: Stage, work: str, **more: Any) -> dict[str, Any]:
        """Have a walk done: `work` is relabel or restore; `kill` a step, `inode` and `code` what fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"base": str(stage.base), "native": stage.native, "work": work, **more}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def built_shim(directory: Path) -> Path:
    """Compile the shim; raises `CalledProcessError`."""
    library = directory / "relabel_shim.so"
    source = Path(__file__).with_name("relabel_shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@contextmanager
def child_under(library: Path) -> Iterator[Child]:
    """Run the process for the time of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.host.relabel_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library)},
        cwd=Path(__file__).parents[2],
    )
    with process:
        try:
            yield Child(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _obey(order: dict[str, Any]) -> dict[str, Any]:
    shim = ctypes.CDLL(None)
    stage = Stage(Path(order["base"]), bool(order["native"]))
    shim.shim_fail(ctypes.c_long(order.get("inode", 0)), ctypes.c_long(order.get("code", 0)))
    shim.shim_kill_at(ctypes.c_long(order.get("kill", 1 << 40)))
    try:
        walk = stage.relabel(order.get("target", TARGET)) if order["work"] == "relabel" else stage.restore()
    except McsdError as exc:
        return {"error": type(exc).__name__, "what": exc.what, "steps": shim.shim_steps()}
    return {
        "complete": walk.complete,
        "changed": walk.changed,
        "skipped": {str(reason): count for reason, count in walk.skipped.items()},
        "examples": [path for _, path in walk.examples],
        "steps": shim.shim_steps(),
    }


def _in_a_fork(order: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        said = json.dumps(_obey(order)).encode()
        with open(writer, "wb") as out:
            out.write(said)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return {"killed": os.WTERMSIG(status) == signal.SIGKILL, "signal": os.WTERMSIG(status)}
    answer: dict[str, Any] = json.loads(data)
    return answer


def main() -> None:
    """Obey until there are no more orders."""
    for line in sys.stdin:
        print(json.dumps(_in_a_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
