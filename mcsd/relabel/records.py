"""The format of the originals of a volume: a sequence of records with checksums.

A record is a kind, a length, how much of the file was known to be on disk when it was written, a CRC-32 of
these and of the payload, and the payload. An incomplete record, which fails its checksum, was never flushed,
so nothing depends on it. If a later record says that it had been flushed, the file is damaged.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from enum import IntEnum

from mcsd.core.volumes import Identity
from mcsd.core.walks import StoredVolume
from mcsd.relabel.handles import Handle
from mcsd.relabel.index import OriginalLabel

MAGIC = b"mcsd originals 1\n"
_FRAME = struct.Struct("<BIQI")
_GROUP = struct.Struct("<qBH")


class RecordKind(IntEnum):
    """What a record holds."""

    HEADER = 1
    TARGET = 2
    STATE = 3
    ORIGINALS = 4


_KINDS = frozenset(map(int, RecordKind))


class DamagedError(Exception):
    """A file of originals has a damaged record."""


def frame(kind: RecordKind, payload: bytes, durable: int = 0) -> bytes:
    """Make a record; `durable` bytes of the file are known to be on disk."""
    head = _FRAME.pack(kind, len(payload), durable, 0)[:-4]
    return head + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little") + payload


def records(data: bytes) -> Iterator[tuple[int, RecordKind, bytes]]:
    """Return the valid records of a file with their end offsets; raises `DamagedError`."""
    if not data.startswith(MAGIC):
        raise DamagedError("it does not begin as such a file does")
    place = len(MAGIC)
    while (record := _record_at(data, place)) is not None:
        place += _FRAME.size + len(record[1])
        yield place, *record
    if place < len(data) and _was_flushed(data, place):
        raise DamagedError(f"the record at byte {place} is damaged, and sound ones follow")


def _record_at(data: bytes, place: int) -> tuple[RecordKind, bytes] | None:
    if place + _FRAME.size > len(data):
        return None
    kind, length, durable, _ = _FRAME.unpack_from(data, place)
    end = place + _FRAME.size + length
    if kind not in _KINDS or end > len(data):
        return None
    payload = data[place + _FRAME.size : end]
    return (RecordKind(kind), payload) if data[place:end] == frame(kind, payload, durable) else None


def _was_flushed(data: bytes, place: int) -> bool:
    """Tell whether a later valid record says that the file was on disk beyond `place`."""
    written = len(data.rstrip(b"\0"))  # the zeros are space for later records
    for later in range(place + 1, min(written, len(data) - _FRAME.size + 1)):
        _, _, durable, _ = _FRAME.unpack_from(data, later)
        if place < durable <= later and _record_at(data, later) is not None:
            return True
    return False


def header(volume: StoredVolume, created: int, handle: Handle | None, file_system: str = "") -> bytes:
    """Encode the header, which identifies the volume; `created` in nanoseconds since the epoch."""
    fields = {
        "volume": volume.id,
        "path": volume.path,
        "device": volume.identity.device,
        "inode": volume.identity.inode,
        "created": created,
        "handle": "" if handle is None else str(handle),
        "file_system": file_system,
    }
    return json.dumps(fields).encode()


def read_header(payload: bytes) -> tuple[str, Identity, int, Handle | None, str]:
    """Return path, identity, time of creation, the root's handle and its file system, "" if that is missing;
    raises `ValueError` and `KeyError`."""
    fields: Mapping[str, int | str] = json.loads(payload)
    identity = Identity(int(fields["device"]), int(fields["inode"]))
    handle, file_system = Handle.parse(str(fields["handle"])), str(fields.get("file_system", ""))
    return str(fields["path"]), identity, int(fields["created"]), handle, file_system


def state(name: str, target: str, count: int) -> bytes:
    """Encode the state of the work."""
    return json.dumps({"state": name, "target": target, "count": count}).encode()


def read_state(payload: bytes) -> tuple[str, str, int]:
    """Return state, target and count; raises `ValueError` and `KeyError`."""
    fields: Mapping[str, int | str] = json.loads(payload)
    return str(fields["state"]), str(fields["target"]), int(fields["count"])


def group(origin: OriginalLabel, encoded: bytes) -> bytes:
    """Encode the inodes, as encoded by the index, that have the same original."""
    label = origin.label or b""
    head = _GROUP.pack(origin.time, origin.label is None, len(label))
    return head + label + zlib.compress(encoded, 6)


def read_group(payload: bytes) -> tuple[OriginalLabel, bytes]:
    """Return an original and its encoded inodes; raises `ValueError`, `struct.error` and `zlib.error`."""
    time, absent, length = _GROUP.unpack_from(payload)
    label = payload[_GROUP.size : _GROUP.size + length]
    return OriginalLabel(None if absent else label, time), zlib.decompress(payload[_GROUP.size + length :])
