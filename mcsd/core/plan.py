"""The plan: what to do about one container, given what was observed and what is in the ledger.

Theory of operation
-------------------
`plan(observed, cache, policy)` compares one observation of a container with the ledger, and returns the next
stage of actions. The caller carries them out, observes again if a volume was walked, and plans again until
the result is `()`. There are two stages, and the second waits for the first:

1. the grant: is there a level, and is it in the right state (`_removal`, `_gated`, `_acquisition`,
   `_life`)?
2. the claims: for each mount, is it labelled as its mode requires (`_claims`)? A claim passes these checks in
   order, and the first that fails decides: is the mode one that is labelled; could the root be opened, and
   does no rule protect it; is there an objection to the level (`_no_group` … `_outsider`); is another claim
   in the way (`_resolve`); is there anything left to do (`_walk`).

What always holds:

- Pure: no I/O, no clock. The same arguments give the same actions.
- Idempotent: once its actions are carried out, the same observation gives `()`.
- It terminates: a volume that was walked in this pass (`Observed.attempted`) is not walked again in it, and a
  restoration requested in it (`Observed.vacated`) is not requested again. So a failure cannot loop.
- Of two claims that exclude each other, the existing one is kept, and the new one is refused, with the rule.
  A claim of a container that has exited yields to one that starts.

What a failure means: a `LabelSyntaxError` comes from Docker (an invalid label) and only fails this container.
An `AssertionError` or `KeyError` is a bug here; the reconciler reports it, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mcsd.core.containers import Container, ContainerId, Mount, seconds_of
from mcsd.core.exposure import Survey
from mcsd.core.fleet.trees import FleetTree
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.hints import Hint, way_to_share
from mcsd.core.host import Host
from mcsd.core.isolation import unconfined_reason
from mcsd.core.labels import Label, Level, readable
from mcsd.core.modes import VolumePolicy, mode_for
from mcsd.core.refusals import RefusalRule
from mcsd.core.runs import is_run
from mcsd.core.sharing import (
    Clash,
    clash_around,
    clash_of,
    conflicts_of,
    ousted_by,
    outsiders_of,
    shares_with,
    target_level,
)
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import (
    CONCEDED,
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Identity,
    Volume,
    VolumePhase,
    overlap,
)
from mcsd.core.wishes import is_claimable


@dataclass(frozen=True, slots=True)
class Usable:
    """A volume's root that could be opened and may be labelled; `label` is what it carries now."""

    path: str
    identity: Identity
    label: str | None
    writable: bool = True
    """Whether labels can be changed there: False on a file system that is mounted read-only."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A volume's root that could not be opened, or that a rule protects.

    With the state UNMANAGED it is left alone, as if the mode were *ignore*."""

    state: ClaimState
    reason: str
    hint: str
    rule: str = ""
    """The name of the rule that forbids it; see `mcsd.core.refusals`."""


RootSight = Usable | Unusable


@dataclass(frozen=True, slots=True)
class Observed:
    """One observation of a container. `container` is None if it is gone; `sights` are by destination."""

    id: ContainerId
    container: Container | None
    host: Host
    sights: Mapping[str, RootSight] = field(default_factory=dict)
    attempted: frozenset[str] = frozenset()
    """Destinations whose volumes were walked in this pass."""
    vacated: frozenset[str] = frozenset()
    """Destinations for which a restoration of what is in the way was requested in this pass."""
    conflicting: tuple[str, ...] = ()
    """Processes outside the engines' containers that run at a level comparable to this one's."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """By destination: a process outside the engines' containers whose level the volume's root carries."""
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By destination: why another host of the fleet keeps the volume from being labelled, and what to do."""
    had: Mapping[tuple[str, Level], FleetTree | None] = field(default_factory=dict)
    """By destination and level: what this host has of the fleet for it, None if no other host mounts it."""
    gated: bool = False
    """Whether it starts through the gate: then mcsd chooses its level, and takes it back at exit."""
    starting: bool = False
    """Whether the gate waits for this: the container does not run yet, but is about to."""
    process: Label | None = None
    """The context of its first process, if that was read."""
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    """By destination: where a bind mount's source is, and what it shows of the host."""


# --- actions: frozen values; the executor's match over them is complete --------------------------------


@dataclass(frozen=True, slots=True)
class Adopt:
    """Record a grant on the level that the engine, or the container's creator, chose."""

    container: Container
    level: Level
    shares_with: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Assign:
    """Choose a free pair and record a grant on it."""

    container: Container


@dataclass(frozen=True, slots=True)
class Occupy:
    """Give the container an existing grant on its level: one that was reserved under a name, or was found on
    disk after the ledger was lost."""

    container: Container
    grant: GrantId


@dataclass(frozen=True, slots=True)
class RenameGrant:
    """Record that the container has another name now, or its engine has one."""

    grant: GrantId
    name: str
    engine: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Move a grant to its next state."""

    grant: GrantId
    event: GrantEvent
    at: float | None = None
    """When it happened, in seconds since the epoch, if the engine reported it; otherwise now."""


@dataclass(frozen=True, slots=True)
class SetClaim:
    """Record a claim that needs no walk; `rule` names what refuses it, if it is refused."""

    claim: Claim
    rule: str = ""


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """Record the intent, walk the volume to `level`, record the result.

    `also` are other claims on the same volume that change with it: another grant's where a conflict is
    resolved by sharing, the same grant's if a directory is mounted twice. `ousted` are claims of containers
    that have exited; they end with it.
    """

    claim: Claim
    root: Usable
    level: Level
    also: tuple[Claim, ...] = ()
    ousted: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Vacate:
    """Restore volumes that are in the way now: quarantined ones, lingering or not, and those of containers
    that have exited, whose claims (`ousted`) end."""

    grants: tuple[GrantId, ...]
    destination: str
    ousted: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Unclaim:
    """Delete a claim on what the container does not mount (found on disk after the ledger was lost)."""

    claim: Claim


Action = Adopt | Assign | Occupy | RenameGrant | Advance | SetClaim | LabelVolume | Vacate | Unclaim


def plan(observed: Observed, cache: StateCache, policy: VolumePolicy) -> tuple[Action, ...]:
    """Return what to do next about one container; `()` if everything is as it should be."""
    grant = cache.grant_of(observed.id)
    container = observed.container
    if container is None:
        return () if grant is None else _removal(grant)
    if observed.gated:
        return _gated(observed, container, grant, cache, policy)
    if grant is not None and _is_elsewhere(container, grant):
        if grant.state is not GrantState.QUARANTINED:
            return (Advance(grant.id, GrantEvent.REMOVED),)
        grant = None
    if grant is None:
        return _acquisition(container, observed.host, cache)
    return _life(container, grant) or tuple(_claims(observed, container, grant, cache, policy))


def _is_elsewhere(container: Container, grant: Grant) -> bool:
    """Tell whether the engine starts the container at a level other than its grant's: the gate was on."""
    return container.level is not None and container.level != grant.level


def _is_called_otherwise(container: Container, grant: Grant) -> bool:
    return (grant.name, grant.engine) != (container.name, container.engine)


def _gated(
    observed: Observed, container: Container, grant: Grant | None, cache: StateCache, policy: VolumePolicy
) -> tuple[Action, ...]:
    """Plan the grant of a container whose level the gate has chosen; the engine's label does not count."""
    if grant is None:
        return _found_running(observed, container)
    if _was_started_without(observed, container, grant):
        return (*_given_up(grant), *_found_running(observed, container))
    if _is_called_otherwise(container, grant):
        return (RenameGrant(grant.id, container.name, container.engine),)
    if not (container.running or observed.starting):
        return _given_up(grant)
    if container.running and grant.state is not GrantState.ACTIVE:
        return (Advance(grant.id, GrantEvent.STARTED),)
    return tuple(_claims(observed, container, grant, cache, policy))


def _given_up(grant: Grant) -> tuple[Action, ...]:
    if grant.state is GrantState.QUARANTINED:
        return ()
    return (taken_back(grant),)


def taken_back(grant: Grant) -> Advance:
    """Return how a level that mcsd chose for a container leaves it: back to its reservation if it has one."""
    return Advance(grant.id, GrantEvent.VACATED if grant.reservation else GrantEvent.RECLAIMED)


def _was_started_without(observed: Observed, container: Container, grant: Grant) -> bool:
    """Tell whether the container runs at the level that the engine chose.

    mcsd was late or did not run, and `[gate] on_error` let the container start all the same. Any other level
    is the process's own doing. A container that shares another's namespaces needs that one's level, and has
    to be restarted."""
    level = _level_seen(observed, container)
    if level is None or level == grant.level or shares_with(container):
        return False
    return level == container.level


def _found_running(observed: Observed, container: Container) -> tuple[Action, ...]:
    """Plan for a start that mcsd did not see: the container holds the level that its process carries."""
    level = _level_seen(observed, container)
    return () if level is None else (Adopt(container, level, shares_with(container)),)


def _level_seen(observed: Observed, container: Container) -> Level | None:
    """Return the level that the first process runs at; None if that was not read, or has no label."""
    if not container.running or observed.process is None or container.process_label is None:
        return None
    return readable(observed.process).level


def _removal(grant: Grant) -> tuple[Action, ...]:
    if grant.state is GrantState.QUARANTINED:
        return ()
    if grant.reservation:
        return (Advance(grant.id, GrantEvent.VACATED),)
    return (Advance(grant.id, GrantEvent.REMOVED),)


def _acquisition(container: Container, host: Host, cache: StateCache) -> tuple[Action, ...]:
    if container.engine not in host.engines or unconfined_reason(container, host) is not None:
        return ()
    level = container.level
    if level is None:
        return (Assign(container),)
    for grant in cache.grants_at(level):
        if not grant.container:
            return (Occupy(container, grant.id),)
    return (Adopt(container, level, shares_with(container)),)


def is_live(container: Container) -> bool:
    """Tell whether a container runs, or has not run yet."""
    return container.running or container.status in {"created", "restarting", "paused"}


def _life(container: Container, grant: Grant) -> tuple[Action, ...]:
    if _is_called_otherwise(container, grant):
        return (RenameGrant(grant.id, container.name, container.engine),)
    # A container that was taken for gone but exists gets its level back: by way of ACTIVE, then IDLE.
    back = grant.state is GrantState.QUARANTINED
    if back or (is_live(container) and grant.state is not GrantState.ACTIVE):
        return (Advance(grant.id, GrantEvent.STARTED),)
    if not is_live(container) and grant.state in {GrantState.ACTIVE, GrantState.RESERVED}:
        return (Advance(grant.id, GrantEvent.EXITED, seconds_of(container.finished_at)),)
    return ()


def _claims(
    observed: Observed, container: Container, grant: Grant, cache: StateCache, policy: VolumePolicy
) -> Iterator[Action]:
    mounted = {mount.destination for mount in container.mounts}
    yield from (Unclaim(claim) for claim in cache.claims_of(grant.id) if claim.destination not in mounted)
    labels: list[LabelVolume] = []
    for mount in filter(is_claimable, container.mounts):
        action = _claim(observed, mount, grant, cache, policy)
        if isinstance(action, LabelVolume):
            labels.append(action)
        elif action is not None:
            yield action
    together: list[LabelVolume] = []
    for label in sorted(labels, key=lambda one: len(PurePosixPath(one.root.path).parts)):
        _join(label, together)
    yield from together


def _join(label: LabelVolume, labels: list[LabelVolume]) -> None:
    """Plan a walk together with others.

    A directory that is mounted twice is walked once. Of nested directories, the inner one waits for the next
    round, when it may turn out to be done already."""
    for at, other in enumerate(labels):
        if other.root.identity == label.root.identity:
            if (other.level, other.claim.mode) == (label.level, label.claim.mode):
                labels[at] = replace(other, also=(*other.also, label.claim))
            return
    if not any(overlap(label.root.path, other.root.path) for other in labels):
        labels.append(label)


@dataclass(frozen=True, slots=True)
class _ClaimCase:
    """One claim as it would be, and everything needed to judge it. `present` is the claim as it is now."""

    claim: Claim
    present: Claim | None
    grant: Grant
    container: Container
    observed: Observed
    cache: StateCache
    policy: VolumePolicy

    @property
    def is_done(self) -> bool:
        """Whether the claim is ready in this mode: later objections do not revoke it."""
        return self.present is not None and (self.present.state, self.present.mode) == (
            ClaimState.READY,
            self.claim.mode,
        )

    def set(self, claim: Claim, *, rule: str = "") -> Action | None:
        """Record the claim so, unless it is recorded so already."""
        return None if claim == self.present else SetClaim(claim, rule)

    def refuse(self, rule: RefusalRule, reason: str, hint: str) -> Action | None:
        """Refuse the claim: nothing is labelled for it."""
        refused = replace(self.claim, state=ClaimState.REFUSED, reason=reason, hint=hint, volume=None)
        return self.set(refused, rule=rule.value)

    def leave(self, rule: str, reason: str, hint: str) -> Action | None:
        """Leave the volume alone, as if the mode were *ignore*."""
        left = replace(
            self.claim,
            mode=ClaimMode.IGNORE,
            state=ClaimState.UNMANAGED,
            reason=reason,
            hint=hint,
            volume=None,
            conceded=False,
        )
        return self.set(left, rule=rule)


def _claim(
    observed: Observed, mount: Mount, grant: Grant, cache: StateCache, policy: VolumePolicy
) -> Action | None:
    assert observed.container is not None
    case = _case_of(observed, observed.container, mount, grant, cache, policy)
    claim, sight = case.claim, observed.sights.get(mount.destination)
    if not claim.mode.is_labelled:
        return case.set(replace(claim, volume=None))
    if sight is None:
        return None
    if isinstance(sight, Unusable) and sight.state is ClaimState.UNMANAGED:
        return case.leave(sight.rule, sight.reason, sight.hint)
    if isinstance(sight, Unusable):
        # A refused volume is released and restored; a failed one is tried again.
        volume = None if sight.state is ClaimState.REFUSED else claim.volume
        unusable = replace(claim, state=sight.state, reason=sight.reason, hint=sight.hint, volume=volume)
        return case.set(unusable, rule=sight.rule)
    return _labelled(case, sight)


def _case_of(
    observed: Observed,
    container: Container,
    mount: Mount,
    grant: Grant,
    cache: StateCache,
    policy: VolumePolicy,
) -> _ClaimCase:
    sight, survey = observed.sights.get(mount.destination), observed.surveys.get(mount.destination)
    paths = (mount.source, sight.path) if isinstance(sight, Usable) else (mount.source,)
    mode = mode_for(mount, container, policy, paths=paths, ruled=survey.ruled if survey else ())
    present = cache.claim(grant.id, mount.destination)
    conceded = mode is ClaimMode.PRIVATE and _stays_conceded(present, policy)
    claim = Claim(
        grant=grant.id,
        destination=mount.destination,
        source=mount.source,
        mode=ClaimMode.SHARED if conceded else mode,
        state=ClaimState.UNMANAGED,
        writable=mount.writable,
        volume=present.volume if present else None,
        conceded=conceded,
    )
    return _ClaimCase(claim, present, grant, container, observed, cache, policy)


def _stays_conceded(present: Claim | None, policy: VolumePolicy) -> bool:
    """Tell whether a conflict was resolved by sharing; it stays so as long as the configuration says so."""
    return present is not None and present.conceded and policy.share_on_conflict


def _labelled(case: _ClaimCase, root: Usable) -> Action | None:
    claim, cache, container = case.claim, case.cache, case.container
    objection = _no_group(case) or _comparable_level(case) or _held_outside(case, root) or _outsider(case)
    if objection is not None:
        return case.refuse(*objection)
    level = target_level(claim.mode, case.grant, cache)
    start = seconds_of(container.started_at) if container.running else None
    clash = clash_of(claim, root.path, root.identity, level, cache, start=start)
    if clash is None:
        walk = _walk(case, root, level, ousted_by(claim, root.identity, level, cache, start=start))
        return _unless_elsewhere(case, walk)
    present = case.present
    if not is_live(container) and present is not None and present.state is ClaimState.UNMANAGED:
        return None  # it had exited when another took the volume over; it claims it at its next start
    return _resolve(case, clash, root)


# --- objections to a claim: rule, reason and hint, or None; the first one counts ------------------------

Objection = tuple[RefusalRule, str, str]


def _no_group(case: _ClaimCase) -> Objection | None:
    grant, container = case.grant, case.container
    if case.claim.mode is not ClaimMode.GROUP:
        return None
    if any(group.name == grant.group for group in case.cache.groups()):
        return None
    reason = f"the container's level {grant.level} is not a member's of any group"
    return (
        RefusalRule.NO_GROUP,
        reason,
        Hint.JOIN_GROUP.say(name=container.name, group=container.label("group")),
    )


def _comparable_level(case: _ClaimCase) -> Objection | None:
    if case.claim.mode is not ClaimMode.PRIVATE:
        return None
    grant, refusal = case.grant, RefusalRule.NOT_SEPARATE
    reason = f"the container's level {grant.level} is not separate from that of "
    # One in quarantine has no process that could read anything: it is restored at once (`mcsd.core.reclaim`).
    for other in conflicts_of(grant, case.cache):
        if other.id < grant.id and other.state.is_living:
            return refusal, reason + other.name, Hint.ANOTHER_LEVEL.say(name=case.container.name)
    if case.observed.conflicting and not case.is_done:
        return refusal, reason + case.observed.conflicting[0], Hint.NEW_LEVEL.say()
    return None


def _held_outside(case: _ClaimCase, root: Usable) -> Objection | None:
    process = case.observed.foreign.get(case.claim.destination)
    known = case.cache.volume_of(root.identity)
    has_it = case.is_done and known is not None and known.id == case.claim.volume  # not another of that path
    if not process or has_it or is_written_by_mcsd(root, case.cache):
        return None
    reason = f"{root.path} carries the level of {process}, which is no container that mcsd looks after"
    return RefusalRule.HELD, reason, Hint.STOP_FOREIGN.say()


def _outsider(case: _ClaimCase) -> Objection | None:
    if case.claim.mode is not ClaimMode.GROUP or case.is_done:
        return None
    level = target_level(ClaimMode.GROUP, case.grant, case.cache)
    for one in outsiders_of(case.grant.group, level, case.cache):
        reason = f"{one.name} at {one.level} reads what is the group's, and is no member"
        return RefusalRule.OUTSIDER, reason, Hint.ANOTHER_LEVEL.say(name=one.name)
    return None


def _unless_elsewhere(case: _ClaimCase, action: Action | None) -> Action | None:
    """Return the action, or a refusal if it labels a volume that another host of the fleet has."""
    elsewhere = case.observed.elsewhere.get(case.claim.destination)
    if elsewhere is None or not isinstance(action, LabelVolume):
        return action
    return case.refuse(RefusalRule.ELSEWHERE, *elsewhere)


def is_written_by_mcsd(root: Usable, cache: StateCache) -> bool:
    """Tell whether a volume's root carries what mcsd has given it, by the ledger."""
    volume = cache.volume_of(root.identity)
    return volume is not None and root.label == str(volume.target)


# --- conflicts with other claims -----------------------------------------------------------------------


def _resolve(case: _ClaimCase, clash: Clash, root: Usable) -> Action | None:
    claim, cache = case.claim, case.cache
    if clash.is_over and claim.destination in case.observed.vacated:
        reason = f"{clash.path} overlaps it and still carries a former container's labels"
        hint = Hint.RESTORE_FIRST.say(path=clash.path)
        return case.set(replace(claim, state=ClaimState.FAILED, reason=reason, hint=hint))
    if clash.is_over:
        return Vacate(clash.gone, claim.destination, clash.ousted)
    if clash.unfinished:
        reason = f"{clash.path} in it could not be labelled for {clash.holder}"
        failed = replace(claim, state=ClaimState.FAILED, reason=reason, hint=Hint.MEND_AND_RETRY.say())
        return case.set(failed)
    if (
        case.policy.share_on_conflict
        and clash.same
        and all(c.mode is ClaimMode.PRIVATE for c in clash.claims)
    ):
        shared = target_level(ClaimMode.SHARED, case.grant, cache)
        conceded = _concede(claim)
        around = clash_around(conceded, root.path, root.identity, shared, cache)
        if around is not None:  # what one of them holds above or below would be shared as well
            return _resolve(case, around, root)
        label = LabelVolume(conceded, root, shared, tuple(map(_concede, clash.claims)))
        return _unless_elsewhere(case, label)
    return case.refuse(
        RefusalRule.HELD,
        f"{clash.holder} holds {clash.path} as {clash.claims[0].mode.value}",
        _way_to_share(case, clash, root),
    )


def _concede(claim: Claim) -> Claim:
    return replace(claim, mode=ClaimMode.SHARED, conceded=True, reason=CONCEDED)


def _way_to_share(case: _ClaimCase, clash: Clash, root: Usable) -> str:
    own = case.grant.group
    holders = [(_grant(case.cache, other), other) for other in clash.claims]
    in_group = bool(own) and all(grant.group == own for grant, _ in holders)
    named = [(grant.name, other) for grant, other in holders]
    runs = {grant.name for grant, _ in holders if is_run(grant.container)}
    runs |= {case.container.name} if is_run(case.container.id) else set()
    host = case.observed.host
    annotated = {grant.name for grant, _ in holders if host.asks_by_annotation(grant.engine)}
    annotated |= {case.container.name} if host.asks_by_annotation(case.container.engine) else set()
    return way_to_share(
        case.claim,
        case.container.name,
        named,
        root.path,
        in_group=in_group,
        runs=runs,
        annotated=annotated,
    )


def _grant(cache: StateCache, claim: Claim) -> Grant:
    grant = cache.grant(claim.grant)
    assert grant is not None, "a claim's grant is live while the claim is planned"
    return grant


def _walk(case: _ClaimCase, root: Usable, level: Level, ousted: tuple[Claim, ...]) -> Action | None:
    claim, cache = case.claim, case.cache
    volume = cache.volume_of(root.identity)
    held = _covering(root, level, cache) if volume is None else None
    if held is not None:
        return case.set(
            replace(claim, state=held.state, volume=held.volume, reason=held.reason, hint=held.hint)
        )
    if _carries(case, root, level, volume) or _was_tried(claim, volume, cache, case.observed):
        return None
    if not root.writable:
        return case.leave(
            RefusalRule.READ_ONLY.value,
            "it is on a read-only mount, so its labels cannot be changed",
            Hint.REMOUNT.say(),
        )
    reason = CONCEDED if claim.conceded else ""
    return LabelVolume(replace(claim, state=ClaimState.PENDING, reason=reason), root, level, ousted=ousted)


def _carries(case: _ClaimCase, root: Usable, level: Level, volume: Volume | None) -> bool:
    """Tell whether the claim is ready, and ledger and disk agree on it."""
    return (
        case.is_done
        and volume is not None
        and case.present is not None
        and case.present.volume == volume.id
        and volume.phase is VolumePhase.LABELLED
        and volume.level == level
        and root.label == str(volume.target)
    )


def _covering(root: Usable, level: Level, cache: StateCache) -> Claim | None:
    """Find a claim on a volume above that includes this one: one walk labels both.

    A single volume for both keeps the undo exact: a second one would take the first one's label for the
    original. A directory on another mount is not included, because the walk above does not label it.
    """
    for parent in cache.volumes_around(root.path):
        if not PurePosixPath(root.path).is_relative_to(parent.path) or parent.level != level:
            continue
        if parent.identity.device != root.identity.device:
            continue
        for held in cache.claims_on(parent.id):
            grant = cache.grant(held.grant)
            is_walked = parent.phase is VolumePhase.LABELLED and root.label == str(parent.target)
            is_being = parent.phase is VolumePhase.LABELLING and grant is not None and grant.state.is_living
            if is_walked or is_being:
                return held
    return None


def _was_tried(claim: Claim, volume: Volume | None, cache: StateCache, observed: Observed) -> bool:
    """Tell whether this pass has walked the volume, for this mount or for another one of the container's."""
    tried = {claim.destination}
    if volume is not None:
        tried |= {other.destination for other in cache.claims_of(claim.grant) if other.volume == volume.id}
    return not tried.isdisjoint(observed.attempted)
