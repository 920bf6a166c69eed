"""What the page is shown: a host with every state there is, names that would be markup, audit and denials."""

from __future__ import annotations

from mcsd.core.audit.findings import RULES
from mcsd.core.audit.told import ToldAudit, ToldFinding
from mcsd.core.denials.telling import ToldDenial
from mcsd.core.volumes import ClaimMode
from tests.fakes.service import (
    FakeService,
    Scene,
    busy,
    container_id,
    problem_events,
    quiet_scene,
    troubled_scene,
)

HOSTILE = '<img src=x onerror="window.hacked=1">'
HOSTILE_PATH = "/srv/<script>window.hacked=2</script>"


def many(scene: Scene, count: int) -> None:
    """Add containers that are alone with a volume each, as most of a host's should be."""
    for number in range(count):
        level = f"s0:c{3 + number // 300},c{310 + number % 300}"
        path = f"/srv/apps/{number:03}/data"
        scene.claim(
            scene.container(f"app-{number:03}", level), "/data", path, scene.volume(path, level, inodes=900)
        )


def _sharing(scene: Scene) -> None:
    one, two = scene.container("shop", "s0:c70,c71,c800,c801"), scene.container("pay", "s0:c70,c71,c802,c803")
    group = scene.volume("/srv/shop", "s0:c70,c71")
    for member in (one, two):
        scene.claim(member, "/shop", "/srv/shop", group, mode=ClaimMode.GROUP)
    everybodys = scene.volume("/srv/pictures", "s0")
    for grant in (scene.grants[1].id, one):
        scene.claim(grant, "/pictures", "/srv/pictures", everybodys, mode=ClaimMode.SHARED)


def _audit(scene: Scene) -> ToldAudit:
    found = [
        ToldFinding(
            key=f"{rule.id}/{who}",
            rule=rule.id,
            severity=rule.severity.word,
            title=rule.title,
            subject=who,
            container=None if who == "host" else container_id(1),
            text=f"{rule.title}, says Docker",
            seen="HostConfig",
            remedy="re-create it without that",
            accepted="it is our own" if rule.id == "naked-pull" else None,
        )
        for rule in sorted(RULES.values(), key=lambda one: -one.severity)
        for who in (("host",) if "docker" in rule.id or "engine-un" in rule.id else ("web",))
    ]
    return ToldAudit(12, tuple(found), 3, scene.now - 7200)


def troubled_service(*, more: int = 12) -> FakeService:
    """A daemon that has all kinds of trouble, and two walks under way."""
    scene = troubled_scene()
    _sharing(scene)
    many(scene, more)
    hostile = scene.container(HOSTILE, "s0:c900,c901", labels={})
    scene.claim(hostile, "/data", HOSTILE_PATH, scene.volume(HOSTILE_PATH, "s0:c900,c901"))
    service = FakeService(scene, events=problem_events(scene))
    service.change = busy
    service.audited = _audit(scene)
    service.tell_denials(
        [
            ToldDenial(
                scene.now - 4000,
                "types",
                "was denied write on /var/log/x",
                because="the policy lets no container_t write var_log_t",
                hint="mcsctl why /var/log/x",
            ),
            ToldDenial(
                scene.now - 100,
                "others-level",
                f"was denied read on {HOSTILE_PATH}",
                container_id(3),
                "web-clone",
                "the file carries s0:c900,c901, which is another's",
                "make a volume of its own for it",
            ),
        ]
    )
    return service


def quiet_service() -> FakeService:
    """A daemon on a host where all is well."""
    return FakeService(quiet_scene())
