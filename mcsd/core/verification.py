"""The results of comparing disk, processes, engine and ledger, as values."""

from __future__ import annotations

from dataclasses import dataclass

from mcsd.core.labels import Context


@dataclass(frozen=True, slots=True)
class VolumeCheck:
    """How a volume's labels on disk compare with the ledger."""

    path: str
    target: Context
    seen: int
    wrong: int
    skipped: int
    examples: tuple[str, ...] = ()
    error: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: volumes against the disk, processes against their grants."""

    volumes: tuple[VolumeCheck, ...] = ()
    processes: tuple[str, ...] = ()
    """Sentences about containers whose process does not carry the granted level."""
    pairs: tuple[str, ...] = ()
    """Sentences about other processes whose level is not separate from a container's."""
    ledger: tuple[str, ...] = ()
    """Sentences about contradictions between the ledger and Docker or the originals on disk."""


@dataclass(frozen=True, slots=True)
class Restoration:
    """What `restore` did to one volume."""

    path: str
    changed: int
    skipped: int
    complete: bool
    seconds: float
