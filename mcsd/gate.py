#!/usr/bin/python3 -IS
"""mcsd-gate: the OCI runtime that Docker calls, in front of the real one.

Everything is passed on to runc or crun by replacing this process, with arguments, environment and descriptors
as they came. Three calls are looked at first:

- `create`: mcsd is asked for the container's level over a socket that only root can reach. It answers when
  every volume is labelled. The labels go into the bundle's `config.json`; the root file system and the
  container's own `/dev/shm` are mounted again with them; Docker's own files for the container get them.
- `exec`: the process that enters gets the label that the container's first process runs at.
- `delete`: Docker's own files get back what they had, and mcsd is told, so that the level is taken back.

What mcsd refuses ends the start, and the reason goes to the runtime's log, from where Docker shows it. When
mcsd cannot be asked, `[gate] on_error` decides: `refuse`, the default, or `start` with Docker's own labels.

Standard library only, and of that only what a call needs: this runs several times in each start. It imports
nothing of the rest of mcsd, because it must work while that is being replaced.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Config = dict[str, Any]

SOCKET = "/run/mcsd/gate.sock"
CONFIGURATION = "/etc/mcsd"
RUNTIMES = ("/usr/bin/runc", "/usr/sbin/runc", "/usr/bin/crun")
PATIENCE = 300.0
"""Seconds to wait for an answer; mcsd gives up earlier by itself, after `[gate] deadline`."""
NOTICE_PATIENCE = 1.0
"""Seconds that telling mcsd of an end may take."""
FORMER = "io.mcsd.mount-label"
"""The annotation in the bundle that keeps what Docker had chosen."""
VERSION = 1
"""Of what is spoken on the socket."""

_WITH_VALUE = {
    *("--log", "--log-format", "--root", "--criu", "--rootless", "--cgroup-manager"),
    *("--bundle", "-b", "--console-socket", "--pid-file", "--preserve-fds", "--pidfd-socket"),
    *("--process", "-p", "--cwd", "-e", "--env", "-u", "--user", "-g", "--additional-gids"),
    *("--process-label", "--apparmor", "-c", "--cap", "--cgroup"),
}
_OURS = {"--mcsd-runtime", "--mcsd-socket", "--mcsd-configuration"}


class RefusedError(Exception):
    """The start must not go on; the text is for the person who asked for it."""


class Unreachable(Exception):  # noqa: N818  (it is not always an error: `on_error` decides)
    """mcsd cannot be asked."""


class Call:
    """One call of the runtime, taken apart: our own options, theirs, the command, the container."""

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
        """`create`, `start` and so on; "" where there is none."""
        return self.words[0] if self.words else ""

    @property
    def container(self) -> str:
        """The container's id."""
        return self.words[1] if len(self.words) > 1 else ""

    def option(self, *names: str) -> str:
        """Give the value of an option under one of its names; "" where it is not there."""
        return next((self.options[name] for name in names if name in self.options), "")


def find_runtime(call: Call) -> str:
    """Give the path of the real runtime."""
    named = call.option("--mcsd-runtime")
    for path in (named,) if named else RUNTIMES:
        if os.access(path, os.X_OK):
            return path
    raise RefusedError(
        f"there is no runtime to hand the container to: looked for {named or ' and '.join(RUNTIMES)};"
        " install runc, or name it in daemon.json with --mcsd-runtime"
    )


def hand_over(call: Call) -> NoReturn:
    """Become the real runtime."""
    import _signal  # type: ignore[import-not-found]  # `signal` brings enum, 3 ms

    # Python ignores these for itself, and ignored signals stay ignored over an exec.
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    path = find_runtime(call)
    os.execv(path, [path, *call.passed])


# --- asking mcsd ---------------------------------------------------------------------------------------


def ask(path: str, request: Config, patience: float) -> Config:
    """Send one line, and give the one that comes back, parsed; raise `Unreachable`."""
    import _socket
    import json

    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        connection.settimeout(patience)
        connection.connect(path)
        connection.sendall(json.dumps({"version": VERSION, **request}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                raise Unreachable(f"mcsd closed the connection at {path}")
            answer += part
        connection.close()
        parsed: Config = json.loads(answer)
        return parsed
    except (OSError, ValueError) as exc:
        raise Unreachable(f"mcsd cannot be asked at {path}: {exc}") from exc


def starts_without_answer(call: Call) -> bool:
    """Tell whether the configuration lets a container start that mcsd cannot be asked about."""
    import tomllib

    directory = call.option("--mcsd-configuration") or CONFIGURATION
    try:
        drop_ins = sorted(name for name in os.listdir(directory + "/conf.d") if name.endswith(".toml"))
    except OSError:
        drop_ins = []
    wanted: object = "refuse"
    for name in ["mcsd.toml", *("conf.d/" + one for one in drop_ins)]:
        try:
            with open(f"{directory}/{name}", "rb") as file:
                wanted = tomllib.load(file).get("gate", {}).get("on_error", wanted)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError):
            return False
    return wanted == "start"


def describe(call: Call, config: Config) -> Config:
    """Say what mcsd needs to know about a container that is being created."""
    import json

    request: Config = {
        "operation": "create",
        "container": call.container,
        "process_label": config.get("process", {}).get("selinuxLabel", ""),
        "mount_label": config.get("linux", {}).get("mountLabel", ""),
    }
    own = own_directory(call, config)
    try:
        with open(own + "/hostconfig.json", "rb") as file:
            host = json.load(file)
    except (OSError, ValueError):
        return request  # mcsd then takes Docker's level for nobody's own wish
    request["security_options"] = [str(one) for one in host.get("SecurityOpt") or ()]
    request["ipc_mode"] = str(host.get("IpcMode") or "")
    request["pid_mode"] = str(host.get("PidMode") or "")
    return request


def own_directory(call: Call, config: Config) -> str:
    """Give Docker's own directory for the container: where its `resolv.conf` and the like come from."""
    for mount in config.get("mounts") or ():
        directory, _, name = str(mount.get("source", "")).rpartition("/")
        if name in ("hostname", "hosts", "resolv.conf") and directory.endswith("/" + call.container):
            return directory
    return "/nonexistent"


def own_files(call: Call, config: Config) -> list[str]:
    """Give what Docker itself has made for the container and mounts into it."""
    own = own_directory(call, config) + "/"
    sources = [str(mount.get("source", "")) for mount in config.get("mounts") or ()]
    return [source for source in sources if source.startswith(own)]


# --- mounts --------------------------------------------------------------------------------------------


def unescape(text: str) -> str:
    """Undo the kernel's escapes in mountinfo: `\\040` and its like."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])


def mounted_at(path: str) -> tuple[str, list[str], str] | None:
    """Give file system, mount flags and options of what is mounted at `path`; None where nothing is."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields, _, more = line.rstrip("\n").partition(" - ")
            words = fields.split(" ")
            if unescape(words[4]) == path:
                kind, _, options = more.split(" ", 2)
                found = kind, words[5].split(","), unescape(options)  # the last one is on top
    return found


def split_options(text: str) -> list[str]:
    """Split mount options at commas that no quotes enclose."""
    parts, quoted = [""], False
    for char in text:
        quoted ^= char == '"'
        if char == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts


_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048}
_DETACH = 2
_SELINUX = ("context=", "fscontext=", "defcontext=", "rootcontext=", "seclabel")


def libc_call(name: str, *arguments: bytes | int) -> None:
    """Call the C library; raise `OSError` where it fails."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(kind: str, path: str, flags: list[str], options: list[str]) -> None:
    """Mount a file system that has no device."""
    number = 0
    for flag in flags:
        number |= _FLAGS.get(flag, 0)
    data = ",".join(options)
    libc_call("mount", kind.encode(), os.fsencode(path), kind.encode(), number, os.fsencode(data))


def mount_again(path: str, label: str) -> bool:
    """Mount what is at `path` anew with `context=` the label; put it back as it was where that fails.

    Relative layers in the options count from where Docker's storage driver mounts, two directories up.
    """
    there = mounted_at(path)
    if there is None or there[0] not in ("overlay", "tmpfs"):
        return False
    kind, flags, text = there
    before = [one for one in split_options(text) if one != "rw" and not one.startswith("seclabel")]
    after = [one for one in before if not one.startswith(_SELINUX)] + [f'context="{label}"']
    here = os.getcwd()
    if kind == "overlay":
        os.chdir(os.path.dirname(os.path.dirname(path)))
    try:
        libc_call("umount2", os.fsencode(path), _DETACH)
        try:
            mount(kind, path, flags, after)
        except OSError:
            mount(kind, path, flags, before)
            raise
    finally:
        os.chdir(here)
    return True


def label_file(path: str, label: str) -> None:
    """Label one of Docker's own files for the container, without following a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.setxattr(descriptor, "security.selinux", label.encode() + b"\0")
    finally:
        os.close(descriptor)


def take_on(call: Call, config: Config, labels: Config, bundle: str) -> None:
    """Have the bundle, the mounts and Docker's own files carry the labels."""
    import json

    process, label = labels["process_label"], labels["mount_label"]
    if label != config.get("linux", {}).get("mountLabel", ""):
        root = config["root"]["path"]
        root = root if root.startswith("/") else os.path.normpath(os.path.join(bundle, root))
        if not mount_again(root, label):
            raise RefusedError(
                f"the root file system at {root} is not an overlay, so it cannot be mounted with another"
                ' level; set [gate] level = "docker" in mcsd.toml'
            )
        for source in own_files(call, config):
            if not mount_again(source, label):
                label_file(source, label)
        former = {FORMER: config.get("linux", {}).get("mountLabel", "")}
        config["annotations"] = {**(config.get("annotations") or {}), **former}
    config.setdefault("process", {})["selinuxLabel"] = process
    config.setdefault("linux", {})["mountLabel"] = label
    replace_file(bundle + "/config.json", json.dumps(config))


def put_back(call: Call, bundle: str) -> None:
    """Have Docker's own files for a container that has ended carry Docker's label for it again."""
    import json

    with open(bundle + "/config.json", encoding="utf-8") as file:
        config = json.load(file)
    label = config.get("linux", {}).get("mountLabel", "")
    former = str((config.get("annotations") or {}).get(FORMER, ""))
    if label.split(":")[:3] != former.split(":")[:3]:
        return  # not ours: whoever makes a container can annotate it, and the gate changes levels alone
    for source in own_files(call, config):
        try:
            if os.getxattr(source, "security.selinux").rstrip(b"\0").decode() == label:
                label_file(source, former)
        except OSError:
            continue  # removed, or a mount that takes no labels and goes with the container


def replace_file(path: str, text: str) -> None:
    """Replace a file's content, all of it or nothing, with its mode."""
    draft = path + ".mcsd"
    mode = os.stat(path).st_mode & 0o7777
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        data = text.encode()
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
    os.rename(draft, path)


# --- the three calls -----------------------------------------------------------------------------------


def before_create(call: Call) -> None:
    """Have mcsd prepare the start, and put its labels where the runtime finds them."""
    import json

    bundle = os.path.abspath(call.option("--bundle", "-b") or ".")
    with open(bundle + "/config.json", encoding="utf-8") as file:
        config = json.load(file)
    if not config.get("process", {}).get("selinuxLabel"):
        return  # Docker confines nothing here, so there is no level to choose
    try:
        answer = ask(call.option("--mcsd-socket") or SOCKET, describe(call, config), PATIENCE)
    except Unreachable as exc:
        if starts_without_answer(call):
            warn(call, f"{exc}; started with Docker's own labels, as [gate] on_error says")
            return
        raise RefusedError(
            f'{exc}; see systemctl status mcsd, or set [gate] on_error = "start" in mcsd.toml'
        ) from exc
    if not answer.get("admitted"):
        raise RefusedError("; ".join(filter(None, (answer.get("reason"), answer.get("hint")))))
    if answer.get("warning"):
        warn(call, answer["warning"])
    if answer.get("process_label"):
        take_on(call, config, answer, bundle)


def before_exec(call: Call) -> None:
    """Have the process that enters run at the container's present level."""
    import json

    path = call.option("--process", "-p")
    if not path:
        return
    label = present_label(call)
    with open(path, encoding="utf-8") as file:
        process = json.load(file)
    if label and process.get("selinuxLabel") and process["selinuxLabel"] != label:
        process["selinuxLabel"] = label
        replace_file(path, json.dumps(process))


def present_label(call: Call) -> str:
    """Give the label of the container's first process, by what the runtime has written down; "" if none."""
    import json

    state = f"{call.option('--root')}/{call.container}"
    for name, key in (("state.json", "init_process_pid"), ("status", "pid")):
        try:
            with open(f"{state}/{name}", encoding="utf-8") as file:
                pid = int(json.load(file)[key])
            with open(f"/proc/{pid}/attr/current", encoding="utf-8") as file:
                return file.read().rstrip("\0\n")
        except FileNotFoundError:
            continue
    return ""


def called_at() -> float:
    """Give the moment at which this process was started, in seconds since the epoch."""
    import time

    with open("/proc/self/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def is_succeeded(call: Call) -> bool:
    """Tell whether the runtime has a container of this id that was made after this call."""
    directory = f"{call.option('--root')}/{call.container}"
    for name in ("state.json", "status"):
        try:
            return os.stat(f"{directory}/{name}").st_mtime > called_at()
        except FileNotFoundError:
            continue
    return False


def before_delete(call: Call) -> None:
    """Take the level off what Docker has of the container, and tell mcsd that it has ended.

    containerd calls with `--force` when a shim has gone, while Docker may have begun to start the container
    again: being slower than the runtime alone must not end the new one.
    """
    if "--force" in call.options and is_succeeded(call):
        raise SystemExit(0)
    bundle = os.getcwd()  # where containerd's shim calls from
    if os.path.basename(bundle) == call.container and os.path.exists(bundle + "/config.json"):
        try:
            put_back(call, bundle)
        except (OSError, ValueError, AttributeError) as exc:
            warn(call, f"Docker's own files for the container keep the level that it had: {exc}")
    request = {"operation": "delete", "container": call.container}
    try:
        ask(call.option("--mcsd-socket") or SOCKET, request, NOTICE_PATIENCE)
    except Unreachable:
        return  # mcsd looks for itself when it is back: the container does not run


def before_checkpoint(call: Call) -> None:
    """Decline."""
    raise RefusedError(
        "a checkpoint holds labels that mcsd will have given to somebody else by the time it is restored;"
        " remove --runtime or the default-runtime mcsd for this container"
    )


HANDLED = {
    "create": before_create,
    "exec": before_exec,
    "delete": before_delete,
    "checkpoint": before_checkpoint,
    "restore": before_checkpoint,
}


def tell(call: Call, level: str, text: str) -> None:
    """Write to the runtime's log, where containerd looks for what to show, and to standard error."""
    import json
    import time

    line = f"mcsd: {text}"
    path = call.option("--log")
    if path:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        as_json = json.dumps({"level": level, "msg": line, "time": stamp})
        entry = as_json if call.option("--log-format") == "json" else f"{stamp} {level}: {line}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, entry.encode() + b"\n")
        finally:
            os.close(descriptor)
    sys.stderr.write(line + "\n")


def warn(call: Call, text: str) -> None:
    """Tell of something that does not end the start."""
    tell(call, "warning", text)


def main(arguments: list[str]) -> int:
    """Handle a call and become the runtime; give 1 where that must not be."""
    call = Call(arguments)
    handler = HANDLED.get(call.command)
    try:
        if handler is not None:
            handler(call)
        hand_over(call)
    except RefusedError as exc:
        tell(call, "error", str(exc))
    except Exception as exc:  # noqa: BLE001  (the boundary: Docker must hear why a start failed)
        tell(call, "error", f"the gate failed at {call.command}: {exc!r}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
