"""Where engines keep their storage, by their own configuration, on hosts made of files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcsd.adapters.host.storages import storages_of_homes, storages_of_host

POOL = "<pool type='dir'><name>vms</name><target>\n<path>/srv/vms</path><permissions/></target></pool>"
FILES = {
    "etc/docker/daemon.json": (
        '{"data-root": "/srv/docker", "graph": "/srv/graph"}',
        "/srv/docker /srv/graph",
    ),
    "etc/containerd/config.toml": (
        'version = 2\nroot = "/srv/containerd"\nstate = "/srv/st"\n',
        "/srv/containerd",
    ),
    "etc/containers/storage.conf": (
        '[storage]\ngraphroot = "/srv/podman/"\n[storage.options]\nadditionalimagestores = ["/srv/images"]\n',
        "/srv/podman /srv/images",
    ),
    "usr/share/containers/storage.conf": ('[storage]\nimagestore = "/srv/store"\n', "/srv/store"),
    "etc/crio/crio.conf.d/10-root.conf": ('[crio]\nroot = "/srv/crio"\n', "/srv/crio"),
    "etc/libvirt/storage/vms.xml": (POOL, "/srv/vms"),
    "etc/lxc/lxc.conf": ("lxc.lxcpath = /srv/lxc\n# lxc.lxcpath = /no\n", "/srv/lxc"),
    "etc/rancher/k3s/config.yaml": (
        'write-kubeconfig-mode: "0644"\ndata-dir: "/srv/k3s"  # here\n',
        "/srv/k3s",
    ),
    "etc/rancher/rke2/config.yaml.d/a.yaml": ("data-dir: /srv/rke2\n", "/srv/rke2"),
}


def put(root: Path, name: str, text: str | bytes) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_each_engine_s_configuration_says(name: str, tmp_path: Path) -> None:
    text, expected = FILES[name]
    put(tmp_path, name, text)
    assert set(expected.split()) <= set(storages_of_host(str(tmp_path)))


def test_all_together_and_none_without_configuration(tmp_path: Path) -> None:
    assert storages_of_host(str(tmp_path)) == ()
    for name, (text, _) in FILES.items():
        put(tmp_path, name, text)
    assert len(storages_of_host(str(tmp_path))) == 12


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[storage",
        b"[]",
        b'{"data-root": ["/x"]}',
        b'{"data-root": "relative"}',
        b'{"data-root": "/"}',
        b"[" * 100_000,
        b'[storage]\ngraphroot = 5\n[storage.options]\nadditionalimagestores = "no list"\n',
    ],
)
def test_what_makes_no_sense_says_nothing(text: bytes, tmp_path: Path) -> None:
    for name in FILES:
        put(tmp_path, name, text)
    assert storages_of_host(str(tmp_path)) == ()


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    put(tmp_path, "etc/docker/x", "")
    os.mkfifo(tmp_path / "etc/docker/daemon.json")
    (tmp_path / "etc/containerd/config.toml").mkdir(parents=True)
    assert storages_of_host(str(tmp_path)) == ()


def test_people_s_own_engines(tmp_path: Path) -> None:
    """What somebody's file names counts where it is theirs, and for nobody else."""
    home, theirs, others = tmp_path / "home/ann", tmp_path / "data/ann", tmp_path / "data/others"
    for place in (home, theirs, others, tmp_path / "rootless/ann", tmp_path / "rootless/bob"):
        place.mkdir(parents=True)
    for place in (home, theirs, tmp_path / "rootless/ann"):
        os.chown(place, 4711, 4711)
    put(home, ".config/docker/daemon.json", json.dumps({"data-root": str(theirs)}))
    put(home, ".config/containers/storage.conf", f'[storage]\ngraphroot = "{others}"\n')
    put(
        tmp_path,
        "etc/containers/storage.conf",
        f'[storage]\nrootless_storage_path = "{tmp_path}/rootless/$USER"\n',
    )
    found = storages_of_homes([str(home), str(tmp_path / "no/such"), "/"], root=str(tmp_path))
    assert set(found) == {str(theirs), str(tmp_path / "rootless/ann")}
