"""The calls that the gate handles: create, exec, delete and checkpoint before it becomes the runtime, and the
hook precreate."""

from __future__ import annotations

import os
import sys

from .asking import Unreachable, ask, starts_without_answer
from .bundle import Bundle, from_hook, replace_file
from .text import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcsd.runtime.main import Invocation

SOCKET = "/run/mcsd/gate.sock"
PATIENCE = 3700.0
"""Seconds to wait for an answer, more than the maximum of `[gate] deadline`. systemd's watchdog ends a hung
mcsd; this is for hosts without it."""
NOTICE_PATIENCE = 1.0
"""Seconds that notifying mcsd of an exit may take."""
ENDED = "mcsd-ended"
"""A file in the bundle that says that the exit is handled: the native gate then passes the clean-up on."""


class RefusedError(Exception):
    """The start must not continue; the text is for the user."""


def handle(call: Invocation) -> int | None:
    """Handle a call; return None if the runtime has to run next, otherwise the exit status."""
    try:
        if not call.runtime and call.command != "precreate":
            raise RefusedError(
                "there is no runtime to hand the container to:"
                f" looked for {call.option('--mcsd-runtime') or 'runc and crun'};"
                " install runc, or name it in daemon.json with --mcsd-runtime"
            )
        handler = HANDLERS.get(call.command)
        return None if handler is None else handler(call)
    except RefusedError as exc:
        tell(call, "error", str(exc))
    except Exception as exc:  # noqa: BLE001  (the boundary: Docker must hear why a start failed)
        tell(call, "error", f"the gate failed at {call.command}: {exc!r}")
    return 1


# --- create --------------------------------------------------------------------------------------------


def before_create(call: Invocation) -> None:
    """Have mcsd prepare the start, and write its labels where the runtime reads them."""
    bundle = Bundle(os.path.abspath(call.option("--bundle", "-b") or "."), call.container)
    forget_end(bundle.path)
    if not bundle.process_label or bundle.namespace == "k8s.io":
        return  # it is not confined, so there is no level to choose; or the kubelet has chosen
    request = {"operation": "create", **bundle.description()}
    try:
        answer = _ask(call, request)
        try:
            _follow(call, bundle, answer)
        except OSError as exc:
            # It cannot run at a level of mcsd's own: mcsd decides whether it may run at Docker's.
            _follow(call, bundle, _ask(call, {**request, "obstacle": f"{exc}"}))
    except Unreachable as exc:
        _refuse_unless_told(call, exc)
        # Docker keeps the root file system mounted when it restarts a container.
        bundle.take_on(bundle.process_label, bundle.mount_label)
        warn(call, f"{exc}; started with Docker's own labels, as [gate] on_error says")


def _refuse_unless_told(call: Invocation, exc: Unreachable) -> None:
    if not starts_without_answer(call):
        raise RefusedError(
            f'{exc}; see systemctl status mcsd, or set [gate] on_error = "start" in mcsd.toml'
        ) from exc


def _ask(call: Invocation, request: dict[str, Any]) -> dict[str, Any]:
    answer = ask(call.option("--mcsd-socket") or SOCKET, request, PATIENCE)
    if not answer.get("admitted"):
        raise RefusedError("; ".join(filter(None, (answer.get("reason"), answer.get("hint")))))
    return answer


def _follow(call: Invocation, bundle: Bundle, answer: dict[str, Any]) -> None:
    if answer.get("warning"):
        warn(call, answer["warning"])
    bundle.take_on(
        answer.get("process_label") or bundle.process_label, answer.get("mount_label") or bundle.mount_label
    )


# --- exec ----------------------------------------------------------------------------------------------


def before_exec(call: Invocation) -> None:
    """Give the new process the container's current label."""
    path = call.option("--process", "-p")
    if not path:
        return
    label = present_label(call)
    with open(path, encoding="utf-8") as file:
        process = parse(file.read())
    if label and process.get("selinuxLabel") and process["selinuxLabel"] != label:
        process["selinuxLabel"] = label
        replace_file(path, dumps(process))


def present_label(call: Invocation) -> str:
    """Return the label of the container's first process, by the pid in the runtime's state; "" if none."""
    state = f"{state_root(call)}/{call.container}"
    for name, key in (("state.json", "init_process_pid"), ("status", "pid")):
        try:
            with open(f"{state}/{name}", encoding="utf-8") as file:
                pid = int(parse(file.read())[key])
            with open(f"/proc/{pid}/attr/current", encoding="utf-8") as file:
                return file.read().rstrip("\0\n")
        except FileNotFoundError:
            continue
    return ""


def state_root(call: Invocation) -> str:
    """Return where the runtime keeps its state: containerd names a directory, Podman leaves it to the
    runtime."""
    return call.option("--root") or f"/run/{os.path.basename(call.runtime)}"


# --- delete --------------------------------------------------------------------------------------------


def before_delete(call: Invocation) -> int | None:
    """Remove the level from Docker's files of the container, and notify mcsd of its end.

    containerd calls with `--force` after a shim has died, when Docker may already be restarting the
    container: the gate, which is slower than the runtime alone, must not end the new one.
    """
    path = bundle_of(call)
    if "--force" in call.options and is_succeeded(call, path):
        return 0
    is_whole, ident = False, call.container
    if path:
        try:
            bundle = Bundle(path, call.container)
            ident = bundle.ident
            runs = bool(present_label(call))
            bundle.put_back(runs=runs)
            is_whole = not runs
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            warn(call, f"what Docker has for the container keeps the level that it had: {exc}")
    request = {"operation": "delete", "container": ident}
    try:
        ask(call.option("--mcsd-socket") or SOCKET, request, NOTICE_PATIENCE)
    except Unreachable:
        return None  # mcsd sees by itself that the container does not run when it is back
    if is_whole:
        note_end(path)
    return None


def note_end(bundle: str) -> None:
    """Record in the bundle that the exit is handled."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(f"{bundle}/{ENDED}", flags, 0o600))
    except OSError:
        pass  # then the clean-up does it again


def forget_end(bundle: str) -> None:
    """Remove the record of an earlier exit, because a bundle may be reused; raise `OSError`."""
    try:
        os.unlink(f"{bundle}/{ENDED}")
    except FileNotFoundError:
        pass


def bundle_of(call: Invocation) -> str:
    """Return the bundle's directory, which is the working directory of calls from containerd's shim; "" if it
    is not."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return ""  # removed meanwhile
    is_bundle = os.path.basename(here) == call.container and os.path.exists(here + "/config.json")
    return here if is_bundle else ""


def called_at() -> float:
    """Return the start time of this process in seconds since the epoch."""
    import time

    with open("/proc/self/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def is_succeeded(call: Invocation, bundle: str) -> bool:
    """Tell whether a container with this id, or a bundle for one, was created after this call."""
    state = f"{state_root(call)}/{call.container}"
    made = [f"{bundle}/config.json"] if bundle else []
    for path in (*made, f"{state}/state.json", f"{state}/status"):
        try:
            if os.stat(path).st_mtime > called_at():
                return True
        except FileNotFoundError:
            continue
    return False


# --- checkpoint ----------------------------------------------------------------------------------------


def before_checkpoint(call: Invocation) -> None:
    """Refuse: checkpoints are not supported."""
    raise RefusedError(
        "a checkpoint holds labels that mcsd will have given to somebody else by the time it is restored;"
        " remove --runtime or the default-runtime mcsd for this container"
    )


# --- precreate -----------------------------------------------------------------------------------------


def precreate(call: Invocation) -> int:
    """Prepare the volumes of a container that starts at its engine's own level, by a hook.

    The configuration that the runtime is to get comes on standard input, and is answered as it is: the label
    in it is also the one that the engine uses to enter the container.
    """
    text = sys.stdin.buffer.read()
    bundle = from_hook(text)
    if bundle.process_label:
        try:
            answer = _ask(call, {"operation": "create", "keeps_level": True, **bundle.description()})
            if answer.get("warning"):
                warn(call, answer["warning"])
        except Unreachable as exc:
            _refuse_unless_told(call, exc)
            warn(call, f"{exc}; started unprepared, as [gate] on_error says")
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    return 0


HANDLERS = {
    "create": before_create,
    "exec": before_exec,
    "delete": before_delete,
    "checkpoint": before_checkpoint,
    "restore": before_checkpoint,
    "precreate": precreate,
}
"""What to do before the runtime runs. The commands are those of `HANDLED` in `main.py`."""


# --- telling -------------------------------------------------------------------------------------------


def tell(call: Invocation, level: str, text: str) -> None:
    """Write to the runtime's log, from which containerd takes errors, and to standard error."""
    import time

    line = f"mcsd: {text}"
    path = call.option("--log")
    if path:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        as_json = dumps({"level": level, "msg": line, "time": stamp})
        entry = as_json if call.option("--log-format") == "json" else f"{stamp} {level}: {line}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, entry.encode() + b"\n")
        finally:
            os.close(descriptor)
    sys.stderr.write(line + "\n")


def warn(call: Invocation, text: str) -> None:
    """Warn about something that does not stop the start."""
    tell(call, "warning", text)
