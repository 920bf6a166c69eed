"""Where engines keep their storage on this host, as their own configuration says.

Read are Docker's `data-root`, containerd's and CRI-O's `root`, the `graphroot` and the like of Podman,
Buildah and Skopeo for the host and for each user (containers-storage.conf(5)), the pools of libvirt, LXC's
`lxc.lxcpath`, and the data directories of k3s, RKE2 and the kubelet. The default places are in
`mcsd.core.protected`. A file that cannot be parsed is ignored.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_LARGEST = 4 * 2**20
"""The most bytes of a configuration file; real ones are smaller."""

_DOCKER = ("/etc/docker/daemon.json",)
_CONTAINERD = ("/etc/containerd/config.toml",)
_STORAGE = ("/usr/share/containers/storage.conf", "/etc/containers/storage.conf")
_CRIO = ("/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*.conf")
_LIBVIRT = ("/etc/libvirt/storage/*.xml", "/run/libvirt/storage/*.xml")
_LXC = ("/etc/lxc/lxc.conf",)
_YAML = (
    "/etc/rancher/k3s/config.yaml",
    "/etc/rancher/k3s/config.yaml.d/*.yaml",
    "/etc/rancher/rke2/config.yaml",
    "/etc/rancher/rke2/config.yaml.d/*.yaml",
)
_IN_HOMES = (".config/docker/daemon.json", ".config/containers/storage.conf", ".config/lxc/lxc.conf")

_LXC_PATH = re.compile(r"^\s*lxc\.lxcpath\s*=\s*(\S.*?)\s*$", re.MULTILINE)
_DATA_DIR = re.compile(r"""^\s*(?:data-dir|root-dir):\s*["']?([^"'#\n]+?)["']?\s*(?:#.*)?$""", re.MULTILINE)
_POOL = re.compile(r"<target>.*?<path>([^<]+)</path>", re.DOTALL)


def storages_of_host(root: str = "/") -> tuple[str, ...]:
    """List the storage of the host's engines; `root` is where the host's files are. Raises nothing."""
    wanted: list[tuple[Iterable[str], Reader]] = [
        (_DOCKER, _docker),
        (_CONTAINERD, _containerd),
        (_STORAGE, _storage),
        (_CRIO, _crio),
        (_LIBVIRT, _POOL.findall),
        (_LXC, _LXC_PATH.findall),
        (_YAML, _DATA_DIR.findall),
    ]
    found = (path for patterns, read in wanted for one in patterns for path in _read(root, one, read))
    return _absolute(found)


def storages_of_homes(homes: Iterable[str], root: str = "/") -> tuple[str, ...]:
    """List the storage of rootless engines, according to the host's and the users' own files. Raises nothing.

    A path in a user's own file only counts if the user owns it: otherwise anybody could make mcsd leave other
    users' directories alone.
    """
    readers: tuple[Reader, ...] = (_docker, _storage, _LXC_PATH.findall)
    files = list(zip(_IN_HOMES, readers, strict=True))
    everybody_s = [path for pattern in _STORAGE for path in _read(root, pattern, _rootless)]
    found: list[str] = []
    for home in homes:
        owner = _owner(home)
        if owner in {0, None}:
            continue  # root's engines count as the host's
        theirs = [path for pattern, read in files for path in _read(home, pattern, read)]
        expanded = (_expanded(path, home, owner) for path in (*theirs, *everybody_s))
        found += [path for path in expanded if _owner(path) == owner]
    return _absolute(found)


def _expanded(path: str, home: str, owner: int | None) -> str:
    name = PurePosixPath(home).name
    return path.replace("$HOME", home).replace("$USER", name).replace("$UID", str(owner))


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except (OSError, ValueError):
        return None


def _absolute(paths: Iterable[str]) -> tuple[str, ...]:
    cleaned = (path for path in paths if path.startswith("/") and not {"$", "\0"} & set(path))
    return tuple(dict.fromkeys(path.rstrip("/") for path in cleaned if path.rstrip("/")))


Reader = Callable[[str], Iterable[object]]
"""Returns the paths in a file's text; raises whatever its parser raises."""


def _read(root: str, pattern: str, read: Reader) -> Iterator[str]:
    try:
        files = sorted(Path(root).glob(pattern.lstrip("/")))
    except OSError:
        return
    for file in files:
        try:
            with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
                text = opened.read(_LARGEST).decode()
            found = [path for path in read(text) if isinstance(path, str)]
        except (OSError, ValueError, RecursionError):
            continue  # it cannot be parsed, neither here nor by its engine
        yield from found


def _table(data: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _docker(text: str) -> Iterable[object]:
    table = _table(json.loads(text))
    return table.get("data-root"), table.get("graph")


def _containerd(text: str) -> Iterable[object]:
    table = tomllib.loads(text)
    return table.get("root"), table.get("state")


def _storage(text: str) -> Iterable[object]:
    table = _table(tomllib.loads(text), "storage")
    options = _table(table, "options")
    more = options.get("additionalimagestores")
    names = ("graphroot", "runroot", "imagestore")
    return [*(table.get(name) for name in names), *(more if isinstance(more, list) else [])]


def _rootless(text: str) -> Iterable[object]:
    return [_table(tomllib.loads(text), "storage").get("rootless_storage_path")]


def _crio(text: str) -> Iterable[object]:
    table = _table(tomllib.loads(text), "crio")
    return table.get("root"), table.get("runroot")
