"""Measurements: what Prometheus reads, and that alerts and dashboard ask for nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mcsd.core.snapshot import Event
from tests.fakes.service import FakeService, busy, host, problem_events, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

PACKAGING = Path(__file__).resolve().parents[3] / "packaging"
RULES = PACKAGING / "alerts/mcsd.rules.yml"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    scene = troubled_scene()
    service = FakeService(scene, events=problem_events(scene))
    service.change = busy
    with settled(), serving(service, tmp_path / "s") as running:
        yield running


def scrape(served: Served) -> str:
    answer = served.ask("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.body.decode()


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"mcsd_{name}", tuple(sorted(labels.items()))]


def test_what_is_so_is_measured(served: Served) -> None:
    found = samples(scrape(served))
    assert value(found, "selinux_enforcing") == 1
    assert value(found, "containers", isolation="isolated") == 1
    assert value(found, "containers", isolation="not_isolated") == 7
    assert value(found, "containers_in_conflict") == 2
    assert value(found, "containers_not_isolated", reason="privileged") == 1
    assert value(found, "volumes", state="stranded") == 1
    assert value(found, "pairs", state="free") == 523770
    assert value(found, "walks_running", work="relabel") == 2
    assert value(found, "booleans", state="not_as_wanted") == 1
    assert value(found, "booleans_leased") == 1
    assert value(found, "originals_bytes") == 4096
    assert value(found, "volumes_watched", watching="rounds") == 1
    assert value(found, "watched_directories") == 77
    assert value(found, "stray_levels") == 1
    assert value(found, "fleet_blocks") == 4 and value(found, "fleet_store_requests_total") == 3712
    assert value(found, "fleet_grants") == 1 and value(found, "fleet_trouble") == 1
    assert value(found, "event_lag_seconds_bucket", le="1.0") == 2
    assert value(found, "event_lag_seconds_count") == 3
    assert value(found, "resyncs_total", reason="timer") == 5


@pytest.mark.parametrize(("enforcing", "backend"), [(False, "kernel"), (True, "xattr")])
def test_nothing_is_called_enforcing_that_is_not(served: Served, enforcing: bool, backend: str) -> None:
    """Promise 8."""
    served.service.change = lambda p: replace(p, host=host(enforcing=enforcing, backend=backend))
    assert value(samples(scrape(served)), "selinux_enforcing") == 0


def test_what_happens_is_counted(served: Served) -> None:
    served.wait(lambda: served.service.readers == 1)
    told = {"changed": "7", "seconds": "0.2"}
    served.on_loop(lambda: served.service.tell(Event(6, 1.0, "volume-restored", "x", 6, "", told)))
    for rule in ("held", "made-up"):
        refused = Event(6, 1.0, "volume-refused", "x", 4, "", {"rule": rule})
        served.on_loop(partial(served.service.tell, refused))
    served.on_loop(lambda: served.service.tell(Event(7, 1.0, "boolean-put-right", "x", 4)))

    def counted() -> Samples:
        return samples(scrape(served))

    while value(counted(), "events_total", kind="boolean-put-right") < 1:
        pass
    found = counted()
    assert value(found, "boolean_changes_total", by="put_right") == 1
    assert value(found, "volume_refusals_total", rule="held") == 1
    assert value(found, "volume_refusals_total", rule="system") == 0
    assert value(found, "labelled_inodes_total", work="restore") == 7
    assert value(found, "labelled_inodes_total", work="relabel") == 88
    assert value(found, "walk_duration_seconds_bucket", work="restore", le="0.05") == 0
    assert value(found, "walk_duration_seconds_bucket", work="restore", le="0.25") == 1
    assert value(found, "api_requests_total", method="GET", route="/metrics", status="200") >= 1


def test_labels_are_bounded_whatever_is_asked_and_whatever_containers_are_called(served: Served) -> None:
    served.ask("/v1/containers/web")
    before = len(samples(scrape(served)))
    for number in range(50):
        served.ask(f"/v1/containers/nobody-{number}")
        served.ask(f"/nothing/{number}", method=f"M{number}")
        served.service.scene.container(f"more-{number}", None)
    found = samples(scrape(served))
    assert len(found) - before <= 4
    text = json.dumps([list(key) for key in found])
    for name in ("web", "/srv", "s0:", "more-"):
        assert f'"{name}' not in text


def expressions() -> dict[str, list[str]]:
    dashboard = json.loads((PACKAGING / "grafana/mcsd.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return {
        "alerts": re.findall(r"^ +expr: (.*)$", RULES.read_text(encoding="utf-8"), re.M),
        "dashboard": [target["expr"] for panel in panels for target in panel["targets"]],
    }


@pytest.mark.parametrize("where", ["alerts", "dashboard"])
def test_alerts_and_dashboard_ask_for_what_a_scrape_has(served: Served, where: str) -> None:
    """Names, labels, and the values that labels are compared with."""
    scrape(served)  # requests are counted from the first one on
    found = samples(scrape(served))
    asked = expressions()[where]
    assert len(asked) > 8
    for expression in asked:
        for name, selector in re.findall(r"(mcsd_\w+)(?:{([^}]*)})?", expression):
            having = [dict(labels) for sample, labels in found if sample == name]
            assert having, f"{name} is not measured"
            for label, operator, wanted in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', selector):
                if label in {"instance", "job"}:
                    continue
                values = {labels[label] for labels in having}
                for one in wanted.split("|") if operator == "=~" else [wanted]:
                    assert one in values, f"{name}: {label} is never {one!r}"


def test_the_manual_names_what_is_measured_and_its_labels(served: Served) -> None:
    page = (PACKAGING / "man/mcsd.8.rst").read_text(encoding="utf-8")
    section = page.partition("\nMeasurements\n")[2].partition("\n===")[0]
    named = {
        name: {label.strip() for label in labels.split(",")} - {""}
        for name, labels in re.findall(r"\*(mcsd_[a-z_]+)\*(?:\\\{([^}]*)})?", section)
    }
    scrape(served)
    measured = {
        family.name: {label for one in family.samples for label in one.labels} - {"le", "version"}
        for family in text_string_to_metric_families(scrape(served))
        if not family.name.endswith("_created")
    }
    assert named == measured


def test_the_dashboards_panels_do_not_overlap() -> None:
    dashboard = json.loads((PACKAGING / "grafana/mcsd.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


@needs_promtool
def test_promtool_finds_nothing_wrong_with_a_scrape(served: Served) -> None:
    text = scrape(served)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_promtool
def test_promtool_tests_the_alerts() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "mcsd.tests.yml"]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, cwd=RULES.parent)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_understands_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:number:{number}", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for number, expression in enumerate(expressions()["dashboard"])
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
