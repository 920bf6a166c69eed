"""Docker's answers become plain values, or an error that names the field and the object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.adapters.docker.inspect import (
    ApiVersions,
    read_container,
    read_event,
    read_image_labels,
    read_info,
    read_list,
    read_refusal,
    read_versions,
)
from mcsd.core.containers import Container, ContainerId, EngineEvent, Mount, MountKind
from mcsd.core.labels import Context, Level, UnreadableLabel
from mcsd.errors import EngineProtocolError, LabelSyntaxError
from tests.fakes.docker_documents import Document, container_document, event_document, recorded

ID = "ab" * 32
VERSIONS = ApiVersions((1, 12), (1, 41))


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def inspected(change: Callable[[Document], object] = lambda _: None, **options: object) -> Container:
    document = container_document(ID, "web", **options)  # type: ignore[arg-type]
    change(document)
    return read_container(encoded(document), ID).container


def test_a_recorded_docker_20_10_container() -> None:
    document = recorded("docker-20.10-inspect")
    seen = read_container(encoded(document), "one")
    assert seen.image_id == document["Image"]
    assert seen.container == Container(
        id=document["Id"],
        name="one",
        running=False,
        ipc_mode="private",
        network_mode="none",
        labels=(("io.mcsd.volume", "/data:shared"),),
        mounts=(
            Mount(
                MountKind.BIND, "/srv/a", "/data", options=frozenset({"ro", "Z", "rslave"}), writable=False
            ),
            Mount(
                MountKind.VOLUME,
                "/var/lib/docker/volumes/named/_data",
                "/n",
                name="named",
                driver="local",
                options=frozenset({"z"}),
            ),
            Mount(MountKind.TMPFS, "", "/t"),
        ),
        runtime="runc",
        image="bb",
        status="created",
        created_at=document["Created"],
    )


def test_a_recorded_podman_4_3_container() -> None:
    seen = read_container(encoded(recorded("podman-4.3-inspect")), "p1").container
    assert (seen.name, seen.image, seen.pid_mode) == ("p1", "localhost/bb:latest", "private")
    assert seen.labels == (("io.mcsd.group", "a"),)
    assert seen.mounts == (Mount(MountKind.BIND, "/srv/a", "/data", writable=False),)


@pytest.mark.parametrize("engine", ["docker-20.10", "podman-4.3"])
def test_recorded_engines(engine: str) -> None:
    versions = read_versions(encoded(recorded(f"{engine}-version")))
    info = read_info(encoded(recorded(f"{engine}-info")), versions)
    assert versions.newest == (1, 41)
    assert info.api_version == "1.41"
    assert not info.selinux
    assert info.default_runtime in dict(info.runtimes)
    assert info.root_directory.startswith("/var/lib/")


def test_selinux_is_on_only_where_the_engine_says_so() -> None:
    def info(*options: str) -> bool:
        document = recorded("docker-20.10-info") | {"SecurityOptions": list(options)}
        return read_info(encoded(document), VERSIONS).selinux

    assert info("name=seccomp,profile=default", "name=selinux")
    assert not info("name=seccomp,profile=name", "name=selinuxish")
    assert not info()


def test_a_running_container_has_a_pid_and_an_exited_one_has_none() -> None:
    running = inspected(lambda d: d["State"].update(Running=True, Pid=77, Status="running"))
    assert (running.running, running.pid) == (True, 77)
    exited = inspected(lambda d: d["State"].update(Running=False, Pid=77))
    assert (exited.running, exited.pid) == (False, None)
    restarting = inspected(lambda d: d["State"].update(Running=True, Pid=0))
    assert (restarting.running, restarting.pid) == (True, None)


def test_a_paused_container_runs_as_podman_reports_it_too() -> None:
    assert inspected(lambda d: d["State"].update(Running=False, Paused=True, Pid=77)).pid == 77


def test_shared_namespaces_and_volumes_from_are_kept_in_dockers_words() -> None:
    host = {"Privileged": True, "PidMode": "host", "IpcMode": f"container:{ID}", "VolumesFrom": ["one:ro"]}
    seen = inspected(host_config={**host, "SecurityOpt": ["label=disable"]})
    assert (seen.privileged, seen.pid_mode, seen.ipc_mode) == (True, "host", f"container:{ID}")
    assert (seen.volumes_from, seen.security_options) == (("one:ro",), ("label=disable",))


def test_the_engine_s_labels_are_read_or_kept_as_they_are() -> None:
    """`--security-opt label=level:…` is passed on as its user wrote it."""
    bare = inspected()
    assert (bare.process_label, bare.mount_label, bare.level) == (None, None, None)
    seen = inspected(process_label="u:r:t:s0:c2,c1", mount_label="u:r:f:nonsense")
    assert (seen.process_label, seen.level) == (Context.parse("u:r:t:s0:c1,c2"), Level.of(1, 2))
    assert isinstance(seen.mount_label, UnreadableLabel) and str(seen.mount_label) == "u:r:f:nonsense"
    with pytest.raises(LabelSyntaxError, match="'nonsense' is not an SELinux level"):
        assert inspected(process_label="u:r:t:nonsense").level


def test_only_labels_addressed_to_mcsd_come_in_and_sorted() -> None:
    labels = {"io.mcsd.volume": "/a:shared", "io.mcsd.group": "g", "io.mcsdx": "no", "exitCode": "0"}
    assert inspected(labels=labels).labels == (("io.mcsd.group", "g"), ("io.mcsd.volume", "/a:shared"))


def test_null_stands_for_empty() -> None:
    def empty(document: Document) -> None:
        document["Mounts"] = document["Config"]["Labels"] = None
        document["HostConfig"]["SecurityOpt"] = document["HostConfig"]["VolumesFrom"] = None

    seen = inspected(empty)
    assert (seen.mounts, seen.labels, seen.security_options, seen.volumes_from) == ((), (), (), ())
    assert read_image_labels(b'{"Config":null}', "i") == ()


@pytest.mark.parametrize("kind", ["image", "cluster", "npipe", "", "BIND"])
def test_unknown_kinds_of_mount_are_other(kind: str) -> None:
    mount = {"Type": kind, "Source": "/s", "Destination": "/d", "RW": False}
    assert inspected(mounts=[mount]).mounts == (Mount(MountKind.OTHER, "/s", "/d", writable=False),)


def test_a_mount_without_a_type_is_other() -> None:
    assert inspected(mounts=[{"Type": "", "Source": "/s", "Destination": "/d", "RW": True}]).mounts[
        0
    ].kind is (MountKind.OTHER)


REQUIRED = [
    "Id",
    "Name",
    "ProcessLabel",
    "MountLabel",
    "Mounts",
    "State.Running",
    "HostConfig.Privileged",
    "HostConfig.PidMode",
    "HostConfig.IpcMode",
    "Mounts.0.RW",
    "Mounts.0.Source",
    "Mounts.0.Destination",
]


def _parent(document: Document, field: str) -> tuple[Any, str]:
    *path, last = field.split(".")
    inner: Any = document
    for step in path:
        inner = inner[int(step) if step.isdecimal() else step]
    return inner, last


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("value", ["missing", [7]])
def test_what_decides_about_isolation_is_refused_when_missing_or_wrong(field: str, value: object) -> None:
    """Promise 9: an answer that cannot be read is never taken for a "no"."""

    def damage(document: Document) -> None:
        inner, last = _parent(document, field)
        if value == "missing":
            del inner[last]
        else:
            inner[last] = value

    mount = {"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "", "RW": True}
    with pytest.raises(EngineProtocolError) as caught:
        inspected(damage, mounts=[mount])
    assert f"field {field}" in caught.value.what
    assert ID in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("State.Running", "true"),
        ("State.Pid", -1),
        ("State.Pid", "1"),
        ("HostConfig.Privileged", 0),
        ("ProcessLabel", None),
        ("Config.Labels", {"io.mcsd.volume": 1}),
        ("Config.Labels", []),
        ("Id", "AB" * 32),
        ("Id", "ab" * 32 + "\n"),
        ("Id", "ab"),
    ],
)
def test_values_of_a_wrong_type_are_refused_and_shown(field: str, value: object) -> None:
    def damage(document: Document) -> None:
        inner, last = _parent(document, field)
        inner[last] = value

    with pytest.raises(EngineProtocolError, match=f"field {field}") as caught:
        inspected(damage)
    if isinstance(value, str):
        assert repr(value) in caught.value.what


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(extra=st.dictionaries(st.text(min_size=1), JUNK))
def test_fields_that_are_not_known_change_nothing(extra: dict[str, object]) -> None:
    plain = inspected()
    document = container_document(ID, "web")
    for inner in (document, document["State"], document["HostConfig"], document["Config"]):
        for key, value in extra.items():
            inner.setdefault(f"x-{key}", value)
    assert read_container(encoded(document), ID).container == plain


@given(st.binary() | JUNK.map(encoded))
def test_any_bytes_give_a_value_or_the_one_error(body: bytes) -> None:
    for read in (
        lambda: read_container(body, "x"),
        lambda: read_list(body),
        lambda: read_versions(body),
        lambda: read_info(body, VERSIONS),
        lambda: read_image_labels(body, "i"),
        lambda: read_event(body),
    ):
        try:
            read()
        except EngineProtocolError as error:
            assert "cannot be read" in error.what
    assert isinstance(read_refusal(body), str)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b'{"Id":"\xff"}', b""])
def test_hostile_json_is_refused(body: bytes) -> None:
    with pytest.raises(EngineProtocolError, match="about container 'x' cannot be read"):
        read_container(body, "x")


def test_many_faults_are_counted_not_listed() -> None:
    with pytest.raises(EngineProtocolError, match="and 5 more"):
        read_container(b'{"Id":1}', "x")


def test_an_event_keeps_its_id_and_action_and_drops_the_attributes() -> None:
    """Promise 7: a container's labels come as attributes and can name anything."""
    forged = {"name": "victim", "exitCode": "0", "Action": "destroy"}
    document = event_document(ID, "die", 123, attributes=forged)
    assert read_event(encoded(document)) == EngineEvent(ID, "die", 123)  # type: ignore[arg-type]


def test_an_event_without_legacy_fields_is_the_same() -> None:
    document = event_document(ID, "start", 123)
    modern = {key: document[key] for key in ("Type", "Action", "Actor", "scope", "time", "timeNano")}
    assert read_event(encoded(modern)) == read_event(encoded(document))


def test_podman_s_word_for_a_removal_is_docker_s() -> None:
    told = read_event(encoded(event_document(ID, "remove", 9)))
    assert told == EngineEvent(ContainerId(ID), "destroy", 9)


def test_events_about_other_things_are_none() -> None:
    assert read_event(encoded(event_document("vol", "mount", 1, kind="volume"))) is None


def test_docker_container_prune_names_no_container() -> None:
    assert read_event(encoded(event_document("", "prune", 1))) is None


def test_a_reload_is_told_and_names_no_container() -> None:
    """Promise 7: it may change which runtimes there are."""
    told = read_event(encoded(event_document(ID, "reload", 7, kind="daemon")))
    assert told == EngineEvent(ContainerId(""), "reload", 7)
    assert read_event(encoded(event_document(ID, "pause", 7, kind="daemon"))) is None


def test_an_actions_free_text_is_cut() -> None:
    event = read_event(encoded(event_document(ID, "exec_create: " + "secret" * 10_000, 1)))
    assert event is not None
    assert event.action.startswith("exec_create: ")
    assert len(event.action) == 64


@pytest.mark.parametrize(
    "damage", [{"Actor": {"ID": "web"}}, {"Actor": {}}, {"Actor": None}, {"Type": None}, {"timeNano": "1"}]
)
def test_a_container_event_without_a_full_id_is_refused(damage: Document) -> None:
    with pytest.raises(EngineProtocolError, match="in an event cannot be read"):
        read_event(encoded(event_document(ID, "die", 1) | damage))


def test_a_list_with_one_bad_entry_is_refused_and_the_entry_named() -> None:
    with pytest.raises(EngineProtocolError, match=r"field 1\.Id"):
        read_list(encoded([{"Id": ID}, {"Id": "short"}]))


def test_an_error_answer_is_quoted_whoever_wrote_it() -> None:
    assert read_refusal(b'{"message":"No such container: x\\n"}') == "No such container: x"
    assert read_refusal(b"<html>502 Bad Gateway</html>") == "<html>502 Bad Gateway</html>"
    assert read_refusal(b"\xff\x00") == "�\x00"
    assert len(read_refusal(b"x" * 100_000)) == 200


def volume_mount(destination: str) -> Document:
    """A named volume in `Mounts[]`, as docker 26 has it: the same with a subpath and without."""
    return {
        "Type": "volume",
        "Name": "v",
        "Source": "/var/lib/docker/volumes/v/_data",
        "Destination": destination,
        "Driver": "local",
        "Mode": "z",
        "RW": True,
        "Propagation": "",
    }


@pytest.mark.parametrize(
    ("target", "subpath", "source"),
    [("/d", "a", "a"), ("/d/", "a/b", "a/b"), ("/d", "/a", "a"), ("//d", "../x", "../x")],
)
def test_a_part_of_a_volume_is_what_was_asked_for(target: str, subpath: str, source: str) -> None:
    """Docker 26: `--mount type=volume,…,volume-subpath=`; what leads out is refused when it is opened."""
    wanted = [
        {"Type": "volume", "Source": "v", "Target": target, "VolumeOptions": {"Subpath": subpath}},
        {"Type": "bind", "Source": "/srv/a", "Target": "/b", "BindOptions": {"NonRecursive": True}},
        {"Type": "image", "Source": "busybox", "Target": "/i", "ImageOptions": {"Subpath": "etc"}},
        {"Type": "volume", "Source": "v", "Target": "/whole"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1}},
    ]
    seen = inspected(
        mounts=[volume_mount("/d"), volume_mount("/whole")], host_config={"Mounts": wanted}
    ).mounts
    data = "/var/lib/docker/volumes/v/_data"
    assert [(mount.source, mount.inside) for mount in seen] == [(f"{data}/{source}", data), (data, "")]


def test_a_subpath_that_is_no_text_is_refused_by_name() -> None:
    wanted = [{"Type": "volume", "Source": "v", "Target": "/d", "VolumeOptions": {"Subpath": 7}}]
    with pytest.raises(EngineProtocolError, match="Subpath"):
        inspected(mounts=[volume_mount("/d")], host_config={"Mounts": wanted})
