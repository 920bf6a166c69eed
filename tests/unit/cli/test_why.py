"""`mcsctl why` from recorded logs and a daemon's answers to its screens, with a policy of the test's own."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.audit.devices import names_of
from mcsd.adapters.audit.log import LogFiles
from mcsd.cli import why as ctl_why
from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen
from mcsd.cli.why import WhyOptions, WhyPaths, WhyRun, moment_of
from mcsd.core.containers import ContainerId
from mcsd.core.denials.facts import DenyingRule, PolicyVerdict
from mcsd.core.denials.telling import MOST, Newest, ToldDenial
from mcsd.core.denials.values import level_of, type_of
from mcsd.core.grants import GrantState, Origin
from mcsd.core.volumes import ClaimMode, ClaimState
from mcsd.errors import HostError
from tests.fakes.service import NOW, FakeService, Scene, quiet_scene
from tests.fakes.serving import serving
from tests.fakes.settled import settled
from tests.unit.cli.test_screens import compare

pytest.importorskip("auparse", reason="there is no auparse")
LOGS = Path(__file__).parents[2] / "data/audit"


class Policy:
    """Lets a container's domain use a container's files by level, and nothing else."""

    silent = False

    def ask(self, source: str, target: str, tclass: str, permissions: tuple[str, ...]) -> PolicyVerdict:
        """See `mcsd.cli.why.PolicyAccess`."""
        if type_of(target) != "container_file_t" and type_of(target) != "container_t":
            return PolicyVerdict(DenyingRule.TYPES, silent=self.silent)
        own, its = level_of(source), level_of(target)
        assert own is not None and its is not None
        return PolicyVerdict(
            DenyingRule.ALLOWED if own.dominates(its) else DenyingRule.CONSTRAINT, silent=self.silent
        )


@dataclass
class Host:
    """A log, a daemon and a policy."""

    place: WhyPaths
    client: Client
    scene: Scene
    policy: Policy
    service: FakeService

    def why(self, name: str = "", *, columns: int = 100, **more: Any) -> str:
        """Type the command."""
        out = io.StringIO()
        wish = replace(WhyOptions(name=name, since=NOW - 86400), **more)
        run = WhyRun(wish, self.place, self.client, self.policy, LogFiles(self.place.log))
        assert run.run(Screen(out, columns, False, NOW)) is Exit.DONE
        return out.getvalue()

    def told(self, name: str = "", **more: Any) -> Any:
        """Return what it tells programs."""
        return json.loads(self.why(name, json=True, **more))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    scene = quiet_scene()
    service = FakeService(scene)
    log = tmp_path / "audit.log"
    log.write_text("")
    (tmp_path / "proc").mkdir()
    with settled(), serving(service, tmp_path / "s") as served:
        yield Host(WhyPaths(log, tmp_path / "proc"), Client(served.path), scene, Policy(), service)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def recorded(host: Host) -> Callable[..., None]:
    def put(*names: str) -> None:
        host.place.log.write_text("".join((LOGS / name).read_text(encoding="utf-8") for name in names))
        os.utime(host.place.log, (NOW, NOW))

    return put


def test_a_denial_is_told_with_container_volume_and_cause(host: Host, recorded: Callable[..., None]) -> None:
    recorded("raw.log")
    (found,) = host.told()["denials"]
    assert (found["name"], found["path"], found["host_path"]) == ("web", "/data/secret", "/srv/web/secret")
    assert (found["volume"], found["rule"], found["count"]) == ("/srv/web", "constraint", 1)
    (cause,) = found["causes"]
    assert cause["code"] == "stray" and "db holds it" in cause["text"]
    assert cause["commands"] == ["mcsctl verify --repair web"] and cause["since"]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_screens(host: Host, recorded: Callable[..., None], columns: int) -> None:
    recorded("raw.log", "interleaved.log", "hex.log", "no-path.log", "not-selinux.log", "others.log")
    compare("why", columns, host.why(columns=columns))
    compare("why web", columns, host.why("web", columns=columns, lines=2))


def test_types_and_categories_are_both_told(host: Host, recorded: Callable[..., None]) -> None:
    recorded("raw.log")
    log = host.place.log
    log.write_text(log.read_text().replace("object_r:container_file_t", "object_r:var_t"))
    os.utime(log, (NOW, NOW))
    host.scene.claims.clear()
    (found,) = host.told()["denials"]
    assert found["rule"] == "types" and found["categories"] is True
    assert [cause["code"] for cause in found["causes"]] == ["stray", "type"]


def test_a_volume_that_is_not_labelled_yet(host: Host, recorded: Callable[..., None]) -> None:
    recorded("raw.log")
    claim = host.scene.claims[0]
    host.scene.claims[0] = replace(claim, state=ClaimState.PENDING)
    (found,) = host.told()["denials"]
    assert [cause["code"] for cause in found["causes"]] == ["not-labelled"]
    assert "mcsctl wait web" in found["causes"][0]["commands"]


def test_one_container_and_one_path(host: Host, recorded: Callable[..., None]) -> None:
    recorded("interleaved.log")
    assert [one["name"] for one in host.told("web")["denials"]] == ["web"]
    assert [one["name"] for one in host.told("/srv/web/secret")["denials"]] == ["web"]
    assert host.told("/srv/nothing")["denials"] == []
    assert [one["name"] for one in host.told("db")["denials"]] == ["db"]


def test_a_container_that_is_not_there(host: Host) -> None:
    with pytest.raises(CtlError) as caught:
        host.why("nobody")
    assert caught.value.status is Exit.NOT_FOUND


def test_a_container_that_is_gone_is_known_by_the_level_that_is_kept(
    host: Host, recorded: Callable[..., None]
) -> None:
    recorded("raw.log")
    level = "s0:c12,c900"
    host.scene.containers.pop(0)
    host.scene.grants[0] = replace(
        host.scene.grants[0], state=GrantState.QUARANTINED, container=ContainerId("")
    )
    (found,) = host.told("web")["denials"]
    assert found["name"] is None and found["source"].endswith(level)
    assert host.told("db")["denials"] == []


def test_an_adopted_level_is_the_container_s_from_its_making_on(
    host: Host, recorded: Callable[..., None]
) -> None:
    """mcsd may have come later: what it was denied before then is its own all the same."""
    recorded("raw.log")
    for origin, name in ((Origin.ADOPTED, "web"), (Origin.ASSIGNED, None)):
        host.scene.grants[0] = replace(host.scene.grants[0], since=NOW, origin=origin)
        assert host.told()["denials"][0]["name"] == name


def test_older_ones_are_left_out(host: Host, recorded: Callable[..., None]) -> None:
    recorded("raw.log")
    assert host.told(since=NOW)["denials"] == []


def test_a_path_that_was_not_recorded_is_found_by_its_inode(
    host: Host, recorded: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "volume/in").mkdir(parents=True)
    (tmp_path / "volume/in/secret").touch()
    inode = (tmp_path / "volume/in/secret").stat().st_ino
    recorded("no-path.log")
    text = host.place.log.read_text().replace("ino=7001", f"ino={inode}")
    host.scene.claims[0] = replace(host.scene.claims[0], source=str(tmp_path / "volume"))
    here = next(iter(names_of(str(tmp_path))))
    for device, expected in ((here, str(tmp_path / "volume/in/secret")), ("elsewhere", None)):
        host.place.log.write_text(re.sub(r'dev="[^"]*"', f'dev="{device}"', text))
        os.utime(host.place.log, (NOW, NOW))
        assert host.told()["denials"][0]["host_path"] == expected, "an inode number is each file system's own"


def test_the_process_s_own_group_says_whose_it_was(host: Host, recorded: Callable[..., None]) -> None:
    recorded("raw.log")
    place = host.place.proc / "4242"
    (place / "attr").mkdir(parents=True)
    (place / "attr/current").write_text("system_u:system_r:container_t:s0:c12,c900\0")
    other = host.scene.containers[1][0].id
    (place / "cgroup").write_text(f"0::/system.slice/docker-{other}.scope\n")
    assert host.told()["denials"][0]["name"] == "db"
    (place / "attr/current").write_text("system_u:system_r:sshd_t:s0\0")
    assert host.told()["denials"][0]["name"] == "web"


def test_nothing_denied_says_what_else_it_may_be(host: Host) -> None:
    said = host.why("web")
    assert "SELinux has denied nothing to web in the last 24 h" in said
    assert "file modes" in said and "semodule -DB" in said


def test_what_would_be_denied_now_is_looked_at_where_nothing_was_recorded(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "volume").mkdir()
    host.scene.claims[0] = replace(host.scene.claims[0], source=str(tmp_path / "volume"))
    label = "system_u:object_r:container_file_t:s0:c7,c31"
    monkeypatch.setattr(ctl_why, "label_of", lambda path: label)
    host.policy.silent = True
    told = host.told("web")
    (found,) = told["standing"]
    assert told["denials"] == [] and found["silent"] is True
    assert "dontaudit" in found["causes"][0]["text"]
    assert "would be denied" in host.why("web")


def test_others_volumes_below_a_mount_are_looked_at(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all/inner").mkdir(parents=True)
    host.scene.claims[0] = replace(
        host.scene.claims[0], source=str(tmp_path / "all"), mode=ClaimMode.IGNORE, volume=None
    )
    host.scene.volumes[1] = replace(host.scene.volumes[1], path=str(tmp_path / "all/inner"))
    labels = {str(tmp_path / "all"): "s0", str(tmp_path / "all/inner"): "s0:c7,c31"}
    monkeypatch.setattr(ctl_why, "label_of", lambda path: f"u:object_r:container_file_t:{labels[path]}")
    (found,) = host.told("web")["standing"]
    assert found["host_path"] == str(tmp_path / "all/inner")
    assert [cause["code"] for cause in found["causes"]] == ["others-volume"]


def test_file_modes_are_looked_at_where_selinux_lets_it_in(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume").chmod(0o700)
    os.chown(tmp_path / "volume", os.getuid(), os.getgid())
    host.scene.claims[0] = replace(host.scene.claims[0], source=str(tmp_path / "volume"))
    monkeypatch.setattr(ctl_why, "label_of", lambda path: "system_u:object_r:container_file_t:s0:c12,c900")
    place = host.place.proc / "1001"
    place.mkdir()
    (place / "status").write_text("Name:\tx\nUid:\t4321\t4321\t4321\t4321\n")
    (found,) = host.told(str(tmp_path / "volume"))["standing"]
    assert found["causes"][0]["code"] == "file-mode"
    assert found["causes"][0]["commands"] == [f"chown 4321 {tmp_path / 'volume'}"]


def test_without_root_it_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(place: Path, **_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    os.utime(host.place.log, (NOW, NOW))
    with pytest.raises(HostError, match="cannot be read: Permission denied"):
        host.why()


def test_without_the_policy_it_says_what_to_do(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(policy: str) -> None:
        raise HostError("the policy cannot be read", hint="do it as root")

    monkeypatch.setattr(ctl_why, "PolicyRules", refused)
    place = host.place
    with pytest.raises(CtlError) as caught:
        ctl_why.why(WhyOptions(), place, host.client, Screen(io.StringIO(), 80, False, NOW))
    assert "policy" in caught.value.what and caught.value.hint


def test_only_the_newest_are_kept() -> None:
    newest = Newest()
    for number in range(MOST + 50):
        newest.add(ToldDenial(float(number), "type", "x"))
    assert [one.time for one in newest.all()] == [float(n) for n in range(MOST + 49, 49, -1)]


def test_following_tells_each_kind_once(
    host: Host, recorded: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (LOGS / "raw.log").read_text().splitlines()
    storm = (LOGS / "no-path.log").read_text().splitlines()[:1] * 3

    def follow(log: LogFiles) -> Iterator[list[str]]:
        yield lines
        yield storm
        yield []

    monkeypatch.setattr(LogFiles, "follow", follow)
    said = host.why(follow=True, json=True).splitlines()
    assert {json.loads(line)["serial"] for line in said} <= {501, 530}
    assert len(said) == 1, "the others are not complete before two seconds have passed"


def test_mcsd_is_told_of_each_kind_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (LOGS / "raw.log").read_text().splitlines()
    again = [line.replace(":501)", ":601)") for line in lines]

    def follow(log: LogFiles) -> Iterator[list[str]]:
        yield from (lines, again, [])

    monkeypatch.setattr(LogFiles, "follow", follow)
    assert host.why(follow=True, tell=True) == ""
    (told,) = host.client.get("/v1/denials")["items"]
    assert (told["name"], told["cause"]) == ("web", "stray")
    assert told["text"] == "was denied read on /data/secret"
    line = next(one for one in host.client.get("/v1/status")["checks"] if one["subject"] == "Denials")
    assert (line["condition"], line["hint"]) == ("warning", "mcsctl why web")


def test_the_status_forgets_what_is_old_and_counts_what_is_not(host: Host) -> None:
    for name, ago in (("old", 7200.0), ("web", 60.0), ("", 30.0)):
        host.service.tell_denials([ToldDenial(NOW - ago, "type", "was denied something", name=name)])
    (line,) = [one for one in host.client.get("/v1/status")["checks"] if one["subject"] == "Denials"]
    assert line["text"] == "was denied something (type), and 1 more in the last hour"
    assert line["hint"] == "mcsctl why"


@pytest.mark.parametrize(
    ("text", "ago"), [("10s", 10), ("5min", 300), ("2h", 7200), ("1d", 86400), ("3 d", 259200)]
)
def test_how_long_back(text: str, ago: int) -> None:
    assert moment_of(text, NOW) == NOW - ago


def test_a_date_is_itself_and_what_is_no_time_is_refused() -> None:
    assert moment_of("2026-11-29T14:00+00:00", NOW) == 1795960800.0
    for text in ("yesterday", "", "5 min 3", "-1h"):
        with pytest.raises(CtlError) as caught:
            moment_of(text, NOW)
        assert caught.value.status is Exit.USAGE
