"""The socket's answers: routes, filters, pages, errors. Promise 8: what is said is what is so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.api.problems import _TITLES, STATUS
from mcsd.core.containers import ContainerId
from mcsd.core.selinux_state import HostFinding, Trouble
from mcsd.core.snapshot import Snapshot
from mcsd.errors import ExhaustedError, Problem
from tests.fakes.service import FakeService, container_id, host, problem_events, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

LOST_TYPE = HostFinding(Trouble.NO_FILE_TYPE, "volumes cannot be labelled: no such type", "load the policy")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    scene = troubled_scene()
    with settled(), serving(FakeService(scene, events=problem_events(scene)), tmp_path / "s") as running:
        yield running


def names(served: Served, target: str, key: str = "name") -> list[str]:
    answer = served.ask(target)
    assert answer.status == 200, answer.body
    return [item[key] for item in answer.object["items"]]


def test_status_says_what_is_wrong_and_what_to_do(served: Served) -> None:
    """Promise 8: every line that is not good has a next step."""
    status = served.ask("/v1/status").object
    assert status["condition"] == "bad"
    by_subject = {check["subject"]: check for check in status["checks"]}
    assert by_subject["SELinux"]["condition"] == "good"
    assert by_subject["Containers"]["text"].startswith("1 isolated, 7 not isolated, 2 in conflict")
    assert all(check["hint"] for check in status["checks"] if check["condition"] != "good")
    assert [event["sequence"] for event in status["problems"]] == [5, 3, 2, 1]


def test_booleans_are_listed_and_held(served: Served) -> None:
    page = served.ask("/v1/booleans").object
    assert [item["asked"] for item in page["items"]] == [
        "container_use_cephs",
        "container_use_nfs",
        "docker_connect_any",
    ]
    assert [(one["name"], one["why"]) for one in page["refusals"]] == [("web", "not-configured")]
    leased = page["items"][2]
    assert (leased["name"], leased["how"], leased["good"]) == ("container_connect_any", "renamed", True)
    assert [holder["name"] for holder in leased["holders"]] == ["db"]
    held = served.ask("/v1/booleans/container_use_nfs", method="POST", body={"state": "on"}).object
    assert (held["order"], held["present"]) == ("on", True)
    assert served.ask("/v1/booleans/container_use_nfs", method="POST", body={"state": "yes"}).status == 400
    assert served.ask("/v1/booleans/other", method="POST", body={"state": "off"}).status == 404


def test_a_containers_interfaces_are_shown(served: Served) -> None:
    network = served.ask("/v1/containers/web").object["network"]
    assert (network["kind"], network["interfaces"][0]["name"]) == ("own", "veth8a21c0")
    assert served.ask("/v1/containers/db").object["network"] is None


def test_containers_are_filtered_and_sorted(served: Served) -> None:
    everyone = names(served, "/v1/containers")
    assert everyone == sorted(everyone)
    assert names(served, "/v1/containers?state=idle&state=none") == [
        "legacy-agent",
        "nightly-report-generator-for-the-finance-department",
    ]
    assert names(served, "/v1/containers?level=s0:c900,c12") == ["web", "web-clone"]
    assert names(served, "/v1/containers?path=/srv/web/") == ["web", "web-clone"]
    assert names(served, "/v1/containers?path=/srv/we") == []
    assert names(served, "/v1/containers?isolated=yes") == ["db"]
    assert names(served, "/v1/containers?conflicts=1") == ["web", "web-clone"]
    assert names(served, "/v1/containers?failed=1") == ["broken"]


def test_volumes_are_filtered(served: Served) -> None:
    assert names(served, "/v1/volumes?state=stranded&state=lingering", "path") == ["/mnt/usb", "/srv/old"]
    assert names(served, "/v1/volumes?container=db", "path") == ["/srv/db"]
    assert names(served, "/v1/volumes?path=/srv/finance", "path") == [
        "/srv/finance/reports/archive/2026/quarterly/generated/output"
    ]
    assert names(served, "/v1/volumes?level=s0:c40.c41", "path") == ["/mnt/usb", "/srv/old"]


def test_a_volume_of_a_container_that_is_gone_names_no_container(served: Served) -> None:
    (volume,) = served.ask("/v1/volumes?state=lingering").object["items"]
    assert [(claim["name"], claim["container"]) for claim in volume["claims"]] == [("old-web", None)]


def test_pages_join_to_the_whole_whatever_their_size(served: Served) -> None:
    for path, key in (("containers", "name"), ("volumes", "path"), ("pairs", "name")):
        whole = names(served, f"/v1/{path}", key)
        for limit in (1, 2, 5, len(whole)):
            joined: list[str] = []
            after = ""
            while True:
                page = served.ask(f"/v1/{path}?limit={limit}{after}").object
                assert page["total"] == len(whole)
                joined += [item[key] for item in page["items"]]
                if page["next"] is None:
                    break
                after = f"&after={page['next']}"
            assert joined == whole


def test_a_page_goes_on_where_its_last_entry_was_when_that_is_gone(served: Served) -> None:
    first = served.ask("/v1/containers?limit=3").object
    removed = first["items"][-1]["name"]

    def without(snapshot: Snapshot) -> Snapshot:
        left = tuple(s for s in snapshot.container_status if s.container.name != removed)
        return replace(snapshot, container_status=left)

    served.service.change = without
    rest = names(served, f"/v1/containers?after={first['next']}")
    assert rest == names(served, "/v1/containers")[2:]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (container_id(1), "web"),
        (container_id(2)[:6], "db"),
        ("web", "web"),
        ("%2Fweb", "web"),
    ],
)
def test_a_container_is_found_by_id_name_or_beginning(served: Served, wanted: str, found: str) -> None:
    assert served.ask(f"/v1/containers/{wanted}").object["name"] == found


def test_a_name_that_looks_like_an_id_wins(tmp_path: Path) -> None:
    scene = troubled_scene()
    scene.container(container_id(1)[:4], "s0:c800,c801")
    with serving(FakeService(scene), tmp_path / "s") as served:
        assert served.ask(f"/v1/containers/{container_id(1)[:4]}").object["level"] == "s0:c800,c801"
        assert served.ask(f"/v1/containers/{container_id(1)[:5]}").object["name"] == "web"


def test_what_could_be_several_is_refused_with_their_names(tmp_path: Path) -> None:
    scene = troubled_scene()
    first, second = (
        replace(c, id=ContainerId(f"{n}" * 64)) for n, (c, _, _) in enumerate(scene.containers[:2])
    )
    twin = replace(second, id=ContainerId("0" * 63 + "1"))
    scene.containers[:2] = [(first, None, ""), (twin, None, "")]
    with serving(FakeService(scene), tmp_path / "s") as served:
        answer = served.ask("/v1/containers/000")
    assert (answer.status, answer.object["code"]) == (409, "ambiguous")
    assert answer.object["detail"] == "'000' is the beginning of 2 containers' ids: db, web"


@pytest.mark.parametrize(
    ("target", "status", "detail"),
    [
        ("/v1/containers/nobody", 404, "there is no container 'nobody'"),
        ("/v1/nothing", 404, "there is nothing at '/v1/nothing'"),
        ("/v1/containers/", 404, "there is nothing at '/v1/containers/'"),
        ("/v1/containers?colour=red", 400, "parameter 'colour': there is no such key"),
        ("/v1/containers?limit=0", 400, "parameter 'limit': input should be greater than or equal to 1"),
        ("/v1/containers?limit=2&limit=3", 400, "parameter 'limit': given more than once"),
        ("/v1/containers?level=s0:c2000", 400, "parameter 'level': expected a level such as s0:c12,c900"),
        ("/v1/volumes?path=../etc", 400, "parameter 'path': "),
        ("/v1/volumes?path=/srv/../etc", 400, "parameter 'path': expected an absolute path without '..'"),
        ("/v1/containers?after=%21", 400, "after='!' does not come from a page's 'next'"),
        ("/v1/status?x=1", 400, "parameter 'x': there is no such key"),
    ],
)
def test_a_bad_question_is_told_what_is_wrong(served: Served, target: str, status: int, detail: str) -> None:
    answer = served.ask(target)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status, answer.object["status"]) == (status, status)
    assert answer.object["detail"].startswith(detail)
    assert answer.object["hint"]


def test_a_method_that_does_not_fit_is_told_which_do(served: Served) -> None:
    answer = served.ask("/v1/status", method="DELETE")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_head_is_get_without_a_body(served: Served) -> None:
    answer = served.ask("/v1/status", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        ({"path": "relative"}, None, 400, "body 'path': expected an absolute path"),
        ({}, None, 400, "body 'path': field required"),
        ({"path": "/srv", "force": True}, None, 400, "body 'force': there is no such key"),
        (b"{", None, 400, "body: invalid JSON"),
        (b"[]", None, 400, "body: "),
        (b"\xff", None, 400, "body: invalid JSON"),
        ({"path": "/srv"}, {"Content-Type": "text/plain"}, 415, "the body is not plain application/json"),
        (
            {"path": "/srv"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
            415,
            "the body is not plain application/json",
        ),
        (b" " * 70_000, None, 413, "the body is longer than 65536 bytes"),
    ],
)
def test_a_bad_body_is_told_what_is_wrong(
    served: Served, body: object, headers: dict[str, str] | None, status: int, detail: str
) -> None:
    answer = served.ask("/v1/restore", method="POST", body=body, headers=headers)
    assert (answer.status, answer.object["detail"][: len(detail)]) == (status, detail)
    assert served.service.done == []


def test_changes_reach_the_daemon(served: Served) -> None:
    found = served.ask("/v1/verify", method="POST", body={"target": "/srv", "repair": True}).object
    assert found["good"]
    assert not served.ask("/v1/verify", method="POST", body={}).object["good"]
    assert served.ask("/v1/restore", method="POST", body={"path": "/srv/old"}).object["complete"]
    pair = served.ask("/v1/reservations", method="POST", body={"name": "n", "group": "g"}).object
    assert (pair["level"], pair["state"], pair["reservation"]) == ("s0:c80,c81", "reserved", "n")
    assert served.ask("/v1/reservations/backup", method="DELETE").status == 204
    assert served.service.done == [
        "verify /srv True",
        "verify None False",
        "restore /srv/old",
        "reserve n g",
        "release backup",
    ]


def test_a_foreseen_failure_keeps_its_code_and_its_hint(served: Served) -> None:
    served.service.raises = ExhaustedError("no pair is free in c0.c3", hint="widen [categories] range")
    answer = served.ask("/v1/status")
    assert (answer.status, answer.object["code"]) == (503, "exhausted")
    assert answer.object["hint"] == "widen [categories] range"


def test_a_bug_is_reported_to_the_journal_and_not_to_the_caller(served: Served) -> None:
    """Promise 9: the failure is told, and only to whom it concerns."""
    served.service.raises = ZeroDivisionError("secret")
    answer = served.ask("/v1/status")
    assert (answer.status, answer.object["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    ((where, error),) = served.service.bugs
    assert (where, str(error)) == ("GET /v1/status", "secret")
    served.service.raises = None
    assert served.ask("/v1/status").status == 200


def test_every_problem_has_a_status_and_a_title() -> None:
    assert set(STATUS) == set(_TITLES) == set(Problem)


def test_health_is_bad_only_when_nothing_can_be_written_down(served: Served) -> None:
    """Promise 9: without a ledger mcsd does nothing, and says so."""
    assert (served.ask("/healthz").status, served.ask("/healthz").object["condition"]) == (200, "good")
    served.service.change = lambda p: replace(p, engine_errors={"docker": ("connection refused", "")})
    answer = served.ask("/healthz")
    assert (answer.status, answer.object["condition"]) == (200, "warning")
    assert answer.object["reasons"] == ["Docker: connection refused"]
    served.service.change = lambda p: replace(p, ledger_error="disk full")
    assert served.ask("/healthz").status == 503


@pytest.mark.parametrize(
    ("change", "subject", "text"),
    [
        (lambda p: replace(p, host=host(enforcing=False)), "SELinux", "SELinux is permissive"),
        (lambda p: replace(p, host=host(backend="xattr")), "SELinux", "no SELinux in the kernel"),
        (lambda p: replace(p, host=replace(p.host, engines={})), "Docker", "has not answered yet"),
        (
            lambda p: replace(p, engine_errors={"docker": ("connection refused", "")}),
            "Docker",
            "connection refused",
        ),
        (lambda p: replace(p, ledger_error="disk full"), "Ledger", "disk full"),
        (lambda p: replace(p, pairs=replace(p.pairs, free=0)), "Pairs", "0 of 523,776 free"),
        (lambda p: replace(p, findings=(LOST_TYPE,)), "SELinux", "volumes cannot be labelled"),
        (lambda p: replace(p, booleans=(), refusals=p.refusals), "Booleans", "1 refused to containers"),
    ],
)
def test_what_is_missing_shows_in_the_status(served: Served, change: object, subject: str, text: str) -> None:
    """Promise 8: the status says which part is missing."""
    served.service.change = change  # type: ignore[assignment]
    checks = {check["subject"]: check for check in served.ask("/v1/status").object["checks"]}
    assert text in checks[subject]["text"]
    assert checks[subject]["condition"] != "good"
    assert checks[subject]["hint"]


def test_a_name_that_is_not_utf8_does_not_break_the_list(tmp_path: Path) -> None:
    scene = troubled_scene()
    scene.volume("/srv/\udcff", "s0:c900,c901")
    with serving(FakeService(scene), tmp_path / "s") as served:
        assert "/srv/\\udcff" in names(served, "/v1/volumes", "path")
