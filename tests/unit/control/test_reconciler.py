"""The daemon's whole path over fakes: adopt, label, idle, quarantine, restore, free."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from mcsd.api.reports.containers import container_report
from mcsd.control import reservations
from mcsd.core.containers import ContainerId, Mount, MountKind
from mcsd.core.disk import Watching
from mcsd.core.grants import GrantState, Origin
from mcsd.core.hints import Hint
from mcsd.core.isolation import Why
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Kind
from mcsd.core.processes import ProcessLevel
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, Identity, VolumePhase
from mcsd.errors import (
    ConflictError,
    EngineUnavailableError,
    ExhaustedError,
    LabelSyntaxError,
    LedgerError,
    Problem,
    VolumeFailedError,
    VolumeRefusedError,
)
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world
from tests.following import follows


def test_a_level_that_docker_chose_is_adopted_and_the_volume_carries_it() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        b = world.create("b", world.mount("/srv/b"))
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a) == Level.parse("s0:c0,c1")
        assert world.level_on("/srv/b") == world.level(b)
        assert not world.level(a).is_comparable_to(world.level(b)), "promise 1"
        assert world.sighting(a).verdict.isolated is True, "promise 8"
        grant = world.mcsd.store.cache.grant_of(a)
        assert grant is not None and grant.origin is Origin.ADOPTED and grant.state is GrantState.ACTIVE

    with_world(story)


def test_the_intent_is_written_down_before_anything_is_walked() -> None:
    """Promise 3."""

    async def story(world: World) -> None:
        world.volumes.gate.clear()
        world.create("a", world.mount("/srv/a"))
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.001)
        (volume,) = world.tables.volumes.values()
        assert volume.path == "/srv/a" and volume.phase == "labelling"
        assert [claim.state for claim in world.tables.claims.values()] == [ClaimState.PENDING]
        assert world.label("/srv/a") == BORN

    with_world(story)


def test_while_the_ledger_cannot_be_written_nothing_is_labelled() -> None:
    """Promises 3 and 9."""

    async def story(world: World) -> None:
        world.ledger.failure = LedgerError("the disk is full", hint="free some space")
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert world.label("/srv/a") == BORN
        snapshot = world.mcsd.facade.snapshot()
        assert snapshot.ledger_error == "the disk is full"
        assert world.sighting(a).error == "the disk is full"
        world.ledger.failure = None
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a)
        assert world.mcsd.facade.snapshot().ledger_error == ""

    with_world(story)


def test_where_selinux_is_disabled_no_volume_is_labelled_and_nobody_is_given_up() -> None:
    """Promise 8: what is missing is said of the volume, once, and the container is looked after."""

    async def story(world: World) -> None:
        world.kernel.status_now = replace(world.kernel.status_now, enabled=False, enforcing=False, mls=False)
        world.mcsd.host.selinux_is(world.kernel.status())
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert world.label("/srv/a") == BORN
        seen = world.sighting(a)
        assert seen.settled and not seen.error and seen.verdict.isolated is False
        assert seen.verdict.reasons[0].why is Why.SELINUX_OFF
        (claim,) = world.tables.claims.values()
        assert claim.state is ClaimState.FAILED and "SELinux is disabled" in claim.reason
        await world.quiet()
        told = [notice.kind for notice in world.papers.notices]
        assert told.count(Kind.VOLUME_FAILED) == 1 and Kind.CONTAINER_FAILED not in told

    with_world(story, selinux=False)


def test_a_volume_waits_for_a_policy_that_has_a_label_for_it() -> None:
    async def story(world: World) -> None:
        world.kernel.has_file_type = False
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        (claim,) = world.tables.claims.values()
        assert claim.state is ClaimState.FAILED and "no type" in claim.reason and "load" in claim.hint
        assert world.sighting(a).settled and world.label("/srv/a") == BORN
        world.kernel.has_file_type = True
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a)
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_exit_makes_idle_and_removal_restores_and_frees() -> None:
    """Promises 2 and 6."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.die(a)
        await world.quiet()
        grant = world.mcsd.store.cache.grant_of(a)
        assert grant is not None and grant.state is GrantState.IDLE
        assert world.level_on("/srv/a") == grant.level, "Docker keeps the level of a stopped container"
        world.docker.remove(a)
        await world.quiet()
        grant = world.mcsd.store.cache.grant(grant.id)
        assert grant is not None and grant.state is GrantState.QUARANTINED, "it lingers"
        assert world.level_on("/srv/a") == grant.level
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()
        assert world.volumes.originals == {}

    with_world(story)


def test_a_level_that_a_process_still_carries_is_not_freed() -> None:
    """Promise 2."""

    async def story(world: World) -> None:
        a = world.create("a")
        await world.quiet()
        level = world.level(a)
        left = ProcessLevel(77, Context.parse(f"system_u:system_r:container_t:{level}"), level)
        world.kernel.foreign.append(left)
        world.docker.remove(a)
        world.clock.advance(601)
        await world.quiet()
        (grant,) = world.mcsd.store.cache.grants()
        assert grant.state is GrantState.QUARANTINED
        world.kernel.foreign.clear()
        await world.quiet()
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_a_container_that_comes_back_while_nothing_is_being_proven_keeps_its_level() -> None:
    """Promise 2: what was true when the processes were looked at is asked again when it is written down."""
    looked, go_on = threading.Event(), threading.Event()

    async def story(world: World) -> None:
        a = world.create("a")
        await world.quiet()
        held = world.level(a)
        away = world.docker.present.pop(a)
        await world.mcsd.watcher.resync()
        await world.mcsd.watcher.hints.quiet()
        process_levels = world.kernel.process_levels

        def look() -> tuple[ProcessLevel, ...]:
            if not looked.is_set():
                looked.set()
                go_on.wait(10)
            return process_levels()

        world.kernel.process_levels = look  # type: ignore[method-assign]
        proving = asyncio.create_task(world.mcsd.reclaimer.reclaim())
        await asyncio.to_thread(looked.wait, 10)
        world.docker.present[a] = away
        await world.mcsd.reconciler.reconcile(a)
        go_on.set()
        await proving
        assert world.level(a) == held
        assert world.is_running

    with_world(story)


def test_without_selinux_in_the_engine_a_pair_is_assigned_and_said_not_to_isolate() -> None:
    """Promise 8."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        grant = world.mcsd.store.cache.grant_of(a)
        assert grant is not None and grant.origin is Origin.ASSIGNED and len(grant.level) == 2
        assert world.level_on("/srv/a") == grant.level
        verdict = world.sighting(a).verdict
        assert verdict.isolated is False
        assert Why.ENGINE_OFF in [reason.why for reason in verdict.reasons]

    with_world(story, selinux=False)


def test_a_second_private_claim_is_refused_and_told_who_holds_the_volume() -> None:
    """Promises 1 and 9: Docker's `:Z` would steal it."""

    async def story(world: World) -> None:
        a = world.create("first", world.mount("/srv/a"))
        await world.quiet()
        b = world.create("second", world.mount("/srv/a"))
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a)
        grant = world.mcsd.store.cache.grant_of(b)
        assert grant is not None
        (claim,) = world.mcsd.store.cache.claims_of(grant.id)
        assert claim.state is ClaimState.REFUSED and "first holds /srv/a" in claim.reason
        assert world.sighting(b).verdict.isolated is False
        assert "VOLUME_REFUSED" in world.papers.kinds()

    with_world(story)


def test_a_volume_goes_straight_from_a_removed_container_to_the_next() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        first = world.level(a)
        world.docker.remove(a)
        b = world.create("b", world.mount("/srv/a"))
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(b) != first
        assert [what for what, _, _ in world.volumes.walked] == ["relabel", "relabel"]
        await world.quiet()
        assert [grant.container for grant in world.mcsd.store.cache.grants()] == [b], "the first is free"

    with_world(story)


def test_shared_by_both_carries_the_bare_level() -> None:
    async def story(world: World) -> None:
        labels = (("io.mcsd.volume", "/data:shared"),)
        a = world.create("a", world.mount("/srv/a"), labels=labels)
        b = world.create("b", world.mount("/srv/a"), labels=labels)
        await world.quiet()
        assert world.level_on("/srv/a") == Level.parse("s0")
        assert world.sighting(a).verdict.isolated and world.sighting(b).verdict.isolated

    with_world(story)


def test_a_conflict_of_levels_names_both_sides_and_labels_nothing_of_the_second() -> None:
    """Promises 1, 8 and 9."""

    async def story(world: World) -> None:
        label = "system_u:system_r:container_t:s0:c5,c6"
        a = world.create("a", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        b = world.create("b", world.mount("/srv/b"), process_label=label + ",c7")
        await world.quiet()
        assert world.label("/srv/b") == BORN
        for one, other in ((a, "b"), (b, "a")):
            sighting = world.sighting(one)
            assert [conflict.name for conflict in sighting.conflicts] == [other]
            assert sighting.verdict.isolated is False
        told = [notice for notice in world.papers.notices if notice.kind is Kind.CONFLICT]
        assert {notice.fields["name"] for notice in told} == {"a", "b"}, "each by an entry of its own"
        assert len(told) == 2

    with_world(story)


@pytest.mark.parametrize("label", ["system_u:system_r:container_t:nonsense", "system_u:system_r:container_t"])
def test_a_label_that_cannot_be_read_fails_its_container_alone(label: str) -> None:
    """Promise 9: `--security-opt label=level:nonsense`, or a policy without levels."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"), process_label=label)
        b = world.create("b", world.mount("/srv/b"))
        await world.quiet()
        assert world.label("/srv/a") == BORN and world.mcsd.store.cache.grant_of(a) is None
        assert world.sighting(b).verdict.isolated is True and world.level_on("/srv/b") == world.level(b)
        with pytest.raises(LabelSyntaxError) as refused:
            Context.parse(label)
        seen = world.sighting(a)
        assert (seen.error, seen.error_hint) == (refused.value.what, refused.value.hint)
        told = [dict(one.fields) for one in world.papers.notices if one.kind is Kind.CONTAINER_FAILED]
        assert {(one["name"], one["reason"], one["code"]) for one in told} == {
            ("a", refused.value.what, Problem.LABEL_SYNTAX)
        }
        report = container_report(seen, world.mcsd.facade.snapshot())
        assert (report.process_label, report.isolated) == (label, False)

    with_world(story)


def test_a_stranger_at_the_same_level_is_a_conflict_too() -> None:
    """Promises 1 and 2: a virtual machine or another engine's container."""

    async def story(world: World) -> None:
        level = Level.parse("s0:c0,c1")
        world.kernel.foreign.append(
            ProcessLevel(42, Context.parse(f"system_u:system_r:svirt_t:{level}"), level)
        )
        await world.mcsd.process_levels.refresh()  # one of the last second would do for adopting
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert world.level(a) == level
        assert world.label("/srv/a") == BORN
        assert world.sighting(a).conflicts[0].name == "process 42"
        world.kernel.foreign.clear()
        await world.mcsd.process_levels.refresh()
        await world.quiet()
        assert world.level_on("/srv/a") == level

    with_world(story)


def test_a_container_is_shown_while_its_volumes_are_walked() -> None:
    """Promise 8: not as isolated; and who waits for it is not told that there is no such container."""

    async def story(world: World) -> None:
        world.volumes.gate.clear()
        a = world.create("a", world.mount("/srv/a"))
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.005)
        sighting = world.sighting(a)
        assert not sighting.settled and sighting.verdict.isolated is False
        assert "NOT_ISOLATED" not in world.papers.kinds(), "what is in work is not told as a verdict"
        world.volumes.gate.set()
        await world.quiet()
        assert world.sighting(a).settled and world.sighting(a).verdict.isolated is True
        assert world.papers.kinds().count("ISOLATED") == 1
        assert "NOT_ISOLATED" not in world.papers.kinds()

    with_world(story)


def test_a_verdict_that_was_shown_early_is_told_when_it_has_come_to_rest() -> None:
    async def story(world: World) -> None:
        world.kernel.status_now = replace(world.kernel.status_now, enforcing=False)
        world.mcsd.host.selinux_is(world.kernel.status())
        world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert world.papers.kinds().count("NOT_ISOLATED") == 1

    with_world(story)


def test_what_another_engine_s_container_uses_is_not_taken_from_it() -> None:
    """Promises 2 and 9: its files carry its level, and it runs; when it is gone they are labelled."""

    async def story(world: World) -> None:
        theirs = ProcessLevel(
            42, Context.parse("system_u:system_r:container_t:s0:c500,c501"), Level.of(500, 501), "b" * 64
        )
        world.kernel.foreign.append(theirs)
        there = "system_u:object_r:container_file_t:s0:c500,c501"
        world.volumes.make("/srv/theirs", label=there)
        web = world.create("web", world.mount("/srv/theirs"), start=False)
        await world.quiet()
        grant = world.mcsd.store.cache.grant_of(web)
        assert grant is not None
        (claim,) = world.mcsd.store.cache.claims_of(grant.id)
        assert claim.state is ClaimState.REFUSED
        assert "process 42 at s0:c500,c501" in claim.reason
        assert world.label("/srv/theirs") == there
        world.kernel.foreign.clear()
        await world.mcsd.process_levels.refresh()
        await world.quiet()
        assert world.level_on("/srv/theirs") == grant.level

    with_world(story)


@pytest.mark.parametrize("when", ["at start", "later"])
def test_a_volume_is_known_again_when_its_device_has_another_number(when: str) -> None:
    """Promise 6: it is not taken for a new one, whose original would be what mcsd wrote."""

    async def story(world: World) -> None:
        web = world.create("web", world.mount("/srv/a"))
        await world.quiet()
        await world.kill()
        tree = world.volumes.trees.pop("/srv/a") if when == "later" else None
        world.volumes.renumber()
        await world.boot()
        if tree is not None:  # its file system is mounted when mcsd runs already
            await world.quiet()
            tree.identity = Identity(9, tree.identity.inode)
            world.volumes.trees["/srv/a"] = tree
        await world.quiet()
        (volume,) = world.mcsd.store.cache.volumes()
        assert volume.identity == world.volumes.trees["/srv/a"].identity
        world.docker.remove(web)
        await world.quiet()
        world.clock.advance(700)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_permissive_turns_everyone_to_not_isolated_and_back() -> None:
    """Promise 8."""

    async def story(world: World) -> None:
        a = world.create("a")
        await world.quiet()
        world.kernel.status_now = replace(world.kernel.status_now, enforcing=False)
        world.mcsd.host.selinux_is(world.kernel.status())
        assert world.sighting(a).verdict.isolated is False
        assert "NOT_ISOLATED" in world.papers.kinds()
        world.kernel.status_now = replace(world.kernel.status_now, enforcing=True)
        world.mcsd.host.selinux_is(world.kernel.status())
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_domain_that_categories_do_not_bind_is_not_isolated() -> None:
    """Promise 8: a label isolates where the kernel's policy compares it, and it is asked whether it does."""

    async def story(world: World) -> None:
        world.kernel.unbound = {"container_t"}
        a = world.create("a")
        await world.quiet()
        verdict = world.sighting(a).verdict
        assert verdict.isolated is False
        assert [reason.why for reason in verdict.reasons] == [Why.UNBOUND_DOMAIN]
        assert "container_t" in verdict.reasons[0].text
        world.kernel.unbound = set()
        await world.mcsd.watcher.resync()
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_a_volume_that_a_rule_protects_is_refused_with_the_way_out() -> None:
    """Promise 10."""

    async def story(world: World) -> None:
        mount = world.mount("/etc")
        world.volumes.trees["/etc"].error = VolumeRefusedError(
            "volume '/etc' is refused", hint="no", rule="x"
        )
        a = world.create("a", mount)
        await world.quiet()
        reasons = world.sighting(a).verdict.reasons
        assert [reason.why for reason in reasons] == [Why.VOLUME]
        assert "refused" in reasons[0].text and reasons[0].hint == "no"

    with_world(story)


def test_a_volume_that_fails_is_tried_again() -> None:
    """Promise 9."""

    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].error = VolumeFailedError("volume '/srv/a': input/output error")
        a = world.create("a", mount)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is False
        world.volumes.trees["/srv/a"].error = None
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        assert world.level_on("/srv/a") == world.level(a)

    with_world(story)


def test_a_partly_labelled_volume_is_never_called_ready() -> None:
    """Promises 8 and 9."""

    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].partial = True
        a = world.create("a", mount)
        await world.quiet()
        verdict = world.sighting(a).verdict
        assert verdict.isolated is False and "1 swapped" in verdict.reasons[0].text
        world.volumes.trees["/srv/a"].partial = False
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_lost_events_and_a_dead_engine_end_in_the_same_state() -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        world.docker.drop_events(100)
        a = world.create("a", world.mount("/srv/a"))
        world.docker.go_down()
        while not world.mcsd.watcher.errors:
            await asyncio.sleep(0.005)
        assert "ENGINE_DOWN" in world.papers.kinds()
        world.docker.come_up()
        while world.mcsd.watcher.errors or not world.mcsd.watcher.is_synced:
            await asyncio.sleep(0.01)
        assert world.level_on("/srv/a") == world.level(a)

    with_world(story)


def test_a_volume_whose_container_was_just_removed_can_be_restored_at_once() -> None:
    """As the recipe for moving a volume has it, line after line."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        with pytest.raises(ConflictError, match="still claimed by a"):
            await world.mcsd.facade.restore("/srv/a")
        world.docker.vanish(a)  # its event is still on its way
        assert (await world.mcsd.facade.restore("/srv/a")).complete

    with_world(story)


def test_a_level_is_not_freed_where_the_originals_are_lost() -> None:
    """Promise 2: the files still carry it, so it stays in quarantine until they were cleaned."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        level = world.mcsd.store.cache.grants()[0].level
        world.volumes.before.clear()
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        (volume,) = world.mcsd.store.cache.volumes()
        assert (volume.phase, "are lost" in volume.detail) == (VolumePhase.STRANDED, True)
        assert [grant.level for grant in world.mcsd.store.cache.grants()] == [level]
        with pytest.raises(VolumeFailedError, match="are lost"):
            await world.mcsd.facade.restore("/srv/a")
        world.volumes.trees["/srv/a"].label = BORN
        assert (await world.mcsd.facade.restore("/srv/a")).complete
        await world.quiet()
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_a_volume_that_a_reservation_keeps_is_told_how_to_be_had_back() -> None:
    async def story(world: World) -> None:
        grant = await world.mcsd.facade.reserve("web", group=None)
        label = f"system_u:system_r:container_t:{grant.level}"
        a = world.create("web", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        with pytest.raises(ConflictError, match="kept for the next container") as refused:
            await world.mcsd.facade.restore("/srv/a")
        assert refused.value.hint.endswith("mcsctl release web")
        await world.mcsd.facade.release("web")
        assert (await world.mcsd.facade.restore("/srv/a")).complete

    with_world(story)


def test_a_container_that_vanished_while_mcsd_was_away_is_reclaimed() -> None:
    """Promise 7."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        await world.kill()
        world.docker.vanish(a)
        await world.boot()
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_a_walk_that_was_killed_is_finished_after_the_restart() -> None:
    """Promises 3 and 7."""

    async def story(world: World) -> None:
        world.volumes.gate.clear()
        a = world.create("a", world.mount("/srv/a"))
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.001)
        await world.kill()
        assert world.label("/srv/a") == BORN
        world.volumes.gate.set()
        await world.boot()
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a)
        assert world.sighting(a).verdict.isolated is True

    with_world(story)


def test_a_removal_during_the_walk_breaks_it_off_and_undoes_it() -> None:
    async def story(world: World) -> None:
        world.volumes.gate.clear()
        a = world.create("a", world.mount("/srv/a"))
        while not world.mcsd.walks.progress():
            await asyncio.sleep(0.001)
        world.docker.remove(a)
        while world.mcsd.walks.progress():
            await asyncio.sleep(0.001)
        world.volumes.gate.set()
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()
        assert world.mcsd.store.cache.volumes() == ()

    with_world(story)


def test_a_lost_ledger_is_rebuilt_from_disk_and_containers() -> None:
    """Promises 2 and 6: nothing is granted that files still carry, and undo stays exact."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        b = world.create("b", world.mount("/srv/b"))
        await world.quiet()
        level_a, level_b = world.level(a), world.level(b)
        await world.kill()
        world.docker.vanish(b)
        world.tables = type(world.tables)()
        await world.boot()
        assert world.mcsd.store.allocator.why_not(level_b), "taken before anything is allocated"
        await world.quiet()
        assert world.level(a) == level_a and world.sighting(a).verdict.isolated is True
        assert world.sighting(a).conflicts == ()
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/b") == BORN
        assert [grant.container for grant in world.mcsd.store.cache.grants()] == [a]
        world.docker.remove(a)
        world.clock.advance(1)
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_a_reservation_keeps_its_level_and_its_labels() -> None:
    async def story(world: World) -> None:
        grant = await world.mcsd.facade.reserve("web", group=None)
        assert await world.mcsd.facade.reserve("web", group=None) == grant
        label = f"system_u:system_r:container_t:{grant.level}"
        a = world.create("web1", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        held = world.mcsd.store.cache.grant_of(a)
        assert held is not None and held.id == grant.id and held.origin is Origin.ASSIGNED
        world.docker.remove(a)
        world.clock.advance(601)
        await world.quiet()
        assert world.level_on("/srv/a") == grant.level, "kept for the next one"
        walks = len(world.volumes.walked)
        b = world.create("web1", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        assert world.level(b) == grant.level and world.sighting(b).verdict.isolated is True
        assert len(world.volumes.walked) == walks, "nothing is walked"
        world.docker.remove(b)
        await world.quiet()
        await world.mcsd.facade.release("web")
        world.clock.advance(601)
        await world.quiet()
        assert world.label("/srv/a") == BORN and world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_what_lingers_is_cleaned_at_once_when_no_pair_is_left() -> None:
    """Of three pairs a gone container has one: a reservation that needs it does not wait for its linger."""

    async def story(world: World) -> None:
        label = "system_u:system_r:container_t:s0:c0,c1"
        web = world.create("web", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        await world.mcsd.reclaimer.start()
        world.docker.remove(web)
        await world.mcsd.watcher.resync()
        await world.mcsd.watcher.hints.quiet()
        assert str(world.level_on("/srv/a")) == "s0:c0,c1", "it lingers"
        levels = {str((await world.mcsd.reservations.reserve(name)).level) for name in ("x", "y", "z")}
        assert levels == {"s0:c0,c1", "s0:c0,c2", "s0:c1,c2"}
        assert world.label("/srv/a") == BORN
        with pytest.raises(ExhaustedError, match="of 3 pairs 0 are granted, 3 reserved"):
            await world.mcsd.reservations.reserve("more")

    with_world(story, categories={"range": "c0.c2", "reserved": []})


def test_with_a_new_ledger_nothing_is_chosen_before_docker_has_told_who_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Promise 2: a stopped container holds its level, and no process shows it."""
    monkeypatch.setattr(reservations, "FIRST_LOOK", 0.05)

    async def story(world: World) -> None:
        world.create("idle", start=False, process_label="system_u:system_r:container_t:s0:c0,c1")
        await world.kill()
        world.tables = type(world.tables)()
        world.docker.go_down()
        await world.boot()
        with pytest.raises(EngineUnavailableError, match="the ledger is new"):
            await world.mcsd.reservations.reserve("early")
        world.docker.come_up()
        monkeypatch.setattr(reservations, "FIRST_LOOK", 10.0)
        with pytest.raises(ExhaustedError, match="1 are granted"):
            await world.mcsd.reservations.reserve("early")

    with_world(story, categories={"range": "c0.c1", "reserved": []})


def test_members_of_a_group_share_a_volume_at_the_group_s_pair_alone() -> None:
    """Promise 1, where sharing was asked for and recorded."""

    async def story(world: World) -> None:
        one = await world.mcsd.facade.reserve("one", group="team")
        two = await world.mcsd.facade.reserve("two", group="team")
        labels = (("io.mcsd.group", "team"), ("io.mcsd.volume", "/data:group"))
        for name, grant in (("one", one), ("two", two)):
            process = f"system_u:system_r:container_t:{grant.level}"
            world.create(name, world.mount("/srv/team"), process_label=process, labels=labels)
        await world.quiet()
        level = world.level_on("/srv/team")
        assert len(level) == 2 and one.level.dominates(level) and two.level.dominates(level)
        assert not one.level.is_comparable_to(two.level)
        assert all(sighting.verdict.isolated for sighting in world.mcsd.facade.snapshot().container_status)

    with_world(story)


def test_what_lingers_is_cleaned_at_once_when_somebody_comes_to_be_at_its_level() -> None:
    """Promise 2: Docker gives a level out again when its container is gone; the files go first."""

    async def story(world: World) -> None:
        label = "system_u:system_r:container_t:s0:c1,c2"
        a = world.create("a", world.mount("/srv/a"), process_label=label)
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        assert str(world.level_on("/srv/a")) == "s0:c1,c2", "it lingers"
        world.create("b", process_label=label)
        while world.label("/srv/a") != BORN:
            await asyncio.sleep(0.01)
        await world.mcsd.reclaimer.reclaim()  # or it may be at work on the level yet
        assert [grant.name for grant in world.mcsd.store.cache.grants()] == ["b"]

    with_world(story)


def test_what_comes_due_just_after_the_reclaimer_has_looked_is_not_left_lying() -> None:
    """Promise 2: a linger that ends between two readings of the clock has ended all the same."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        assert world.level_on("/srv/a").categories, "it lingers"
        world.clock.step = 1.0
        world.mcsd.reclaimer.wake()
        while world.mcsd.store.cache.grants():
            await asyncio.sleep(0.01)
        assert world.label("/srv/a") == BORN

    with_world(story, volumes={"linger": "100ms"})


def test_a_ledger_that_fails_while_reclaiming_ends_nothing() -> None:
    """Promises 2 and 9: what cannot be written down is not done, and is done later."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        level = world.level(a)
        world.docker.remove(a)
        await world.quiet()
        world.clock.advance(601)
        world.ledger.failure = LedgerError("the disk is full")
        world.mcsd.reclaimer.wake()
        while not world.mcsd.store.error:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert world.is_running and world.level_on("/srv/a") == level
        world.ledger.failure = None
        await world.quiet()
        assert world.label("/srv/a") == BORN and world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_what_follows_an_init_container_has_its_volume() -> None:
    """compose's `service_completed_successfully`: both are made first, and the second starts when the first
    has ended. Promise 1: the first reaches it no more."""

    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        init = world.create("init", mount)
        await world.quiet()
        app = world.create("app", mount, start=False)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(init)
        world.docker.die(init)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(init), "nobody has come after it yet"
        world.start(app)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(app) != world.level(init)
        assert world.sighting(app).verdict.isolated is True
        (claim,) = _claims(world, init)
        assert claim.state is ClaimState.UNMANAGED and "had exited" in claim.reason
        await world.quiet()
        assert _claims(world, init) == (claim,), "it does not ask for it while it does not run"
        world.start(init)
        await world.quiet()
        assert _claims(world, init)[0].state is ClaimState.REFUSED
        assert world.level_on("/srv/a") == world.level(app)

    with_world(story)


def test_a_directory_inside_an_exited_container_s_comes_back_first() -> None:
    """Promise 6: one walk would take the other's label for what was there before."""

    async def story(world: World) -> None:
        world.volumes.make("/srv/a/b")
        init = world.create("init", world.mount("/srv/a"))
        await world.quiet()
        world.docker.die(init)
        await world.quiet()
        app = world.create("app", world.mount("/srv/a/b"))
        await world.quiet()
        assert world.level_on("/srv/a/b") == world.level(app)
        assert world.label("/srv/a") == BORN

    with_world(story)


def test_a_volume_is_not_taken_in_the_moment_of_a_restart() -> None:
    """Promise 9: who was refused it while its holder ran may have it at its own next start."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        thief = world.create("thief", world.mount("/srv/a"))
        await world.quiet()
        world.docker.die(a)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a)
        world.start(a)
        await world.quiet()
        assert world.level_on("/srv/a") == world.level(a) and world.sighting(a).verdict.isolated is True
        assert _claims(world, thief)[0].state is ClaimState.REFUSED

    with_world(story)


def test_a_rule_counts_for_the_place_whatever_the_container_calls_it() -> None:
    """Promise 10: on ostree hosts `/home` is `/var/home`."""

    async def story(world: World) -> None:
        world.volumes.links = {"/home": "/var/home", "/srv": "/var/srv"}
        for path in ("/var/home/www", "/var/srv/x"):
            world.volumes.make(path)
        a = world.create("a", Mount(MountKind.BIND, "/var/home/www", "/data"))
        b = world.create("b", Mount(MountKind.BIND, "/home/www", "/data"))
        c = world.create("c", Mount(MountKind.BIND, "/srv/x", "/data"))
        await world.quiet()
        assert [_claims(world, one)[0].mode for one in (a, b)] == [ClaimMode.IGNORE, ClaimMode.IGNORE]
        assert _claims(world, c)[0].mode is ClaimMode.SHARED
        assert world.label("/var/home/www") == BORN
        assert (await world.mcsd.facade.verify("/srv/x", repair=False)).volumes[0].path == "/var/srv/x"

    rules = [{"path": "/home/www", "mode": "ignore"}, {"path": "/var/srv/x", "mode": "shared"}]
    with_world(story, volumes={"rule": rules})


def test_what_is_misspelt_is_told_once_with_what_was_meant() -> None:
    async def story(world: World) -> None:
        world.create("a", world.mount("/srv/a"), labels=(("io.mcsd.volume", "/data=shared"),))
        await world.quiet()
        await world.quiet()
        told = [notice for notice in world.papers.notices if notice.kind.name == "LABEL_MISREAD"]
        assert len(told) == 1 and told[0].sentence.endswith("; write /data:shared")

    with_world(story)


def _claims(world: World, ident: ContainerId) -> tuple[Claim, ...]:
    grant = world.mcsd.store.cache.grant_of(ident)
    assert grant is not None
    return world.mcsd.store.cache.claims_of(grant.id)


@pytest.mark.parametrize("inside", ["/srv/a", "/srv/a/inside"])
def test_a_claim_that_ends_wakes_those_it_refused(inside: str) -> None:
    """As in a rolling update that starts the new container first: no event tells the new one."""

    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        b = world.create("b", world.mount(inside))
        await world.quiet()
        assert [claim.state for claim in world.claims(b)] == [ClaimState.REFUSED]
        world.docker.die(a)
        world.docker.remove(a)
        async with asyncio.timeout(15):
            while [claim.state for claim in world.claims(b)] != [ClaimState.READY]:
                await asyncio.sleep(0.01)
        assert world.level_on(inside) == world.level(b)

    with_world(story)


def test_what_a_stranger_has_labelled_since_the_last_scan_is_not_taken_from_it() -> None:
    """Promises 2 and 9: a container that mcsd knows starts again, with another directory than before."""

    async def story(world: World) -> None:
        level = Level.parse("s0:c600,c700")
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.kernel.foreign.append(
            ProcessLevel(77, Context.parse(f"system_u:system_r:svirt_t:{level}"), level)
        )
        theirs = f"system_u:object_r:svirt_image_t:{level}"
        world.volumes.make("/srv/a", label=theirs)  # another directory of that name
        await world.quiet()
        assert world.label("/srv/a") == theirs
        (claim,) = world.claims(a)
        assert claim.state is ClaimState.REFUSED and "process 77" in claim.reason

    with_world(story)


def test_a_stranger_that_ends_wakes_those_it_refused() -> None:
    async def story(world: World) -> None:
        level = Level.parse("s0:c600,c700")
        world.kernel.foreign.append(
            ProcessLevel(77, Context.parse(f"system_u:system_r:svirt_t:{level}"), level)
        )
        world.mount("/srv/a")
        world.volumes.trees["/srv/a"].label = f"system_u:object_r:svirt_image_t:{level}"
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        assert [claim.state for claim in world.claims(a)] == [ClaimState.REFUSED]
        world.kernel.foreign.clear()
        await world.mcsd.process_levels.refresh()
        async with asyncio.timeout(15):
            while [claim.state for claim in world.claims(a)] != [ClaimState.READY]:
                await asyncio.sleep(0.01)

    with_world(story)


def test_docker_s_storage_and_drivers_are_protected_where_docker_says_they_are() -> None:
    """Promise 10: and a container's own volume there is its own."""

    async def story(world: World) -> None:
        world.docker.engine_info = replace(world.docker.engine_info, root_directory="/srv/docker")
        await world.kill()
        await world.boot()
        own = world.mount("/srv/docker/volumes/a/_data", kind=MountKind.VOLUME, driver="local")
        theirs = world.mount("/mnt/driver/b", kind=MountKind.VOLUME, driver="netshare")
        a = world.create("a", own)
        world.create("b", theirs)
        await world.quiet()
        assert world.level_on(own.source) == world.level(a)
        assert world.label(theirs.source) == BORN, "a driver's volume is the driver's"
        world.create("thief", world.mount("/srv/docker"), world.mount("/srv/docker/x", "/x"))
        world.volumes.make("/mnt/driver/b/inside")
        world.create("other", world.mount("/mnt/driver/b/inside"))
        await world.quiet()
        assert world.label("/srv/docker") == world.label("/srv/docker/x") == BORN
        assert world.label("/mnt/driver/b/inside") == BORN

    with_world(story)


def _part(world: World, part: str) -> Mount:
    """`--mount type=volume,src=v,dst=/data,volume-subpath=PART`."""
    return world.mount(f"/v/_data/{part}", kind=MountKind.VOLUME, inside="/v/_data")


def test_parts_of_one_volume_are_volumes_of_their_own() -> None:
    """`volume-subpath`: a container sees, and Docker labels, the part alone."""

    async def story(world: World) -> None:
        world.volumes.make("/v/_data")
        a, b = world.create("a", _part(world, "a")), world.create("b", _part(world, "b"))
        await world.quiet()
        assert world.label("/v/_data") == BORN
        for ident, path in ((a, "/v/_data/a"), (b, "/v/_data/b")):
            assert world.level_on(path) == world.level(ident)
            assert world.sighting(ident).verdict.isolated is True
        whole = world.create("whole", world.mount("/v/_data"))
        await world.quiet()
        assert [claim.state for claim in world.claims(whole)] == [ClaimState.REFUSED]

    with_world(story)


@follows(Hint.PART_ITSELF)
def test_no_link_in_a_volume_leads_a_part_of_it_out() -> None:
    """Promise 5: whoever had the whole volume before may have made it."""

    async def story(world: World) -> None:
        world.volumes.make("/v/_data")
        world.volumes.make("/srv/victim")
        mount = _part(world, "a")
        world.volumes.links["/v/_data/a"] = "/srv/victim"
        a = world.create("a", mount)
        await world.quiet()
        (claim,) = world.claims(a)
        assert claim.state is ClaimState.REFUSED and "/srv/victim" in claim.reason
        assert "the directory itself in volume-subpath" in claim.hint
        assert world.label("/srv/victim") == BORN
        world.docker.remove(a)
        again = world.create("a", _part(world, "itself"))
        await world.quiet()
        assert [one.state for one in world.claims(again)] == [ClaimState.READY]

    with_world(story)


def test_what_a_walk_leaves_out_is_named_once_and_shown() -> None:
    async def story(world: World) -> None:
        mount = world.mount("/srv/a")
        world.volumes.trees["/srv/a"].left_out = (("mount-point", "disk"), ("multiply-linked", "x/f"))
        a = world.create("a", mount)
        await world.quiet()
        assert world.sighting(a).verdict.isolated is True
        report = container_report(world.sighting(a), world.mcsd.facade.snapshot())
        assert [(one.path, one.code) for one in report.claims[0].left_out] == [
            ("/srv/a/disk", "mount-point"),
            ("/srv/a/x/f", "multiply-linked"),
        ]
        assert (report.volumes.ready, report.volumes.partly) == (1, 1)
        disk = report.claims[0].disk
        assert disk is not None and disk.watching is Watching.WATCHED and disk.drifted == 0
        assert disk.looked is not None and disk.looked.timestamp() == world.clock.now()
        for _ in range(2):
            await world.mcsd.facade.verify(None, repair=True)
            await world.kill()
            await world.boot()
            await world.quiet()
        told = [notice for notice in world.papers.notices if notice.kind is Kind.VOLUME_PARTLY]
        assert [notice.fields["path"] for notice in told] == ["/srv/a/disk"]
        assert container_report(world.sighting(a), world.mcsd.facade.snapshot()).volumes.partly == 1

    with_world(story)


def test_a_mount_inside_that_the_container_has_by_itself_is_not_left_out() -> None:
    async def story(world: World) -> None:
        mounts = world.mount("/srv/a"), world.mount("/srv/a/disk", "/data/disk")
        world.volumes.trees["/srv/a/disk"].identity = Identity(7, 700)
        world.volumes.trees["/srv/a"].left_out = (("mount-point", "disk"),)
        both = world.create("both", *mounts)
        await world.quiet()
        report = container_report(world.sighting(both), world.mcsd.facade.snapshot())
        assert [claim.left_out for claim in report.claims] == [(), ()]
        assert (report.volumes.ready, report.volumes.partly) == (2, 0)
        assert "VOLUME_PARTLY" not in world.papers.kinds()

    with_world(story)


@pytest.mark.parametrize("hours", [100, -100])
def test_a_clock_that_is_set_keeps_nothing_lingering_and_hastens_nothing(hours: int) -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        world.clock.set_back(hours * 3600)
        await world.quiet()
        assert world.label("/srv/a") != BORN, "it lingers"
        world.clock.advance(700)
        await world.quiet()
        assert world.label("/srv/a") == BORN
        assert world.mcsd.store.cache.grants() == ()

    with_world(story)


def test_a_clock_that_was_set_back_while_mcsd_was_away_makes_it_linger_once_more_at_most() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.docker.remove(a)
        await world.quiet()
        await world.kill()
        world.clock.set_back(360_000)
        await world.boot()
        await world.quiet()
        assert world.label("/srv/a") != BORN
        world.clock.advance(700)
        await world.quiet()
        assert world.label("/srv/a") == BORN

    with_world(story)


def test_what_keeps_a_level_is_told_once() -> None:
    async def story(world: World) -> None:
        a = world.create("a", world.mount("/srv/a"))
        await world.quiet()
        world.volumes.trees["/srv/a"].error = VolumeFailedError("it is on a read-only mount")
        world.docker.remove(a)
        for _ in range(5):
            world.clock.advance(700)
            await world.quiet()
        told = [notice for notice in world.papers.notices if notice.kind is Kind.VOLUME_STRANDED]
        assert len(told) == 1
        world.volumes.trees["/srv/a"].error = None
        await world.quiet()
        assert world.label("/srv/a") == BORN

    with_world(story)
