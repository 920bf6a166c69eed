"""Which containers to reconcile when a hold ends: those that were refused because of it.

A container that was refused a volume gets no event when that volume, or the level, becomes free. So whatever
ends a hold names the containers to reconcile again. This is a hint: reconciling decides, and one container
too many only costs an inspect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcsd.core.changes import Change, DropClaim, DropVolume, PutClaim, PutGrant
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant
from mcsd.core.labels import Level
from mcsd.core.sharing import target_level
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Claim, ClaimState, GrantId, overlap

_STANDING = {ClaimState.PENDING, ClaimState.READY, ClaimState.PARTIAL, ClaimState.FAILED}
_WAITING = {ClaimState.REFUSED, ClaimState.FAILED}


@dataclass(frozen=True, slots=True)
class Ended:
    """Holds that have ended: paths of volumes, and levels.

    `claims` are those written in the same transaction: a container that was just refused is not woken by
    that.
    """

    paths: frozenset[str] = frozenset()
    levels: frozenset[Level] = frozenset()
    claims: frozenset[tuple[GrantId, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.paths or self.levels)


def ended_by(changes: Iterable[Change], cache: StateCache) -> Ended:
    """Return what ends when changes are applied to a cache that does not have them yet."""
    paths: set[str] = set()
    levels: set[Level] = set()
    claims: set[tuple[GrantId, str]] = set()
    for change in changes:
        match change:
            case DropClaim(grant_id, destination):
                paths.update(_path_of(cache.claim(grant_id, destination), cache))
            case PutClaim(claim):
                claims.add(claim.key)
                before = cache.claim(*claim.key)
                if before is not None and not _stands_on(claim, before):
                    paths.update(_path_of(before, cache))
            case DropVolume(volume_id):
                volume = cache.volume(volume_id)
                paths.update([volume.path] if volume else [])
            case PutGrant(grant):
                former = cache.grant(grant.id)
                if former is not None and _lets_go(former, grant):
                    levels.add(former.level)
                    for held in cache.claims_of(grant.id):
                        paths.update(_path_of(held, cache))
    return Ended(frozenset(paths), frozenset(levels), frozenset(claims))


def _stands_on(claim: Claim, before: Claim) -> bool:
    return claim.state in _STANDING and (claim.volume, claim.mode) == (before.volume, before.mode)


def _lets_go(former: Grant, grant: Grant) -> bool:
    return former.level != grant.level or (former.state.is_living and not grant.state.is_living)


def _path_of(claim: Claim | None, cache: StateCache) -> Iterator[str]:
    if claim is None or claim.state not in _STANDING:
        return
    volume = cache.volume(claim.volume) if claim.volume else None
    yield volume.path if volume else claim.source


def woken_by(ended: Ended, cache: StateCache) -> frozenset[ContainerId]:
    """Return the containers that may have been refused because of what has ended."""
    if not ended:
        return frozenset()
    return frozenset(
        grant.container
        for grant in cache.grants()
        if grant.container and grant.state.is_living
        for claim in cache.claims_of(grant.id)
        if claim.state in _WAITING and claim.key not in ended.claims and _concerns(ended, claim, grant, cache)
    )


def _concerns(ended: Ended, claim: Claim, grant: Grant, cache: StateCache) -> bool:
    """Tell whether a refused claim may be affected.

    The reason is searched too: a source may be a symbolic link, and a foreign level is not in the ledger."""
    if any(overlap(path, claim.source) or path in claim.reason for path in ended.paths):
        return True
    own = {grant.level, target_level(claim.mode, grant, cache)}
    return any(
        str(level) in claim.reason or any(level.is_comparable_to(one) for one in own)
        for level in ended.levels
    )
