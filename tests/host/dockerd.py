"""A real dockerd on this machine, apart from any other: its own data, sockets, containers and mounts.

It lives in a mount namespace of its own that takes mounts in and lets none out, so that nothing it mounts
is left, however it ends. What it puts elsewhere (`/etc/docker`, `/run`, cgroups) is taken away when it was
not there before. It has no network to give, and runs the engine and the tools that Debian packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

IMAGE = "bb"
"""The image there is: busybox, statically linked, and nothing else."""

PACKAGES = {"dockerd": "docker.io", "docker": "docker.io", "unshare": "util-linux"}
BUSYBOX = Path("/bin/busybox")
START_SECONDS = 60.0

_TRACES = [Path(p) for p in ("/etc/docker/key.json", "/etc/docker", "/run/docker/plugins", "/run/docker")] + [
    Path("/run/containerd/s"),
    Path("/run/containerd"),
]


class Dockerd:
    """A daemon whose files are below `root`, which must be a short path; start it before use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"unix://{root}/docker.sock"
        self.data_root = root / "data"
        self._log = root / "log"
        self._cgroup = f"mcsd-test-{os.getpid()}"
        self._traces = [path for path in _TRACES if not path.exists()]
        self._process: subprocess.Popen[bytes] | None = None
        self._namespace: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither stopped nor killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._process is not None, "dockerd does not run"
        return self._process.pid

    def start(self) -> None:
        """Start the daemon; returns when it answers."""
        require_tools()
        if self._namespace is None:
            # It keeps the mounts of the containers that outlive a daemon, and says when it is there.
            keeper = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo; exec sleep infinity"]
            self._namespace = subprocess.Popen(keeper, stdout=subprocess.PIPE)
            assert self._namespace.stdout is not None
            with self._namespace.stdout as ready:
                assert ready.readline() == b"\n", "unshare failed"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self._namespace.pid), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"dockerd did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the daemon as systemd would, containers included; idempotent."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the daemon with SIGKILL; its containers run on until it comes back, and then end.

        Its containerd ends with it, a moment later. A dockerd that starts in this moment takes it for
        alive, and waits for it in vain; so it is waited for here.
        """
        if self._process is not None:
            containerd = int((self.root / "exec/containerd/containerd.pid").read_text())
            self._process.kill()
            self._process.wait()
            self._process = None
            while Path(f"/proc/{containerd}").exists():
                time.sleep(0.01)

    def restart(self) -> None:
        """Stop and start the daemon."""
        self.stop()
        self.start()

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run the docker CLI against the daemon and give what it prints, without the line's end."""
        command = ["docker", "--config", str(self.root / "cli"), "--host", self.url, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
        return done.stdout.removesuffix("\n")

    def create(self, *arguments: str, name: str, command: tuple[str, ...] = ("/bin/sleep", "1000")) -> str:
        """Create a container without a network and give its id; `arguments` go before the image."""
        return self.run(
            "create", "--pull=never", "--network=none", f"--name={name}", *arguments, IMAGE, *command
        )

    def import_image(self, name: str = IMAGE, *, labels: Mapping[str, str] | None = None) -> str:
        """Make an image of busybox with these labels and give its id."""
        archive = self.root / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(BUSYBOX, "bin/busybox")
            for tool in ("sh", "sleep", "ls", "cat", "touch", "true", "echo"):
                link = tarfile.TarInfo(f"bin/{tool}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        changes = [f"--change=LABEL {key}={value}" for key, value in (labels or {}).items()]
        try:
            return self.run("import", *changes, str(archive), name)
        finally:
            archive.unlink()

    def waiting_runtime(self) -> str:
        """Write a runtime that `holding_starts` holds up; give its path."""
        program = self.root / "waits"
        held, at_work = self.root / "held", self.root / "at-work"
        program.write_text(
            f'#!/bin/sh\nwhile [ -e {held} ]; do : >{at_work}; sleep 0.05; done\nexec runc "$@"\n'
        )
        program.chmod(0o755)
        return str(program)

    @contextlib.contextmanager
    def holding_starts(self) -> Iterator[None]:
        """Hold up whatever the runtime `waits` is called for within the block."""
        held, at_work = self.root / "held", self.root / "at-work"
        held.touch()
        try:
            yield
        finally:
            held.unlink()
            at_work.unlink(missing_ok=True)

    def until_held(self) -> None:
        """Wait until a start is held up."""
        deadline = time.monotonic() + START_SECONDS
        while not (self.root / "at-work").exists():
            assert time.monotonic() < deadline, "no start came to the runtime"
            time.sleep(0.02)

    def remove_containers(self) -> None:
        """Remove all containers, running or not, with their volumes."""
        if idents := self.run("ps", "--all", "--quiet", "--no-trunc").split():
            self.run("rm", "--force", "--volumes", *idents)

    def clean_up(self) -> None:
        """End everything that came from this daemon and remove every trace of it."""
        try:
            if self._process is not None:
                self.remove_containers()
        finally:
            self.stop()
            self._remove_traces()

    def _remove_traces(self) -> None:
        for pid in self._offspring():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self._offspring():
            time.sleep(0.01)
        if self._namespace is not None:
            self._namespace.kill()
            self._namespace.wait()
        shutil.rmtree(self.root)
        for folder in sorted(Path("/sys/fs/cgroup").glob(f"**/{self._cgroup}"), reverse=True):
            folder.rmdir()
        for path in self._traces:
            with contextlib.suppress(OSError):  # another engine started meanwhile and uses it
                path.unlink() if path.is_file() else path.rmdir()

    def _command(self, namespace: int) -> list[str]:
        root = self.root
        return [
            *("nsenter", f"--mount=/proc/{namespace}/ns/mnt", "dockerd"),
            f"--data-root={self.data_root}",
            f"--exec-root={root}/exec",
            f"--pidfile={root}/pid",
            f"--config-file={root}/daemon.json",
            f"--host={self.url}",
            f"--cgroup-parent=/{self._cgroup}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--bridge=none",
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(f"{self.root}/docker.sock")
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b"200 OK" in probe.recv(4096)
            except OSError:
                return False

    def _offspring(self) -> list[int]:
        """Find the daemon's containerd and shims, which can outlive it, by the path they name."""
        ours = f"{self.root}/exec/".encode()
        return [int(p) for p in os.listdir("/proc") if p.isdecimal() and ours in _command_line(p)]


def require_tools() -> None:
    """Fail, with the package to install, unless everything is there that a dockerd of ours needs."""
    missing = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    if not _is_static(BUSYBOX):
        missing.add("busybox-static")
    if os.geteuid() != 0:
        raise AssertionError("tests/host starts a dockerd and must run as root")
    if missing:
        raise AssertionError(f"missing for tests/host: apt-get install {' '.join(sorted(missing))}")


@contextlib.contextmanager
def running_dockerd(root: Path) -> Iterator[Dockerd]:
    """Run a dockerd below `root` with its image, and leave nothing of it."""
    daemon = Dockerd(root)
    configuration = root / "daemon.json"
    if not configuration.exists():
        configuration.write_text(json.dumps({"runtimes": {"waits": {"path": daemon.waiting_runtime()}}}))
    try:
        daemon.start()
        daemon.import_image()
        yield daemon
    finally:
        daemon.clean_up()


def _is_static(program: Path) -> bool:
    """Tell whether an ELF program names no interpreter (`PT_INTERP` is a path to ld.so)."""
    return program.is_file() and b"/ld-linux" not in program.read_bytes()


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended
        return b""
