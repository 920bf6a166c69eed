"""What the gate does with a bundle: labels taken on and put back, mounts read from the kernel's table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mcsd.api.gate_socket import GateRequest
from mcsd.runtime.oci import bundle as bundles
from mcsd.runtime.oci.bundle import FORMER, Bundle, from_hook, label_file
from mcsd.runtime.oci.mounts import MountInfo, mounts_at, split_options, unescape

ID = "f" * 64
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="labels are root's to write")


def label(pair: str) -> str:
    return f"system_u:object_r:container_file_t:s0:{pair}"


def process(pair: str) -> str:
    return f"system_u:system_r:container_t:s0:{pair}"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Docker's own directory for the container."""
    path = tmp_path / "containers" / ID
    path.mkdir(parents=True)
    return path


def bundle_of(tmp_path: Path, own: Path, *names: str, **fields: Any) -> Bundle:
    """A bundle with these of Docker's own files mounted."""
    (tmp_path / "bundle").mkdir(exist_ok=True)
    config = {
        "process": {"selinuxLabel": process("c1,c2")},
        "linux": {"mountLabel": label("c1,c2")},
        "root": {"path": str(tmp_path / "nothing")},
        "mounts": [{"destination": f"/{name}", "source": str(own / name)} for name in names],
    }
    (tmp_path / "bundle" / "config.json").write_text(json.dumps({**config, **fields}))
    return Bundle(str(tmp_path / "bundle"), ID)


def read(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(bundle.path, "config.json").read_text())
    return found


def label_on(path: Path) -> str:
    return os.getxattr(path, "security.selinux")[:-1].decode()


def test_mcsd_is_told_what_whoever_made_the_container_asked_for(tmp_path: Path, own: Path) -> None:
    settings = {"SecurityOpt": ["label=level:s0:c3,c4"], "IpcMode": "container:x", "PidMode": ""}
    (own / "hostconfig.json").write_text(json.dumps(settings))
    told = bundle_of(tmp_path, own, "mounts/shm").description()
    assert told["security_options"] == ["label=level:s0:c3,c4"] and told["ipc_mode"] == "container:x"
    assert told["process_label"] == process("c1,c2") and "nothing is mounted" in told["obstacle"]


def test_mcsd_is_told_which_parts_of_volumes_are_mounted(tmp_path: Path, own: Path) -> None:
    wanted = [
        {"Type": "volume", "Source": "v", "Target": "/d", "VolumeOptions": {"Subpath": "a/b"}},
        {"Type": "volume", "Source": "v", "Target": "/whole"},
        {"Type": "image", "Source": "i", "Target": "/i", "ImageOptions": {"Subpath": "etc"}},
    ]
    for mounts, expected in ((wanted, {"/d": "a/b"}), (None, {})):
        (own / "hostconfig.json").write_text(json.dumps({"Mounts": mounts}))
        assert bundle_of(tmp_path, own, "hosts").description()["subpaths"] == expected


def test_another_container_s_files_are_not_its_own(tmp_path: Path, own: Path) -> None:
    """`--network container:X` mounts X's `resolv.conf`."""
    other = {"destination": "/etc/hosts", "source": str(own.parent / ("e" * 64) / "hosts")}
    assert bundle_of(tmp_path, own, mounts=[other]).own_directories == []


@needs_root
def test_labels_are_taken_on_and_put_back_exactly(tmp_path: Path, own: Path) -> None:
    """Promises 2 and 6."""
    for name in ("hosts", "hostname"):
        (own / name).write_text("")
        label_file(str(own / name), label("c1,c2"))
    bundle = bundle_of(tmp_path, own, "hosts", "hostname", annotations={"mine": "stays"})
    bundle.take_on(process("c3,c4"), label("c3,c4"))
    config = read(bundle)
    assert config["process"]["selinuxLabel"] == process("c3,c4")
    assert config["linux"]["mountLabel"] == label("c3,c4")
    assert config["annotations"] == {"mine": "stays", FORMER: label("c1,c2")}
    assert label_on(own / "hosts") == label("c3,c4")
    label_file(str(own / "hostname"), label("c5,c6"))  # somebody else's wish since
    Bundle(bundle.path, ID).put_back(runs=False)
    assert [label_on(own / name) for name in ("hosts", "hostname")] == [label("c1,c2"), label("c5,c6")]


@needs_root
def test_a_gone_file_keeps_no_other_from_being_put_back(tmp_path: Path, own: Path) -> None:
    (own / "hosts").write_text("")
    label_file(str(own / "hosts"), label("c3,c4"))
    config = {"linux": {"mountLabel": label("c3,c4")}, "annotations": {FORMER: label("c1,c2")}}
    bundle_of(tmp_path, own, "gone", "hosts", **config).put_back(runs=False)
    assert label_on(own / "hosts") == label("c1,c2")


@needs_root
def test_nobody_else_s_word_for_a_former_label_counts(tmp_path: Path, own: Path) -> None:
    """Promise 10: the gate changes levels, never types."""
    (own / "hosts").write_text("")
    label_file(str(own / "hosts"), label("c3,c4"))
    forged = {FORMER: "system_u:object_r:shadow_t:s0"}
    config = {"linux": {"mountLabel": label("c3,c4")}, "annotations": forged}
    bundle_of(tmp_path, own, "hosts", **config).put_back(runs=False)
    assert label_on(own / "hosts") == label("c3,c4")


STEPS = ("replace_file", "label_file", "label_file")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@needs_root
@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_the_end_puts_everything_back_and_a_start_takes_everything_on(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    """Promises 2, 6 and 9: the bundle says what there is to undo before anything else is done."""
    names = ("hosts", "hostname")
    for name in names:
        (own / name).write_text("")
        label_file(str(own / name), label("c1,c2"))
    bundle = bundle_of(tmp_path, own, *names)
    real = {name: getattr(bundles, name) for name in set(STEPS)}
    done: list[str] = []

    def killing(name: str) -> Any:
        def call(*arguments: object) -> None:
            if len(done) == step and not after:
                raise Killed
            done.append(name)
            real[name](*arguments)
            if len(done) == step + 1 and after:
                raise Killed

        return call

    for name in real:
        monkeypatch.setattr(bundles, name, killing(name))
    with pytest.raises(Killed):
        bundle.take_on(process("c3,c4"), label("c3,c4"))
    for name, function in real.items():
        monkeypatch.setattr(bundles, name, function)
    assert done == list(STEPS[: step + after])
    Bundle(bundle.path, ID).put_back(runs=False)
    assert {label_on(own / name) for name in names} == {label("c1,c2")}, "as Docker had it"
    again = bundle_of(tmp_path, own, *names)
    again.take_on(process("c5,c6"), label("c5,c6"))
    assert {label_on(own / name) for name in names} == {label("c5,c6")}


# --- mounts --------------------------------------------------------------------------------------------


def test_mount_options_are_split_outside_quotes() -> None:
    text = 'lowerdir=l/A:l/B,context="a:b:c:s0:c1,c2",index=off'
    assert split_options(text) == ["lowerdir=l/A:l/B", 'context="a:b:c:s0:c1,c2"', "index=off"]
    assert unescape(r"/a\040b\134c") == "/a b\\c"


def test_a_mount_tells_its_label_and_what_it_was_made_with() -> None:
    options = ["rw", 'context="a:b:c:s0:c1,c2"', "lowerdir=l/A", "seclabel", "index=off"]
    mounted = MountInfo("/d/overlay2/x/merged", "overlay", ["rw"], options)
    assert mounted.context == "a:b:c:s0:c1,c2" and mounted.base == "/d/overlay2"
    assert mounted.plain_options == ["lowerdir=l/A", "index=off"]


@pytest.mark.parametrize(
    ("kind", "option", "expected"),
    [
        ("btrfs", "", "is btrfs, not an overlay"),
        ("overlay", "lowerdir=l/GONE:l/B", "where it cannot be found"),
        ("overlay", "lowerdir+=l/GONE", "where it cannot be found"),
        ("overlay", "lowerdir=/:l/B", ""),
        ("tmpfs", "size=64k", ""),
    ],
)
def test_what_stands_in_the_way_of_another_label_is_said(kind: str, option: str, expected: str) -> None:
    obstacle = MountInfo("/nonexistent/x/merged", kind, [], [option]).obstacle
    assert expected in obstacle and bool(expected) is bool(obstacle)


def test_the_kernel_s_table_is_read() -> None:
    assert mounts_at("/proc")["/proc"].kind == "proc"
    assert mounts_at("/nonexistent", "/nonexistent/") == {}


# --- Podman --------------------------------------------------------------------------------------------


def podman_bundle(tmp_path: Path, **fields: Any) -> Bundle:
    """A bundle where Podman has it."""
    place = tmp_path / "overlay-containers" / ID / "userdata"
    place.mkdir(parents=True, exist_ok=True)
    config = {
        "process": {"selinuxLabel": process("c1,c2")},
        "linux": {"mountLabel": label("c1,c2")},
        "root": {"path": str(tmp_path / "nothing")},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/srv/a", "options": ["rbind", "ro"]},
            {"destination": "/etc/hosts", "type": "bind", "source": f"{place}/hosts", "options": ["bind"]},
        ],
        "annotations": {"io.container.manager": "libpod", "io.mcsd.volume": "/data:shared"},
    }
    (place / "config.json").write_text(json.dumps({**config, **fields}))
    return Bundle(str(place), ID)


def test_podman_s_bundle_says_what_podman_cannot_be_asked(tmp_path: Path) -> None:
    told = podman_bundle(tmp_path).description()
    assert told["podman"]["annotations"] == {"io.mcsd.volume": "/data:shared"}
    assert [mount["destination"] for mount in told["podman"]["mounts"]] == ["/data", "/etc/hosts"]
    assert told["podman"]["mounts"][0] == {
        "source": "/srv/a",
        "destination": "/data",
        "options": ["rbind", "ro"],
    }
    assert GateRequest.model_validate({"version": 1, "operation": "create", **told}).podman is not None


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("level:s0:c3,c4", ["label=level:s0:c3,c4"]),
        ("type:spc_t,label=level:s0:c3,c4", ["label=type:spc_t", "label=level:s0:c3,c4"]),
        ("", []),
    ],
)
def test_the_label_options_are_read_from_podman_s_annotation(
    tmp_path: Path, written: str, options: list[str]
) -> None:
    notes = {"io.podman.annotations.label": written}
    assert podman_bundle(tmp_path, annotations=notes).description()["security_options"] == options


def test_a_bundle_is_podman_s_by_its_place_and_not_by_what_is_in_it(tmp_path: Path, own: Path) -> None:
    """Whoever makes a Docker container can annotate it."""
    bundle = bundle_of(tmp_path, own, annotations={"io.container.manager": "libpod"})
    assert "podman" not in bundle.description()


@pytest.mark.parametrize(
    ("namespace", "kept", "expected"),
    [
        ("moby", False, ""),
        ("moby-100000.100000", False, ""),  # with userns-remap
        ("ours", True, ""),  # as containerd-namespace in daemon.json may have it
        ("ours", False, "ours"),
        ("default", False, "default"),
    ],
)
def test_a_task_of_docker_s_is_docker_s_whatever_its_namespace_is_called(
    tmp_path: Path, own: Path, namespace: str, kept: bool, expected: str
) -> None:
    """And one of containerd's is containerd's, although it may bind a file of such a name."""
    if kept:
        (own / "hostconfig.json").write_text("{}")
    written = bundle_of(tmp_path, own, "hostname")
    place = tmp_path / "io.containerd.runtime.v2.task" / namespace / ID
    place.parent.mkdir(parents=True)
    Path(written.path).rename(place)
    bundle = Bundle(str(place), ID)
    assert bundle.namespace == expected
    assert ("containerd" in bundle.description()) is bool(expected)


def test_a_namespace_of_another_container_is_told_as_docker_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the control group of the process whose namespace it is, which its container cannot choose."""
    found = {7: "e" * 64, 8: ""}
    monkeypatch.setattr(bundles, "container_of_process", found.__getitem__)
    for pid, expected in ((7, f"container:{'e' * 64}"), (8, "")):
        spaces = [{"type": "ipc", "path": f"/proc/{pid}/ns/ipc"}, {"type": "pid"}, {"type": "network"}]
        linux = {"mountLabel": label("c1,c2"), "namespaces": spaces}
        told = podman_bundle(tmp_path, linux=linux).description()
        assert (told["ipc_mode"], told["pid_mode"]) == (expected, "")


@needs_root
def test_podman_s_files_in_both_places_take_the_label_on(tmp_path: Path) -> None:
    disk, memory = tmp_path / "lib", tmp_path / "run"
    mounts = []
    for top in (disk, memory):
        place = top / "overlay-containers" / ID / "userdata"
        place.mkdir(parents=True)
        (place / "file").write_text("")
        label_file(str(place / "file"), label("c1,c2"))
        mounts.append({"destination": f"/{top.name}", "type": "bind", "source": f"{place}/file"})
    podman_bundle(tmp_path, mounts=mounts).take_on(process("c3,c4"), label("c3,c4"))
    assert {label_on(Path(str(mount["source"]))) for mount in mounts} == {label("c3,c4")}


# --- the hook ------------------------------------------------------------------------------------------


def hooked(
    tmp_path: Path, *, own: str = "/run/.containerenv", group: str = f"machine.slice:libpod:{ID}"
) -> bytes:
    """What Podman tells a hook of the stage precreate: the bundle is not on disk yet."""
    place = f"{tmp_path}/overlay-containers/{ID}/userdata"
    mounts = [
        {"destination": "/data", "type": "bind", "source": "/srv/a"},
        {"destination": own, "type": "bind", "source": f"{place}/.containerenv"},
    ]
    linux = {"mountLabel": label("c1,c2"), "cgroupsPath": group}
    config = {"process": {"selinuxLabel": process("c1,c2")}, "linux": linux, "mounts": mounts}
    return json.dumps(config).encode()


@pytest.mark.parametrize("group", [f"machine.slice:libpod:{ID}", f"/libpod_parent/libpod-{ID}", ""])
def test_a_hook_knows_the_container_by_podman_s_own_file_and_group(tmp_path: Path, group: str) -> None:
    told = from_hook(hooked(tmp_path, group=group)).description()
    assert told["container"] == ID and told["obstacle"] == ""
    assert {mount["destination"] for mount in told["podman"]["mounts"]} == {"/data", "/run/.containerenv"}
    GateRequest.model_validate({"version": 1, "operation": "create", "keeps_level": True, **told})


@pytest.mark.parametrize("lie", [{"own": "/data"}, {"group": "machine.slice:libpod:" + "e" * 64}])
def test_a_container_that_mounts_another_s_file_is_not_taken_for_it(
    tmp_path: Path, lie: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="containerenv"):
        from_hook(hooked(tmp_path, **lie))


@pytest.mark.parametrize("name", ["containers.json", "volatile-containers.json"])
def test_a_hook_has_the_name_from_podman_s_storage(tmp_path: Path, name: str) -> None:
    place = tmp_path / "overlay-containers"
    place.mkdir()
    assert from_hook(hooked(tmp_path)).description()["podman"]["name"] == ""
    (place / name).write_text(
        json.dumps([{"id": "e" * 64, "names": ["other"]}, {"id": ID, "names": ["web"]}])
    )
    assert from_hook(hooked(tmp_path)).description()["podman"]["name"] == "web"
