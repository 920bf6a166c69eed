"""Every message mcsd writes to the journal: one table of kinds, one value for an instance.

A kind has a fixed MESSAGE_ID (random UUIDs, never changed once released), a syslog priority and a
sentence. The sentence's placeholders are fields; their values are escaped (`printable`), because names of
containers and volumes are untrusted. `mcsd.core.explanations` explains each kind; the catalog for
`journalctl -x` is made from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class MessageSpec(NamedTuple):
    """`priority` as in syslog(3): 3 error, 4 warning, 5 notice, 6 info, 7 debug."""

    message_id: str
    priority: int
    template: str


class Kind(Enum):
    """All kinds of message."""

    STARTED = MessageSpec(
        "12795f0a0c11478ba7d70697fef8c907",
        6,
        "mcsd {version} started: SELinux {selinux}, {grants} grants and {volumes} volumes in the ledger; "
        "volumes are walked in {walks}",
    )
    STOPPING = MessageSpec("64309255575b4565bf092930ea3ff0b4", 6, "mcsd is stopping")
    ENGINE_UP = MessageSpec(
        "cc00621bd14545f297f752995865eca3",
        6,
        "connected to {engine} {version}; it labels containers: {selinux}",
    )
    ENGINE_DOWN = MessageSpec(
        "45a2d8002eae4fe6af85c0a3e09e6dda",
        4,
        "{engine} cannot be reached: {reason}",
    )
    GRANTED = MessageSpec(
        "85329b99325b49cd9982868a9c908c78",
        6,
        "container {name}: level {level} {origin}",
    )
    GRANT_CHANGED = MessageSpec(
        "ead486369e4b4604b40a244a8b230d9f",
        6,
        "container {name}: level {level} is {state}",
    )
    GRANT_FREED = MessageSpec(
        "aa04613555604d658be9c3c1e61bd44b",
        6,
        "level {level} of container {name} is free again",
    )
    RESERVATION_ENDED = MessageSpec(
        "59e6587ed39342ac9118273e59e4d19c",
        6,
        "reservation {name} at {level} has ended: {reason}",
    )
    FLEET_TROUBLE = MessageSpec(
        "1ddffbaf14b0417ea1a2908f6924fe9f",
        4,
        "fleet: {reason}; {hint}",
    )
    FLEET_WELL = MessageSpec(
        "3a29f39b6a9b469b8cfd929f0a9e3200",
        6,
        "fleet: {name} grants from the blocks {blocks}, and takes more as it needs them",
    )
    CONFLICT = MessageSpec(
        "f12adb90adbc472c9a5a033ea0a9a683",
        3,
        "container {name} at {level} is not separate from {other} at {other_level}",
    )
    VOLUME_LABELLED = MessageSpec(
        "8f570f509e124ccdb8ea2a54478901b4",
        6,
        "volume {volume} of container {name} carries {level}: {changed} changed, {already} right already, "
        "{skipped} skipped, in {seconds} s",
    )
    VOLUME_REFUSED = MessageSpec(
        "3e37e02236164f769362534a8effccc1",
        4,
        "volume {volume} of container {name} is not labelled: {reason}; {hint}",
    )
    VOLUME_LEFT_ALONE = MessageSpec(
        "f3d02c0bb1f54a0a8f4f4b0c7e6d1a52",
        6,
        "volume {volume} of container {name} is left alone: {reason}",
    )
    LABEL_MISREAD = MessageSpec(
        "0b7b6bc9d4c24c53a0c3f4de7a1b9e65",
        4,
        "the label {label} of container {name} is not understood: {reason}; {hint}",
    )
    VOLUME_FAILED = MessageSpec(
        "3c2a011a5137433393cc68eb5efe1608",
        3,
        "volume {volume} of container {name} is not completely labelled: {reason}; {hint}",
    )
    VOLUME_PARTLY = MessageSpec(
        "0159a0569ffb46ccb6827726f0fa496e",
        4,
        "container {name} can read volume {volume} only partly: {left} files keep their labels, such as "
        "{path}: {reason}; {hint}",
    )
    VOLUME_RESTORED = MessageSpec(
        "f2ab1e90efb642a3bb94ef36eda50a76",
        6,
        "volume {volume} has its original labels again: {changed} restored, {skipped} left alone, "
        "in {seconds} s",
    )
    VOLUME_DRIFTED = MessageSpec(
        "3b504d51f1b04d1daa05946e46a17322",
        4,
        "labels in volume {volume} have changed: {wrong} files no longer carry {level}, such as {example}; "
        "it is labelled again",
    )
    VOLUME_TOUCHED = MessageSpec(
        "6f2c2ff133c4476fa4c016ea3d37f1c0",
        4,
        "volume {volume} of container {name}: {what}, for instance {example} to {found}; {changed} carry "
        "{level} again",
    )
    VOLUME_JOINED = MessageSpec(
        "b9bf3152a0c34585b4e0ec3e04f0cd1b",
        5,
        "volume {volume} of container {name}: {what}, for instance {example} with {found}; {changed} carry "
        "{level} now",
    )
    VOLUME_COVERED = MessageSpec(
        "da1dd80496834b9bb81e1d9bf22b2b52",
        4,
        "volume {volume} of container {name}: something was mounted on {path}, which is not this volume's "
        "and keeps its labels; mount it into the container as a volume of its own",
    )
    VOLUME_UNWATCHED = MessageSpec(
        "ed9a84aa2ef54d61bd679743c2104265",
        5,
        "volume {volume} cannot be watched, so it is checked from time to time: {reason}",
    )
    FILE_FOLLOWED = MessageSpec(
        "a0e300f925624c75bf6e3db21bd16986",
        5,
        "{path} was moved out of volume {volume} and has its original labels again: {changed} restored",
    )
    FILE_ASTRAY = MessageSpec(
        "b69df9cf48664e7795dd44be024947a3",
        4,
        "{path} was moved out of volume {volume} and still carries {level}: {reason}; {hint}",
    )
    STRAY_FOUND = MessageSpec(
        "50ce53bd2d5e47f7a50662d7ba963040",
        4,
        "{path} carries {level} and is in no container's volume ({count} such files): the level is not "
        "granted while that is so; {hint}",
    )
    LEVEL_ASTRAY = MessageSpec(
        "924d71b10bbe43caacb81c5aa67dd616",
        4,
        "level {level} of container {name} is not free: {path} carries it; {hint}",
    )
    DENIED = MessageSpec(
        "ea50c83f0a2b4dbbb2d6eb9d5b14453d",
        5,
        "container {name} was denied an access ({rule}): {reason}; mcsctl why says more",
    )
    AUDITED = MessageSpec(
        "feef4d8349cf43dfa38cc6ba5b395ce8",
        6,
        "the host was audited: {findings} findings count, {containers} containers were looked at; "
        "mcsctl audit has them",
    )
    SCAN_FINISHED = MessageSpec(
        "216190ac368b4adb9ba4ce4b6fdf14fd",
        6,
        "the host's file systems were scanned: {seen} files, {strays} levels on strays, in {seconds} s",
    )
    SCAN_INCOMPLETE = MessageSpec(
        "ca2048ff86e34a23a39299e1ed9c8c1b",
        4,
        "{path} could not be scanned for strays: {reason}; fix the cause, and run mcsctl scan",
    )
    STRAYS_LOST = MessageSpec(
        "4968a44c6a2f4c0f89cf89a06395b64e",
        4,
        "the list of strays is lost: {reason}; a full scan has begun, and until it ends no level is granted "
        "that was in use before",
    )
    VOLUME_STRANDED = MessageSpec(
        "0a24299a9fba4b1484921b0106c4daf6",
        4,
        "volume {volume} still carries {level}, it could not be restored: {reason}; {hint}",
    )
    NOT_ISOLATED = MessageSpec(
        "12be37b593324d4ba2e228a6093e1882",
        4,
        "container {name} is not isolated: {reason}; {hint}",
    )
    ISOLATED = MessageSpec(
        "755f1c4e5b4e48c99e1603f1622f9042",
        6,
        "container {name} is isolated at {level}",
    )
    CONTAINER_FAILED = MessageSpec(
        "8c07fa4d55184a0b9316bc578e61a29e",
        3,
        "container {name} could not be handled: {reason}; {hint}",
    )
    LEDGER_FAILED = MessageSpec(
        "7a12bf2d91f54b5eae468402faaf7a73",
        2,
        "the ledger cannot be written: {reason}; {hint}",
    )
    RESYNCED = MessageSpec(
        "1c3b4a3ef959477aa36f34ef51edbaa9",
        7,
        "checking all {containers} containers: {reason}",
    )
    LEDGER_DAMAGED = MessageSpec(
        "54a552acda034c82ace322335715ce16",
        2,
        "the ledger was damaged and has been moved to {moved}: {reason}",
    )
    RECOVERED = MessageSpec(
        "5232b1a410d741f3b3f10662b0da70f1",
        4,
        "volumes were found on disk that the ledger did not know: {volumes} have originals",
    )
    START_REFUSED = MessageSpec(
        "28fe58cb2e5343f89457aa6604bd9963",
        4,
        "container {name} is not started: {reason}; {hint}",
    )
    START_UNPREPARED = MessageSpec(
        "b7d15dad2d5b46daa6e14aad2211cce3",
        4,
        "container {name} starts although it could not be prepared: {reason}; {hint}",
    )
    BOOLEAN_SET = MessageSpec(
        "a9f1103045614c47a3d1979ae26033d7",
        5,
        "boolean {boolean} is {value} now: {reason}",
    )
    BOOLEAN_PUT_RIGHT = MessageSpec(
        "83744248749447e6a47d7266ac7ca0c2",
        4,
        "boolean {boolean} was turned {found} by something else; mcsd has set it to {value} again",
    )
    BOOLEAN_CHANGED = MessageSpec(
        "c4626f5b095945fabb8addda12a36491",
        5,
        "boolean {boolean} was turned {value} by something else; mcsd leaves it so",
    )
    BOOLEAN_LEASED = MessageSpec(
        "2cf6e8e1dd2a44c58a184215b0d44e70",
        5,
        "boolean {boolean} is on while container {name} runs",
    )
    BOOLEAN_RETURNED = MessageSpec(
        "3752b3d5c762410abfa1ff2805a8b5ae",
        5,
        "boolean {boolean} is not needed by container {name} any more",
    )
    BOOLEAN_REFUSED = MessageSpec(
        "7cbc4f6a711643188e486ff38da6077a",
        4,
        "container {name} asks for boolean {boolean}, which is refused: {reason}; {hint}",
    )
    BOOLEAN_UNKNOWN = MessageSpec(
        "f3b057deadca4a8898e2a5a0ea1db84c",
        4,
        "boolean {boolean} in the configuration has no effect: {reason}; {hint}",
    )
    BOOLEAN_STRAY = MessageSpec(
        "7c6d41765fe1434cab183bada4c26830",
        4,
        "boolean {boolean} had a pending change that was never committed; it stays {value}",
    )
    BOOLEAN_FAILED = MessageSpec(
        "cd58ae97c6f8482cb2c1d9c011de6c03",
        3,
        "booleans cannot be set as configured: {reason}; {hint}",
    )
    SELINUX_ENFORCING = MessageSpec(
        "da154f207a31400d904d64b44d349b50",
        5,
        "SELinux enforces",
    )
    SELINUX_NOT_ENFORCING = MessageSpec(
        "99a5e52a8a2f43059fdd1f371af39263",
        3,
        "SELinux no longer enforces: no container is isolated",
    )
    POLICY_LOADED = MessageSpec(
        "7f5e5489e390429ca384eb21ef08be44",
        6,
        "a policy was loaded, or booleans were changed: {generation}",
    )
    GROUND_WORSE = MessageSpec(
        "ee5cdb9aed224443a609ce8b67e436eb",
        3,
        "{reason}; {hint}",
    )
    GROUND_BETTER = MessageSpec(
        "50112ce02d9641409d20584e72880826",
        5,
        "resolved: {reason}",
    )
    BLOCKED = MessageSpec(
        "6e35e18c315e46659eeb0d77f1bad6f8",
        3,
        "{reason} does not answer; {hint}",
    )
    ANSWERED = MessageSpec(
        "9dfd14e01d8141b5890515b47e3b252c",
        5,
        "{reason} answers again",
    )
    INTERNAL = MessageSpec(
        "740bf6e5ad214ff38aa3a3af174e601d",
        2,
        "unforeseen failure in {where}: {reason}",
    )


def printable(text: object) -> str:
    """Escape what could forge or break a line: control characters, newlines, lone surrogates."""
    said = str(text)
    if said.isprintable():  # as almost everything
        return said
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in said
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `fields` fill the sentence; the journal gets them as `MCSD_<FIELD>`, with the
    well-known names of container, level and volume where they apply."""

    kind: Kind
    fields: Mapping[str, object] = field(default_factory=dict)
    container: str = ""

    @property
    def sentence(self) -> str:
        """The MESSAGE: one line, whatever the fields contain."""
        return self.kind.value.template.format_map({k: printable(v) for k, v in self.fields.items()})
