"""Every message mcsd writes to the journal: one table of kinds, one value for an instance.

A kind has a fixed MESSAGE_ID (random UUIDs, never changed once released), a syslog priority and a
sentence. The sentence's placeholders are fields; their values are escaped (`printable`), because
container and volume names are somebody else's text. What each kind means is in `mcsd.core.explanations`;
the catalog for `journalctl -x` is made from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class NoticeKind(NamedTuple):
    """`priority` as in syslog(3): 3 error, 4 warning, 5 notice, 6 info, 7 debug."""

    message_id: str
    priority: int
    template: str


class Kind(Enum):
    """All kinds of message."""

    STARTED = NoticeKind(
        "12795f0a0c11478ba7d70697fef8c907",
        6,
        "mcsd {version} started: SELinux {selinux}, {grants} grants and {volumes} volumes in the ledger",
    )
    STOPPING = NoticeKind("64309255575b4565bf092930ea3ff0b4", 6, "mcsd is stopping")
    ENGINE_UP = NoticeKind(
        "cc00621bd14545f297f752995865eca3",
        6,
        "connected to Docker {version}; it labels containers: {selinux}",
    )
    ENGINE_DOWN = NoticeKind(
        "45a2d8002eae4fe6af85c0a3e09e6dda",
        4,
        "Docker cannot be reached: {reason}",
    )
    GRANTED = NoticeKind(
        "85329b99325b49cd9982868a9c908c78",
        6,
        "container {name}: level {level} {origin}",
    )
    GRANT_CHANGED = NoticeKind(
        "ead486369e4b4604b40a244a8b230d9f",
        6,
        "container {name}: level {level} is {state}",
    )
    GRANT_FREED = NoticeKind(
        "aa04613555604d658be9c3c1e61bd44b",
        6,
        "level {level} of container {name} is free again",
    )
    CONFLICT = NoticeKind(
        "f12adb90adbc472c9a5a033ea0a9a683",
        3,
        "container {name} at {level} is not separate from {other} at {other_level}",
    )
    VOLUME_LABELLED = NoticeKind(
        "8f570f509e124ccdb8ea2a54478901b4",
        6,
        "volume {volume} of container {name} carries {level}: {changed} changed, {already} right already, "
        "{skipped} skipped, in {seconds} s",
    )
    VOLUME_REFUSED = NoticeKind(
        "3e37e02236164f769362534a8effccc1",
        4,
        "volume {volume} of container {name} is not labelled: {reason}; {hint}",
    )
    VOLUME_FAILED = NoticeKind(
        "3c2a011a5137433393cc68eb5efe1608",
        3,
        "volume {volume} of container {name} is not completely labelled: {reason}; {hint}",
    )
    VOLUME_RESTORED = NoticeKind(
        "f2ab1e90efb642a3bb94ef36eda50a76",
        6,
        "volume {volume} has its original labels back: {changed} restored, {skipped} left alone, "
        "in {seconds} s",
    )
    VOLUME_DRIFTED = NoticeKind(
        "3b504d51f1b04d1daa05946e46a17322",
        4,
        "volume {volume} does not carry {level} everywhere any more: {wrong} differ, for instance {example}; "
        "it is labelled again",
    )
    VOLUME_STRANDED = NoticeKind(
        "0a24299a9fba4b1484921b0106c4daf6",
        4,
        "volume {volume} keeps labels of {level}: {reason}; {hint}",
    )
    NOT_ISOLATED = NoticeKind(
        "12be37b593324d4ba2e228a6093e1882",
        4,
        "container {name} is not isolated: {reason}; {hint}",
    )
    ISOLATED = NoticeKind(
        "755f1c4e5b4e48c99e1603f1622f9042",
        6,
        "container {name} is isolated at {level}",
    )
    CONTAINER_FAILED = NoticeKind(
        "8c07fa4d55184a0b9316bc578e61a29e",
        3,
        "container {name} could not be looked after: {reason}; {hint}",
    )
    LEDGER_FAILED = NoticeKind(
        "7a12bf2d91f54b5eae468402faaf7a73",
        2,
        "the ledger cannot be written: {reason}; {hint}",
    )
    RESYNCED = NoticeKind(
        "1c3b4a3ef959477aa36f34ef51edbaa9",
        7,
        "looking at all {containers} containers: {reason}",
    )
    LEDGER_DAMAGED = NoticeKind(
        "54a552acda034c82ace322335715ce16",
        2,
        "the ledger was damaged and has been moved to {moved}: {reason}",
    )
    RECOVERED = NoticeKind(
        "5232b1a410d741f3b3f10662b0da70f1",
        4,
        "volumes were found on disk that the ledger did not know: {volumes} have originals",
    )
    START_REFUSED = NoticeKind(
        "28fe58cb2e5343f89457aa6604bd9963",
        4,
        "container {name} is not started: {reason}; {hint}",
    )
    START_UNPREPARED = NoticeKind(
        "b7d15dad2d5b46daa6e14aad2211cce3",
        4,
        "container {name} is started although it could not be prepared: {reason}; {hint}",
    )
    BOOLEAN_SET = NoticeKind(
        "a9f1103045614c47a3d1979ae26033d7",
        5,
        "boolean {boolean} is {value} now: {reason}",
    )
    BOOLEAN_PUT_RIGHT = NoticeKind(
        "83744248749447e6a47d7266ac7ca0c2",
        4,
        "boolean {boolean} was turned {found} behind mcsd's back and is {value} again",
    )
    BOOLEAN_CHANGED = NoticeKind(
        "c4626f5b095945fabb8addda12a36491",
        5,
        "boolean {boolean} was turned {value} by somebody else, and is left so",
    )
    BOOLEAN_LEASED = NoticeKind(
        "2cf6e8e1dd2a44c58a184215b0d44e70",
        5,
        "boolean {boolean} is on while container {name} runs",
    )
    BOOLEAN_RETURNED = NoticeKind(
        "3752b3d5c762410abfa1ff2805a8b5ae",
        5,
        "boolean {boolean} is not needed by container {name} any more",
    )
    BOOLEAN_REFUSED = NoticeKind(
        "7cbc4f6a711643188e486ff38da6077a",
        4,
        "container {name} asks for boolean {boolean} and does not get it: {reason}; {hint}",
    )
    BOOLEAN_UNKNOWN = NoticeKind(
        "f3b057deadca4a8898e2a5a0ea1db84c",
        4,
        "boolean {boolean} of the configuration governs nothing: {reason}; {hint}",
    )
    BOOLEAN_STRAY = NoticeKind(
        "7c6d41765fe1434cab183bada4c26830",
        4,
        "boolean {boolean} had a change pending that nobody had put in force; it stays {value}",
    )
    BOOLEAN_FAILED = NoticeKind(
        "cd58ae97c6f8482cb2c1d9c011de6c03",
        3,
        "booleans cannot be brought to what is wanted: {reason}; {hint}",
    )
    SELINUX_ENFORCING = NoticeKind(
        "da154f207a31400d904d64b44d349b50",
        5,
        "SELinux enforces",
    )
    SELINUX_NOT_ENFORCING = NoticeKind(
        "99a5e52a8a2f43059fdd1f371af39263",
        3,
        "SELinux does not enforce any more: no container is isolated",
    )
    POLICY_LOADED = NoticeKind(
        "7f5e5489e390429ca384eb21ef08be44",
        6,
        "a policy was loaded, or booleans were changed: {generation}",
    )
    GROUND_WORSE = NoticeKind(
        "ee5cdb9aed224443a609ce8b67e436eb",
        3,
        "{reason}; {hint}",
    )
    GROUND_BETTER = NoticeKind(
        "50112ce02d9641409d20584e72880826",
        5,
        "not so any more: {reason}",
    )
    INTERNAL = NoticeKind(
        "740bf6e5ad214ff38aa3a3af174e601d",
        2,
        "unforeseen failure in {where}: {reason}",
    )


def printable(text: object) -> str:
    """Escape what could forge or break a line: control characters, newlines, lone surrogates."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in str(text)
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
