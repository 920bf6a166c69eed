"""The originals of one volume on disk: what it takes to undo everything, whatever happens to the ledger.

One append-only file for each volume, `<store>/<volume id>.originals`, made of records. A record is a kind,
a length, how much of the file was known to be on disk when it was written, a CRC-32 of all that and of the
payload, and the payload. The rules:

- nothing is written into the volume before the record that undoes it has been flushed to disk;
- a record that was cut off (the CRC tells) was never flushed, so nothing depends on it: it is cut away,
  with whatever unflushed records follow it. When a later record says that it had been flushed, the file
  is damaged, and is refused;
- a label is *ours* once a TARGET record names it. An inode that carries one of ours and has no original
  was born in the volume;
- an inode's original is the label it had before mcsd first wrote to it. When somebody else labels it anew
  in between, that label is the one, so the last record for an inode counts;
- an ORIGINALS record has the time when its inodes were looked at. A file whose birth is later is another
  file that got the inode's number.

Inodes are grouped by label and stored as compressed differences: a million files with one label cost
kilobytes. Rewriting goes through a new file, `fsync`, `rename` and `fsync` of the directory.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mcsd.core.volumes import Identity, VolumeId
from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel
from mcsd.relabel.index import Index, encode_inodes
from mcsd.relabel.values import Label, StoredVolume

MAGIC = b"mcsd originals 1\n"
SUFFIX = ".originals"
_FRAME = struct.Struct("<BIQI")
_GROUP = struct.Struct("<qBH")
_HEADER, _TARGET, _STATE, _ORIGINALS = 1, 2, 3, 4
_KINDS = frozenset({_HEADER, _TARGET, _STATE, _ORIGINALS})
_REWRITE_AFTER = 512
"""Records; far more than a walk of a million inodes writes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A class of originals: the label that the inodes had when they were looked at, at `time` (ns)."""

    label: Label
    time: int


def bare(label: Label) -> Label:
    """Strip the NUL at the end, which libselinux writes and others do not, to compare labels."""
    return None if label is None else label.rstrip(b"\0")


def _frame(kind: int, payload: bytes, durable: int = 0) -> bytes:
    head = _FRAME.pack(kind, len(payload), durable, 0)[:-4]
    return head + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little") + payload


def _group(origin: Origin, encoded: bytes) -> bytes:
    label = origin.label or b""
    head = _GROUP.pack(origin.time, origin.label is None, len(label))
    return head + label + zlib.compress(encoded, 6)


def _state(state: str, target: str, count: int) -> bytes:
    return json.dumps({"state": state, "target": target, "count": count}).encode()


def _header(volume: StoredVolume) -> bytes:
    fields = {
        "volume": volume.id,
        "path": volume.path,
        "device": volume.identity.device,
        "inode": volume.identity.inode,
        "created": int(volume.created * 1_000_000_000),
    }
    return json.dumps(fields).encode()


class DamagedError(Exception):
    """A file of originals that is not what was written."""


class Originals:
    """An open file of originals. One walk at a time owns it."""

    def __init__(self, directory: str, volume: StoredVolume, descriptor: int) -> None:
        self.volume = volume
        self.created = 0
        self.index = Index()
        self.origins: list[Origin] = []
        self.ours: set[bytes] = set()
        self.swept = False
        """Whether a walk has once seen the whole volume: then what has no original was born in it."""
        self._directory = directory
        self._descriptor = descriptor
        self._records = 0
        self._length = self._durable = 0

    # -- opening

    @classmethod
    def create(cls, directory: str, volume: VolumeId, path: str, identity: Identity) -> Originals:
        """Make the file of a new volume; it is on disk, with its name, when this returns."""
        stored = StoredVolume(volume, path, identity, kernel.stamp() / 1_000_000_000, "", "new")
        with _reporting(path):
            _write_new(directory, stored, ((_HEADER, _header(stored)),))
            return cls._read(directory, volume)

    @classmethod
    def open(cls, directory: str, volume: VolumeId) -> Originals | None:
        """Open a volume's file, None where there is none; raises `VolumeFailedError` for a damaged one."""
        name = os.path.join(directory, volume + SUFFIX)
        if not os.path.lexists(name):
            return None
        try:
            with _reporting(volume):
                return cls._read(directory, volume)
        except DamagedError as exc:
            raise VolumeFailedError(
                f"the originals of volume {volume!r} cannot be read: {exc}",
                hint=f"the file is {name!r}; restorecon -RF puts the policy's labels back",
            ) from exc

    @classmethod
    def _read(cls, directory: str, volume: VolumeId) -> Originals:
        descriptor = os.open(
            os.path.join(directory, volume + SUFFIX), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        )
        try:
            with open(os.dup(descriptor), "rb") as file:
                data = file.read()
            blank = StoredVolume(volume, "", Identity(0, 0), 0.0, "", "new")
            originals = cls(directory, blank, descriptor)
            sound = originals._load(data)
            if sound < len(data):
                os.ftruncate(descriptor, sound)
                os.fdatasync(descriptor)
            os.lseek(descriptor, sound, os.SEEK_SET)
            originals._length = originals._durable = sound
        except BaseException:
            os.close(descriptor)
            raise
        return originals

    def _load(self, data: bytes) -> int:
        if not data.startswith(MAGIC):
            raise DamagedError("it does not begin as such a file does")
        place = len(MAGIC)
        while (record := _record_at(data, place)) is not None:
            kind, payload = record
            self._take(kind, payload)
            place += _FRAME.size + len(payload)
            self._records += 1
        if self._records == 0:
            raise DamagedError("its header is missing")
        if place < len(data) and _was_flushed(data, place):
            raise DamagedError(f"the record at byte {place} is damaged, and sound ones follow")
        return place

    def _take(self, kind: int, payload: bytes) -> None:
        try:
            if kind == _HEADER:
                self._take_header(json.loads(payload))
            elif kind == _TARGET:
                self.ours.add(payload)
            elif kind == _STATE:
                self._take_state(json.loads(payload))
            else:
                self._take_group(payload)
        except (ValueError, KeyError, struct.error, zlib.error) as exc:
            raise DamagedError(f"record {self._records} says nothing sensible: {exc}") from exc

    def _take_header(self, fields: Mapping[str, int | str]) -> None:
        self.created = int(fields["created"])
        identity = Identity(int(fields["device"]), int(fields["inode"]))
        self.volume = replace(
            self.volume,
            path=str(fields["path"]),
            identity=identity,
            created=self.created / 1_000_000_000,
        )

    def _take_state(self, fields: Mapping[str, int | str]) -> None:
        state, target, count = str(fields["state"]), str(fields["target"]), int(fields["count"])
        self.swept = self.swept or state in {"complete", "restored"}
        self.volume = replace(self.volume, state=state, target=target, count=count or self.volume.count)

    def _take_group(self, payload: bytes) -> None:
        time, absent, length = _GROUP.unpack_from(payload)
        label = payload[_GROUP.size : _GROUP.size + length]
        encoded = zlib.decompress(payload[_GROUP.size + length :])
        self._admit(Origin(None if absent else label, time), encoded)

    def _admit(self, origin: Origin, encoded: bytes) -> None:
        self.origins.append(origin)
        self.index.add(encoded, len(self.origins) - 1)

    # -- questions

    def origin_of(self, inode: int, born: int) -> Origin | None:
        """Give what is recorded for an inode, None where it is not (or was another file, now gone)."""
        kind = self.index.find(inode)
        if kind < 0 or born > self.origins[kind].time:
            return None
        return self.origins[kind]

    def is_ours(self, label: Label) -> bool:
        """Tell whether a label is one that mcsd wrote in this volume."""
        return label is not None and label.rstrip(b"\0") in self.ours

    # -- writing

    def begin(self, state: str, target: str) -> None:
        """Put the intent on disk: `labelling` towards a target, or `restoring`."""
        label = os.fsencode(target).rstrip(b"\0")
        if state == "labelling" and label not in self.ours:
            self._append(_TARGET, label)
            self.ours.add(label)
        if (self.volume.state, self.volume.target) != (state, target):
            self._append(_STATE, _state(state, target, 0))
            self.volume = replace(self.volume, state=state, target=target)
        self.flush()

    def record(self, groups: Iterable[tuple[Label, list[int]]], time: int) -> None:
        """Put originals on disk: inodes (in any order) by the label they carry now."""
        for label, inodes in groups:
            origin, encoded = Origin(label, time), encode_inodes(sorted(set(inodes)))
            self._append(_ORIGINALS, _group(origin, encoded))
            self._admit(origin, encoded)
        self.flush()

    def finish(self, state: str, target: str, count: int) -> None:
        """Put on disk that the volume is `complete` at a target, or `restored`."""
        self._append(_STATE, _state(state, target, count))
        self.flush()
        self.swept = True
        self.volume = replace(self.volume, state=state, target=target, count=count)
        if self._records > _REWRITE_AFTER:
            self._rewrite()

    def flush(self) -> None:
        """Wait until everything appended is on disk."""
        if self._durable < self._length:
            with _reporting(self.volume.path):
                os.fdatasync(self._descriptor)
            self._durable = self._length

    def _append(self, kind: int, payload: bytes) -> None:
        record = _frame(kind, payload, self._durable)
        with _reporting(self.volume.path):
            view = memoryview(record)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._records += 1
        self._length += len(record)

    def _rewrite(self) -> None:
        kinds: dict[int, list[int]] = {}
        for inode, kind in self.index.items():
            kinds.setdefault(kind, []).append(inode)
        records = [(_HEADER, _header(self.volume))]
        records += [(_TARGET, label) for label in sorted(self.ours)]
        records += [
            (_ORIGINALS, _group(self.origins[kind], encode_inodes(kinds[kind]))) for kind in sorted(kinds)
        ]
        records.append((_STATE, _state(self.volume.state, self.volume.target, self.volume.count)))
        with _reporting(self.volume.path):
            _write_new(self._directory, self.volume, records)
            fresh = Originals._read(self._directory, self.volume.id)
        os.close(self._descriptor)
        self._descriptor, self._records = fresh._descriptor, fresh._records
        self._length, self._durable = fresh._length, fresh._durable
        self.index, self.origins = fresh.index, fresh.origins

    def close(self) -> None:
        """Release the descriptor; what was not flushed is not promised to anybody."""
        os.close(self._descriptor)


def _record_at(data: bytes, place: int) -> tuple[int, bytes] | None:
    if place + _FRAME.size > len(data):
        return None
    kind, length, durable, _ = _FRAME.unpack_from(data, place)
    end = place + _FRAME.size + length
    if kind not in _KINDS or end > len(data):
        return None
    payload = data[place + _FRAME.size : end]
    return (kind, payload) if data[place:end] == _frame(kind, payload, durable) else None


def _was_flushed(data: bytes, place: int) -> bool:
    """Tell whether a sound record further on says that the file was on disk beyond `place`."""
    for later in range(place + 1, len(data) - _FRAME.size + 1):
        _, _, durable, _ = _FRAME.unpack_from(data, later)
        if place < durable <= later and _record_at(data, later) is not None:
            return True
    return False


def _write_new(directory: str, volume: StoredVolume, records: Iterable[tuple[int, bytes]]) -> None:
    name = os.path.join(directory, volume.id + SUFFIX)
    fresh = name + ".new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(MAGIC)
            file.writelines(_frame(kind, payload) for kind, payload in records)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    Path(fresh).replace(name)
    sync_directory(directory)


def sync_directory(directory: str) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _reporting:  # noqa: N801 - reads as a statement
    """Turns a failure to write the store into the error that stops the walk."""

    def __init__(self, volume: str) -> None:
        self._volume = volume

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, OSError):
            raise VolumeFailedError(
                f"the originals of {self._volume!r} cannot be written: {exc.strerror}",
                hint="nothing is labelled before they are on disk; make room or repair the file system of "
                "mcsd's state directory",
            ) from exc
