"""A container's OCI bundle, and Docker's own files and mounts for the container.

`take_on` and `put_back` have the same result wherever an earlier call was interrupted. The bundle is written
first: from then on it says which labels mcsd has written where, and what was there before.
"""

from __future__ import annotations

import os

from .mounts import MountInfo, carry, mounts_at
from .text import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMER = "io.mcsd.mount-label"
"""The annotation in the bundle with the label that Docker had chosen."""
_LABEL = "security.selinux"
_OURS = "io.mcsd."
_PODMAN_LABEL = "io.podman.annotations.label"
"""The annotation with what `--security-opt label=` said."""


class Bundle:
    """A container's bundle. Its labels are Docker's unless somebody else has changed them."""

    def __init__(self, path: str, container: str, config: dict[str, Any] | None = None) -> None:
        """Read a bundle; `config` is what will be in it, for one that is not on disk yet."""
        self.path = path
        self.container = container
        self._is_on_disk = config is None
        if config is None:
            with open(path + "/config.json", encoding="utf-8") as file:
                config = parse(file.read())
        self._config: dict[str, Any] = config
        self.process_label: str = self._config.get("process", {}).get("selinuxLabel", "")
        self.mount_label: str = self._config.get("linux", {}).get("mountLabel", "")

    @property
    def root(self) -> str:
        """The path of the root file system."""
        return os.path.realpath(os.path.join(self.path, self._config["root"]["path"]))

    @property
    def sources(self) -> list[str]:
        """The sources of the mounts, one each."""
        return [str(mount.get("source") or "") for mount in self._config.get("mounts") or ()]

    @property
    def own_directories(self) -> list[str]:
        """The engine's own directories for the container, with its `resolv.conf` and the like.

        Docker has one, Podman one on disk and one in /run.
        """
        found = []
        for middle in (f"/containers/{self.container}/", f"/overlay-containers/{self.container}/userdata/"):
            found += [s[: s.index(middle) + len(middle)] for s in self.sources if middle in s]
        return list(dict.fromkeys(found))

    @property
    def namespace(self) -> str:
        """containerd's namespace of a task that is not Docker's, by its bundle's place; "" for all others.

        Docker's is `moby`, and with userns-remap its name and the ids that root is mapped to.
        """
        _, found, rest = self.path.rpartition("/io.containerd.runtime.v2.task/")
        namespace, _, name = rest.partition("/")
        if not found or name != self.container or namespace == "moby" or namespace.startswith("moby-"):
            return ""
        return "" if self._is_kept_by_docker() else namespace

    def _is_kept_by_docker(self) -> bool:
        """Tell whether Docker has a directory for it: its namespace's name can be configured."""
        return any(os.path.exists(one + "hostconfig.json") for one in self.own_directories)

    @property
    def ident(self) -> str:
        """The container's id for mcsd: `mcsd.core.containers.task_id` has the same for a task's name."""
        if not self.namespace or _is_full_id(self.container):
            return self.container
        import hashlib

        return hashlib.sha256(f"{self.namespace}/{self.container}".encode()).hexdigest()

    @property
    def is_podman_s(self) -> bool:
        """Whether it is Podman's, by its place: what is in it may be the container's owner's."""
        return self.path.endswith(f"/overlay-containers/{self.container}/userdata")

    def description(self) -> dict[str, Any]:
        """Return what mcsd needs to know about a container that is being created."""
        return {
            "container": self.ident,
            "process_label": self.process_label,
            "mount_label": self.mount_label,
            **self._of_engine(),
            "obstacle": self._obstacle() if self._is_on_disk else "",
        }

    def _of_engine(self) -> dict[str, Any]:
        if self.namespace:
            return {
                "containerd": {
                    "name": task_name(self.namespace, self.container, self._notes),
                    **self._bound(),
                }
            }
        return self._of_podman() if self.is_podman_s else self._host_settings()

    @property
    def _notes(self) -> dict[str, Any]:
        return self._config.get("annotations") or {}

    def _bound(self) -> dict[str, Any]:
        """Return the bind mounts, and the annotations that are for mcsd."""
        binds = [one for one in self._config.get("mounts") or () if one.get("type") == "bind"]
        return {
            "mounts": [
                {
                    "source": str(one.get("source") or ""),
                    "destination": str(one.get("destination") or ""),
                    "options": [str(option) for option in one.get("options") or ()],
                }
                for one in binds
            ],
            "annotations": {key: str(value) for key, value in self._notes.items() if key.startswith(_OURS)},
        }

    def _obstacle(self) -> str:
        root = mounts_at(self.root).get(self.root)
        return root.obstacle if root else f"nothing is mounted at {self.root}"

    def _host_settings(self) -> dict[str, Any]:
        try:
            with open(self.own_directories[0] + "hostconfig.json", "rb") as file:
                host = parse(file.read())
        except (IndexError, OSError, ValueError):
            return {}  # then mcsd treats the level as Docker's own choice
        return {
            "security_options": [str(one) for one in host.get("SecurityOpt") or ()],
            "ipc_mode": str(host.get("IpcMode") or ""),
            "pid_mode": str(host.get("PidMode") or ""),
            "subpaths": _subpaths(host),
        }

    def _of_podman(self) -> dict[str, Any]:
        """Return what Podman cannot be asked while it starts the container."""
        options = [str(one) for one in str(self._notes.get(_PODMAN_LABEL) or "").split(",label=") if one]
        return {
            "security_options": [f"label={one}" for one in options],
            "ipc_mode": self._shared("ipc"),
            "pid_mode": self._shared("pid"),
            "podman": {
                "name": (name_of_conmon() if self._is_on_disk else "") or self._stored_name(),
                **self._bound(),
            },
        }

    def _stored_name(self) -> str:
        """Return the name by which the engine's storage knows the container; "" if it does not say.

        A hook is Podman's own child: there is no conmon yet whose command line has the name. In a service, a
        policy may have the command line hidden from the gate.
        """
        for directory in self.own_directories:
            above = directory.partition(self.container)[0]
            for name in ("containers.json", "volatile-containers.json"):
                try:
                    with open(above + name, encoding="utf-8") as file:
                        stored = parse(file.read())
                except (OSError, ValueError):
                    continue
                for one in stored or ():
                    if one.get("id") == self.container and one.get("names"):
                        return str(one["names"][0])
        return ""

    def _shared(self, kind: str) -> str:
        """Return `container:ID` for a namespace of another container's, as Docker writes it; "" if none."""
        for namespace in self._config.get("linux", {}).get("namespaces") or ():
            parts = str(namespace.get("path") or "").split("/")
            if namespace.get("type") == kind and parts[:2] == ["", "proc"] and parts[2].isdecimal():
                other = container_of_process(int(parts[2]))
                return f"container:{other}" if other else ""
        return ""

    def take_on(self, process: str, label: str) -> None:
        """Label the bundle, the mounts and Docker's own files; raise `OSError`."""
        self._write(process, label)
        own, mounted = self._places()
        for place in mounted.values():
            carry(place, label)
        for source in own:
            if label_on(source) != label:
                label_file(source, label)

    def put_back(self, *, runs: bool) -> None:
        """Restore Docker's label on its files and mounts for a container that has ended.

        The root file system too, if no process `runs` in it: Docker keeps it mounted for a restart, which may
        not come through the gate.
        """
        label, former = self.mount_label, str((self._config.get("annotations") or {}).get(FORMER, ""))
        if label == former or label.split(":")[:3] != former.split(":")[:3]:
            return  # not ours: whoever creates a container can annotate it; the gate only changes levels
        own, mounted = self._places()
        for source in own:
            try:
                if label_on(source) == label:
                    label_file(source, former)
            except OSError:
                continue  # removed meanwhile
        root = mounted.get(self.root)
        if root is not None and root.context == label and not runs:
            carry(root, former)

    def _write(self, process: str, label: str) -> None:
        notes = {
            key: value for key, value in (self._config.get("annotations") or {}).items() if key != FORMER
        }
        if label != self.mount_label:
            notes[FORMER] = self.mount_label
        linux, settings = self._config.setdefault("linux", {}), self._config.setdefault("process", {})
        before = (
            settings.get("selinuxLabel"),
            linux.get("mountLabel"),
            self._config.get("annotations") or {},
        )
        if before == (process, label, notes):
            return
        settings["selinuxLabel"], linux["mountLabel"], self._config["annotations"] = process, label, notes
        replace_file(self.path + "/config.json", dumps(self._config))

    def _places(self) -> tuple[list[str], dict[str, MountInfo]]:
        """Return Docker's own files for the container, and its mounts, including the root."""
        own = self.own_directories
        mounted = {
            path: place
            for path, place in mounts_at(self.root, *own).items()
            if path == self.root or any(_is_below(source, path) for source in self.sources)
        }
        files = [source for source in self.sources if source.startswith(tuple(own))]
        return [one for one in files if not any(_is_below(one, path) for path in mounted)], mounted


def _subpaths(host: dict[str, Any]) -> dict[str, str]:
    """Return mounted subpaths of volumes by destination, which are not in Docker's list of containers."""
    wanted = [one for one in host.get("Mounts") or () if one.get("Type") == "volume"]
    parts = {one.get("Target"): (one.get("VolumeOptions") or {}).get("Subpath") for one in wanted}
    return {str(target): str(part) for target, part in parts.items() if target and part}


def name_of_conmon() -> str:
    """Return the name of the container that the calling conmon watches; "" if another program calls."""
    try:
        with open(f"/proc/{os.getppid()}/cmdline", encoding="utf-8", errors="replace") as file:
            words = file.read().split("\0")
    except OSError:
        return ""
    if os.path.basename(words[0]) != "conmon" or "-n" not in words:
        return ""
    return words[words.index("-n") + 1]


def task_name(namespace: str, name: str, annotations: dict[str, Any]) -> str:
    """Return a task's name: nerdctl's if it has one, and the namespace before it unless that is the usual."""
    shown = str(annotations.get("nerdctl/name") or name)
    return shown if namespace == "default" else f"{namespace}:{shown}"


def from_hook(text: bytes) -> Bundle:
    """Return the bundle that a hook of Podman's is told of; raise `ValueError` if it is not Podman's.

    Nothing in it names the container, except where Podman keeps its own files for it, and its control group.
    Whoever creates the container can mount something else in that place, but has no say in the group's name.
    """
    config = parse(text)
    group = str(config.get("linux", {}).get("cgroupsPath") or "")[-64:]
    for mount in config.get("mounts") or ():
        above, found, rest = str(mount.get("source") or "").partition("/overlay-containers/")
        ident, _, inside = rest.partition("/")
        is_own = mount.get("destination") == "/run/.containerenv" and inside == "userdata/.containerenv"
        if found and is_own and _is_full_id(ident) and group in (ident, ""):
            return Bundle(f"{above}{found}{ident}/userdata", ident, config)
    raise ValueError("it has no /run/.containerenv of Podman's: the hook serves Podman alone")


def _is_full_id(text: str) -> bool:
    return len(text) == 64 and not text.strip("0123456789abcdef")


def container_of_process(pid: int) -> str:
    """Return the Podman container that a process is in, by its control group; "" if it is in none."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            group = file.read()
    except OSError:
        return ""
    ident = group.partition("/libpod-")[2][:64]
    return ident if _is_full_id(ident) else ""


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def label_on(path: str) -> str:
    """Return a file's own label; "" if it has none."""
    try:
        return os.getxattr(path, _LABEL, follow_symlinks=False).rstrip(b"\0").decode()
    except OSError as exc:
        import errno

        if exc.errno in (errno.ENODATA, errno.ENOTSUP):
            return ""
        raise


def label_file(path: str, label: str) -> None:
    """Label one of Docker's own files for the container, without following a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.setxattr(descriptor, _LABEL, label.encode() + b"\0")
    finally:
        os.close(descriptor)


def replace_file(path: str, text: str) -> None:
    """Replace a file's content atomically, keeping its mode."""
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
