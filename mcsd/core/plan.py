"""The plan: what to do about one container, given what was seen and what is written down.

`plan` is pure and idempotent: when its actions have been carried out and the same things are seen again,
it gives `()`. It returns one stage at a time (first the grant, then the claims): the caller carries the
actions out and plans again until nothing is left. A volume whose walk was tried in this pass
(`Observed.attempted`) is not walked again in it, so that failures do not loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mcsd.core.book import Book
from mcsd.core.containers import Container, ContainerId, Mount
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.host import Host
from mcsd.core.isolation import unconfined_reason
from mcsd.core.labels import Context, Level
from mcsd.core.modes import VolumePolicy, is_claimable, mode_for
from mcsd.core.refusals import RefusalRule
from mcsd.core.sharing import Clash, clash_of, conflicts_of, outsiders_of, shares_with, target_level
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId, Identity, Volume, VolumePhase, overlap


@dataclass(frozen=True, slots=True)
class Opened:
    """A volume's root that was opened and may be labelled; `label` is what it carries now."""

    path: str
    identity: Identity
    label: str | None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A volume's root that could not be opened, or that a rule protects."""

    state: ClaimState
    reason: str
    hint: str
    rule: str = ""
    """The name of the rule that forbids it, of `mcsd.core.refusals`."""


Sight = Opened | Unusable


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at one container. `container` is None when it is gone; `sights` go by destination."""

    id: ContainerId
    container: Container | None
    host: Host
    sights: Mapping[str, Sight] = field(default_factory=dict)
    attempted: frozenset[str] = frozenset()
    """Destinations whose volumes were walked in this pass."""
    vacated: frozenset[str] = frozenset()
    """Destinations for which what was in the way was to be restored in this pass."""
    intruders: tuple[str, ...] = ()
    """Processes outside this engine's containers that run at a level comparable to this one's."""
    strangers: Mapping[str, str] = field(default_factory=dict)
    """By destination: a process outside this engine's containers whose level the volume's root carries."""
    gated: bool = False
    """Whether its starts come through the gate: then mcsd chooses its level, and takes it back at exit."""
    starting: bool = False
    """Whether the gate waits for this: the container is not seen to run, and about to."""
    process: str | None = None
    """The context of its first process, where that was looked at."""


# --- actions: frozen values; the executor's match over them is complete --------------------------------


@dataclass(frozen=True, slots=True)
class Adopt:
    """Write down a grant on the level that the engine, or whoever created the container, chose."""

    container: Container
    level: Level
    shares_with: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Assign:
    """Choose a free pair and write down a grant on it."""

    container: Container


@dataclass(frozen=True, slots=True)
class Occupy:
    """Let the container have the grant on its level that waits for it: reserved under a name, or found on
    disk after the ledger was lost."""

    container: Container
    grant: GrantId


@dataclass(frozen=True, slots=True)
class Rename:
    """The container has another name now."""

    grant: GrantId
    name: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Take a grant one step on in its life."""

    grant: GrantId
    event: GrantEvent


@dataclass(frozen=True, slots=True)
class SetClaim:
    """Write down a claim for which nothing is walked; `rule` names what refuses it, where that is so."""

    claim: Claim
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """Write down the intent, walk the volume to `level`, write down how it went.

    `also` are other claims on the same volume that change with it: another grant's where a conflict is
    resolved by sharing, the same grant's where a directory is mounted twice.
    """

    claim: Claim
    root: Opened
    level: Level
    also: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Vacate:
    """Give quarantined volumes in the way their originals back now, lingering or not."""

    grants: tuple[GrantId, ...]
    destination: str


@dataclass(frozen=True, slots=True)
class Unclaim:
    """Drop a claim on what the container does not mount (found on disk after the ledger was lost)."""

    claim: Claim


Action = Adopt | Assign | Occupy | Rename | Advance | SetClaim | Label | Vacate | Unclaim


def plan(observed: Observed, book: Book, policy: VolumePolicy) -> tuple[Action, ...]:
    """Say what to do next about one container; `()` when all is as it should be."""
    grant = book.grant_of(observed.id)
    container = observed.container
    if container is None:
        return () if grant is None else _removal(grant)
    if observed.gated:
        return _gated(observed, container, grant, book, policy)
    if grant is not None and _is_elsewhere(container, grant):
        if grant.state is not GrantState.QUARANTINED:
            return (Advance(grant.id, GrantEvent.REMOVED),)
        grant = None
    if grant is None:
        return _acquisition(container, observed.host, book)
    return _life(container, grant) or tuple(_claims(observed, container, grant, book, policy))


def _is_elsewhere(container: Container, grant: Grant) -> bool:
    """Tell whether the engine starts the container at another level than its grant's: the gate was on."""
    if not container.process_label:
        return False
    return Context.parse(container.process_label).level != grant.level


def _gated(
    observed: Observed, container: Container, grant: Grant | None, book: Book, policy: VolumePolicy
) -> tuple[Action, ...]:
    """The life of a container whose level the gate has chosen: what the engine says of it does not count."""
    if grant is None:
        return _found_running(observed, container)
    if _was_started_without(observed, container, grant):
        return (*_given_up(grant), *_found_running(observed, container))
    if grant.name != container.name:
        return (Rename(grant.id, container.name),)
    if not (container.running or observed.starting):
        return _given_up(grant)
    if container.running and grant.state is not GrantState.ACTIVE:
        return (Advance(grant.id, GrantEvent.STARTED),)
    return tuple(_claims(observed, container, grant, book, policy))


def _given_up(grant: Grant) -> tuple[Action, ...]:
    if grant.state is GrantState.QUARANTINED:
        return ()
    return (Advance(grant.id, GrantEvent.VACATED if grant.reservation else GrantEvent.RECLAIMED),)


def _was_started_without(observed: Observed, container: Container, grant: Grant) -> bool:
    """Tell whether the container runs at the engine's own choice: mcsd was late, or away, and `[gate]
    on_error` let it start all the same. Any other level is the process's own doing. Who shares another
    container's namespaces needs that one's level, and has to be started again."""
    level = _level_seen(observed, container)
    if level is None or level == grant.level or shares_with(container):
        return False
    return level == Context.parse(container.process_label).level


def _found_running(observed: Observed, container: Container) -> tuple[Action, ...]:
    """A start that mcsd did not witness: what its process carries is what it holds."""
    level = _level_seen(observed, container)
    return () if level is None else (Adopt(container, level, shares_with(container)),)


def _level_seen(observed: Observed, container: Container) -> Level | None:
    """Give the level that the first process runs at; None where that was not seen, or not labelled."""
    if not container.running or observed.process is None or not container.process_label:
        return None
    return Context.parse(observed.process).level


def _removal(grant: Grant) -> tuple[Action, ...]:
    if grant.state is GrantState.QUARANTINED:
        return ()
    if grant.reservation:
        return (Advance(grant.id, GrantEvent.VACATED),)
    return (Advance(grant.id, GrantEvent.REMOVED),)


def _acquisition(container: Container, host: Host, book: Book) -> tuple[Action, ...]:
    if host.engine is None or unconfined_reason(container, host) is not None:
        return ()
    if not container.process_label:
        return (Assign(container),)
    level = Context.parse(container.process_label).level
    for grant in book.grants_at(level):
        if not grant.container:
            return (Occupy(container, grant.id),)
    return (Adopt(container, level, shares_with(container)),)


def is_live(container: Container) -> bool:
    """Tell whether a container runs or has yet to run for the first time."""
    return container.running or container.status in {"created", "restarting", "paused"}


def _life(container: Container, grant: Grant) -> tuple[Action, ...]:
    if grant.name != container.name:
        return (Rename(grant.id, container.name),)
    # A container that was taken for gone and is there has its level again: by way of active, idle.
    back = grant.state is GrantState.QUARANTINED
    if back or (is_live(container) and grant.state is not GrantState.ACTIVE):
        return (Advance(grant.id, GrantEvent.STARTED),)
    if not is_live(container) and grant.state in {GrantState.ACTIVE, GrantState.RESERVED}:
        return (Advance(grant.id, GrantEvent.EXITED),)
    return ()


def _claims(
    observed: Observed, container: Container, grant: Grant, book: Book, policy: VolumePolicy
) -> Iterator[Action]:
    mounted = {mount.destination for mount in container.mounts}
    yield from (Unclaim(claim) for claim in book.claims_of(grant.id) if claim.destination not in mounted)
    labels: list[Label] = []
    for mount in filter(is_claimable, container.mounts):
        action = _claim(observed, mount, grant, book, policy)
        if isinstance(action, Label):
            labels.append(action)
        elif action is not None:
            yield action
    together: list[Label] = []
    for label in sorted(labels, key=lambda one: len(PurePosixPath(one.root.path).parts)):
        _join(label, together)
    yield from together


def _join(label: Label, labels: list[Label]) -> None:
    """Plan a walk beside others: one directory that is mounted twice is walked once, and of directories one
    inside the other the inner waits for the next round, when it may turn out to be done already."""
    for at, other in enumerate(labels):
        if other.root.identity == label.root.identity:
            if (other.level, other.claim.mode) == (label.level, label.claim.mode):
                labels[at] = replace(other, also=(*other.also, label.claim))
            return
    if not any(overlap(label.root.path, other.root.path) for other in labels):
        labels.append(label)


def _claim(observed: Observed, mount: Mount, grant: Grant, book: Book, policy: VolumePolicy) -> Action | None:
    assert observed.container is not None
    sight = observed.sights.get(mount.destination)
    paths = (mount.source, sight.path) if isinstance(sight, Opened) else (mount.source,)
    mode = mode_for(mount, observed.container, policy, paths=paths)
    present = book.claim(grant.id, mount.destination)
    if present is not None and present.mode is ClaimMode.SHARED and mode is ClaimMode.PRIVATE:
        mode = _kept_sharing(present, policy)
    claim = Claim(
        grant=grant.id,
        destination=mount.destination,
        source=mount.source,
        mode=mode,
        state=ClaimState.UNMANAGED,
        writable=mount.writable,
        volume=present.volume if present else None,
    )
    if not mode.is_labelled:
        return _set(replace(claim, volume=None), present)
    if sight is None:
        return None
    if isinstance(sight, Unusable):
        # What is refused is let go of, and gets its originals back; what failed is tried again.
        volume = None if sight.state is ClaimState.REFUSED else claim.volume
        unusable = replace(claim, state=sight.state, reason=sight.reason, hint=sight.hint, volume=volume)
        return _set(unusable, present, rule=sight.rule)
    return _labelled(observed, claim, present, sight, grant, book, policy)


def _kept_sharing(present: Claim, policy: VolumePolicy) -> ClaimMode:
    """A conflict that was resolved by sharing stays resolved while the configuration says so."""
    return ClaimMode.SHARED if policy.share_on_conflict and present.reason else ClaimMode.PRIVATE


def _set(claim: Claim, present: Claim | None, *, rule: str = "") -> Action | None:
    return None if claim == present else SetClaim(claim, rule)


def _labelled(
    observed: Observed,
    claim: Claim,
    present: Claim | None,
    root: Opened,
    grant: Grant,
    book: Book,
    policy: VolumePolicy,
) -> Action | None:
    if claim.mode is ClaimMode.GROUP and all(group.name != grant.group for group in book.groups()):
        return _refuse(
            claim,
            present,
            RefusalRule.NO_GROUP,
            f"the container's level {grant.level} is not a member's of any group",
            "create it with a level from mcsctl reserve NAME --group GROUP",
        )
    level = target_level(claim.mode, grant, book)
    # One in quarantine has no process to read anything: it is cleaned at once (`mcsd.core.reclaim`).
    older = [other for other in conflicts_of(grant, book) if other.id < grant.id and other.state.is_living]
    if older and claim.mode is ClaimMode.PRIVATE:
        return _refuse(
            claim,
            present,
            RefusalRule.NOT_SEPARATE,
            f"the container's level {grant.level} is not separate from that of {older[0].name}",
            "re-create the container without a level of its own, or with one from mcsctl reserve",
        )
    if observed.intruders and claim.mode is ClaimMode.PRIVATE and not _is_done(claim, present):
        return _refuse(
            claim,
            present,
            RefusalRule.NOT_SEPARATE,
            f"the container's level {grant.level} is not separate from that of {observed.intruders[0]}",
            "re-create the container, so that it gets another level; mcsctl pairs shows who holds what",
        )
    stranger = observed.strangers.get(claim.destination)
    if stranger and not _is_done(claim, present) and not _is_written_by_mcsd(root, book):
        return _refuse(
            claim,
            present,
            RefusalRule.HELD,
            f"{root.path} carries the level of {stranger}, which is not a container of Docker's",
            "it belongs to another engine or to a virtual machine; stop that one, or mount another directory",
        )
    outsider = next(iter(outsiders_of(grant.group, level, book)), None)
    if outsider is not None and claim.mode is ClaimMode.GROUP and not _is_done(claim, present):
        return _refuse(
            claim,
            present,
            RefusalRule.OUTSIDER,
            f"{outsider.name} at {outsider.level} reads what is the group's, and is no member",
            "re-create that container without a level of its own, or with one from mcsctl reserve",
        )
    clash = clash_of(claim, root.path, root.identity, level, book)
    if clash is not None:
        return _resolve(clash, claim, present, root, book, policy, observed)
    return _walk(claim, present, root, level, book, observed)


def _is_written_by_mcsd(root: Opened, book: Book) -> bool:
    volume = book.volume_of(root.identity)
    return volume is not None and volume.target == root.label


def _is_done(claim: Claim, present: Claim | None) -> bool:
    return present is not None and (present.state, present.mode) == (ClaimState.READY, claim.mode)


def _refuse(claim: Claim, present: Claim | None, rule: RefusalRule, reason: str, hint: str) -> Action | None:
    refused = replace(claim, state=ClaimState.REFUSED, reason=reason, hint=hint, volume=None)
    return _set(refused, present, rule=rule.value)


def _resolve(
    clash: Clash,
    claim: Claim,
    present: Claim | None,
    root: Opened,
    book: Book,
    policy: VolumePolicy,
    observed: Observed,
) -> Action | None:
    if clash.gone:
        if claim.destination in observed.vacated:
            return _set(
                replace(
                    claim,
                    state=ClaimState.FAILED,
                    reason=f"{clash.path} overlaps it and still carries a former container's labels",
                    hint=f"run mcsctl restore {clash.path}",
                ),
                present,
            )
        return Vacate(clash.gone, claim.destination)
    if policy.share_on_conflict and clash.same and all(c.mode is ClaimMode.PRIVATE for c in clash.claims):
        because = "shared because several containers claim it"
        also = tuple(replace(c, mode=ClaimMode.SHARED, reason=because) for c in clash.claims)
        shared = replace(claim, mode=ClaimMode.SHARED, reason=because)
        return Label(shared, root, target_level(ClaimMode.SHARED, _grant(book, claim), book), also)
    return _refuse(
        claim,
        present,
        RefusalRule.HELD,
        f"{clash.holder} holds {clash.path} as {clash.claims[0].mode.value}",
        f"give both containers the label io.mcsd.volume={claim.destination}:shared, or put them in one group",
    )


def _grant(book: Book, claim: Claim) -> Grant:
    grant = book.grant(claim.grant)
    assert grant is not None, "a claim's grant is live while the claim is planned"
    return grant


def _walk(
    claim: Claim, present: Claim | None, root: Opened, level: Level, book: Book, observed: Observed
) -> Action | None:
    volume = book.volume_of(root.identity)
    if volume is None:
        held = _covering(root, level, book)
        if held is not None:
            part = replace(claim, state=held.state, volume=held.volume, reason=held.reason, hint=held.hint)
            return _set(part, present)
    done = (
        present is not None
        and volume is not None
        and present.state is ClaimState.READY
        and present.mode is claim.mode
        and present.volume == volume.id
        and volume.phase is VolumePhase.LABELLED
        and _level_of(volume.target) == level
        and root.label is not None
        and root.label == volume.target
    )
    if done or _was_tried(claim, volume, book, observed):
        return None
    reason = present.reason if present and present.mode is ClaimMode.SHARED else ""
    return Label(replace(claim, state=ClaimState.PENDING, reason=reason), root, level)


def _covering(root: Opened, level: Level, book: Book) -> Claim | None:
    """Find a claim on a volume above of which this one is a part: that one's walk does both.

    One volume for both keeps the undo exact: a second one would take the first one's label for what was
    there before. What a mount keeps apart, the walk of the volume above has not labelled.
    """
    for parent in book.volumes_around(root.path):
        if not PurePosixPath(root.path).is_relative_to(parent.path) or _level_of(parent.target) != level:
            continue
        if parent.identity.device != root.identity.device:
            continue
        for held in book.claims_on(parent.id):
            grant = book.grant(held.grant)
            is_walked = parent.phase is VolumePhase.LABELLED and root.label == parent.target
            is_being = parent.phase is VolumePhase.LABELLING and grant is not None and grant.state.is_living
            if is_walked or is_being:
                return held
    return None


def _was_tried(claim: Claim, volume: Volume | None, book: Book, observed: Observed) -> bool:
    """Tell whether this pass has walked the volume, for this mount or for another one of the container's."""
    tried = {claim.destination}
    if volume is not None:
        tried |= {other.destination for other in book.claims_of(claim.grant) if other.volume == volume.id}
    return not tried.isdisjoint(observed.attempted)


def _level_of(context: str) -> Level:
    return Context.parse(context).level
