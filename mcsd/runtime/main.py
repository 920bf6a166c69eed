#!/usr/bin/python3 -BIS
"""mcsd-gate: the OCI runtime that Docker calls, in front of the real one.

Every call is passed on to runc or crun by replacing this process, with arguments, environment and descriptors
unchanged. A few calls are handled first, by the modules beside this file in `oci/`:

- `create`: asks mcsd for the container's level over a socket that only root can access. mcsd answers when
  every volume is labelled. The labels are written to the bundle's `config.json`; the root file system and
  other mounts that Docker has made for the container are remounted with them; Docker's own files for it get
  them.
- `exec`: the new process gets the label of the container's first process.
- `delete`: Docker's own files and the root file system get their former labels, and mcsd is notified, so that
  it can reclaim the level.

If mcsd refuses a start, the start fails, and the reason goes to the runtime's log, from which Docker shows
it. If mcsd cannot be asked, `[gate] on_error` decides: `refuse`, the default, or `start` with Docker's own
labels.

`mcsd-gate precreate` is no call of a runtime, but a hook of the stage of that name.

If there is a compiler, Docker calls `native/gate.c` instead, with this program beside it as `mcsd-gate.py`:
calls that need none of the above never get here. That program knows fewer options and commands than
`Invocation`, which decides what a call means.

Standard library only, and of that only what a call needs: this runs several times in each start. What the
simplest of these calls need is in this file, which Python compiles each time. Nothing of the rest of mcsd is
imported, because the gate must work while mcsd is being replaced, and when it is gone.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

RUNTIMES = ("/usr/bin/runc", "/usr/sbin/runc", "/usr/bin/crun")
HANDLED = ("create", "exec", "delete", "checkpoint", "restore", "precreate")

_WITH_VALUE = {
    *("--log", "--log-format", "--log-level", "--root", "--criu", "--rootless", "--cgroup-manager"),
    *("--bundle", "-b", "--console-socket", "--pid-file", "--preserve-fds", "--pidfd-socket"),
    *("--process", "-p", "--cwd", "-e", "--env", "-u", "--user", "-g", "--additional-gids"),
    *("--process-label", "--apparmor", "-c", "--cap", "--cgroup"),
}
_OURS = {"--mcsd-runtime", "--mcsd-socket", "--mcsd-configuration"}


class Invocation:
    """One parsed call of the runtime: our own options, the runtime's, the command, the container."""

    def __init__(self, arguments: list[str]) -> None:
        self.options: dict[str, str] = {}
        self.words: list[str] = []
        self.passed: list[str] = []
        rest = iter(arguments)
        for word in rest:
            name, equals, value = word.partition("=")
            if name in _OURS:
                self.options[name] = value if equals else next(rest, "")
                continue
            self.passed.append(word)
            if not word.startswith("-") or word == "-":
                self.words.append(word)
            elif equals:
                self.options[name] = value
            elif name in _WITH_VALUE:
                following = next(rest, None)
                if following is not None:
                    self.passed.append(following)
                    self.options[name] = following
            else:
                self.options[name] = ""

    @property
    def command(self) -> str:
        """`create`, `start` and so on; "" if there is none."""
        return self.words[0] if self.words else ""

    @property
    def container(self) -> str:
        """The container's id."""
        return self.words[1] if len(self.words) > 1 else ""

    def option(self, *names: str) -> str:
        """Return the value of an option under one of its names; "" if it is missing."""
        return next((self.options[name] for name in names if name in self.options), "")

    @property
    def runtime(self) -> str:
        """The path of the real runtime; "" if there is none."""
        named = self.option("--mcsd-runtime")
        return next((path for path in ([named] if named else RUNTIMES) if os.access(path, os.X_OK)), "")


def hand_over(call: Invocation) -> NoReturn:
    """Replace this process by the real runtime; raise `OSError`."""
    try:
        import _signal as signal  # type: ignore[import-not-found]  # `signal` brings enum, 3 ms
    except ImportError:
        import signal

    # Python ignores these signals, and ignored signals stay ignored after an exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    path = call.runtime
    os.execv(path, [path, *call.passed])


def main(arguments: list[str]) -> int:
    """Handle a call and become the runtime; return an exit status if that must not happen."""
    call = Invocation(arguments)
    # Last, so that nothing beside this file can shadow a module of the standard library.
    sys.path.append(os.path.dirname(os.path.realpath(__file__)))
    if call.command in HANDLED or not call.runtime:
        from oci.calls import handle  # type: ignore[import-not-found]

        status: int | None = handle(call)
        if status is not None:
            return status
    try:
        hand_over(call)
    except OSError as exc:
        from oci.calls import tell

        tell(call, "error", f"cannot execute the runtime {call.runtime!r}: {exc.strerror}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
