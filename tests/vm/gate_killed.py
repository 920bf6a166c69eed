#!/usr/bin/python3 -BIS
"""The gate, ended with SIGKILL between two steps: a runtime that the guest's stories register.

`/run/docker/gate-killed` holds a command and a number: `create 3` ends the gate before the fourth step of
its next `create`, once. What was done is added to `/run/docker/gate-steps`, a line each. Without that file
this is the gate. Docker's domain may write there.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

HERE = "/usr/libexec/mcsd"
ORDER, STEPS = "/run/docker/gate-killed", "/run/docker/gate-steps"
WATCHED = {
    "oci.calls": ("ask",),
    "oci.bundle": ("replace_file", "label_file"),
    "oci.mounts": ("unmount", "mount", "detached", "attach"),
    "os": ("execv",),
}


def order(command: str) -> int | None:
    """Return the step before which this call is to end; None for none."""
    try:
        with open(ORDER, encoding="ascii") as file:
            wanted, number = file.read().split()
    except FileNotFoundError:
        return None
    if wanted != command:
        return None
    return int(number)


def arm(last: int) -> None:
    """Have the step with this number end the process."""
    taken: list[str] = []

    def watched(name: str, function: Any) -> Any:
        def step(*arguments: Any) -> Any:
            taken.append(name)
            if len(taken) > last:
                os.unlink(ORDER)
                with open(STEPS, "a", encoding="ascii") as file:
                    file.write(f"killed before {name}, after {', '.join(taken[:-1]) or 'nothing'}\n")
                os.kill(os.getpid(), 9)
            return function(*arguments)

        return step

    for module, names in WATCHED.items():
        __import__(module)
        for name in names:
            setattr(sys.modules[module], name, watched(name, getattr(sys.modules[module], name)))


def main() -> int:
    """Be the gate, up to the step that was ordered."""
    sys.path.append(HERE)
    named = f"{HERE}/mcsd-gate.py"  # the front is built where there is a compiler, and this is behind it
    loader = SourceFileLoader("gate", named if os.path.exists(named) else f"{HERE}/mcsd-gate")
    spec = spec_from_loader("gate", loader)
    assert spec is not None, "a loader was given"
    gate: Any = module_from_spec(spec)
    loader.exec_module(gate)
    last = order(gate.Invocation(sys.argv[1:]).command)
    if last is not None:
        arm(last)
    status: int = gate.main(sys.argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
