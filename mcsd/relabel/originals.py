"""The originals of one volume on disk: enough to undo everything, whatever happens to the ledger.

One append-only file for each volume, `<store>/<volume id>.originals`, made of records. The rules:

- nothing is written to the volume before the record that undoes it has been flushed to disk;
- a label is *ours* once a TARGET record names it. An inode that carries one of ours and has no original was
  created in the volume;
- an inode's original is the label that it had before mcsd first wrote to it. If somebody else relabels it
  later, that label becomes the original, so the last record for an inode counts;
- the time of an ORIGINALS record is not before its inodes were read, nor before any of them was born. A file
  with a later birth is another file that reused the inode number.

Space for later records is filled with zeros in advance. So flushing a record only changes the file's content,
and need not wait until the file system's journal, often the volume's own, has written all changes of the
walk. In the middle of a walk, the file ends in zeros.

Inodes are grouped by label and stored as compressed intervals: a million files with one label cost
kilobytes. Rewriting goes through a new file, `fsync`, `rename` and `fsync` of the directory.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mcsd.core.labels import label_in
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import RawLabel, StoredVolume
from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel, records
from mcsd.relabel.handles import Handle
from mcsd.relabel.index import Index, Intervals, OriginalLabel, encode_inodes
from mcsd.relabel.records import DamagedError, RecordKind

SUFFIX = ".originals"
_HEAD = 1 << 16
"""The most bytes that the header can take, with the longest possible path."""
_ROOM = 32 * 1024
_MOST_ROOM = 1024 * 1024
"""Limits for the zeros written in advance, in bytes; between them, as many as the file has."""
_REWRITE_AFTER = 512
"""Records; more than a walk of a million inodes writes where the disk is quick to flush."""


def bare(label: RawLabel) -> RawLabel:
    """Strip the trailing NUL, which libselinux writes and others do not, to compare labels."""
    return None if label is None else label.rstrip(b"\0")


@dataclass(frozen=True, slots=True)
class OriginalsStore:
    """The directory of the files, and the kind of index that is kept in memory for an open one."""

    directory: str
    new_index: Callable[[], Index] = Intervals

    def path(self, volume: VolumeId) -> str:
        """Return the path of a volume's file."""
        return os.path.join(self.directory, volume + SUFFIX)

    def create(
        self,
        volume: VolumeId,
        path: str,
        identity: Identity,
        handle: Handle | None = None,
        file_system: str = "",
    ) -> Originals:
        """Create the file of a new volume; file and name are durable when this returns."""
        now = kernel.stamp()
        stored = StoredVolume(volume, path, identity, now / 1_000_000_000, None, "new")
        with _reporting(path):
            self.write(volume, ((RecordKind.HEADER, records.header(stored, now, handle, file_system)),))
            return Originals(self, volume)

    def open(self, volume: VolumeId) -> Originals | None:
        """Open a volume's file, None if there is none; raises `VolumeFailedError` for a damaged one."""
        name = self.path(volume)
        if not os.path.lexists(name):
            return None
        try:
            with _reporting(volume):
                return Originals(self, volume)
        except DamagedError as exc:
            raise _unreadable(volume, name, exc) from exc

    def describe(self, volume: VolumeId) -> StoredVolume | None:
        """Read what a volume's file says about the volume, None if there is none; changes nothing.

        The file may be written to meanwhile: an incomplete record does not count. Raises `VolumeFailedError`
        for a damaged file.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        stored, count = StoredVolume(volume, "", Identity(0, 0), 0.0, None, "new"), 0
        try:
            with _reporting(volume), open(os.open(self.path(volume), flags), "rb") as file:
                data = file.read()
            for _, kind, payload in records.records(data):
                stored, count = _described(stored, kind, payload), count + 1
        except (DamagedError, ValueError, KeyError, TypeError, struct.error) as exc:
            raise _unreadable(volume, self.path(volume), exc) from exc
        except VolumeFailedError as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                return None
            raise
        if not count:
            raise _unreadable(volume, self.path(volume), "its header is missing")
        return stored

    def handle(self, volume: VolumeId) -> Handle | None:
        """Read the volume's file handle from the header of its file, None if there is none; changes
        nothing."""
        name = self.path(volume)
        if not os.path.lexists(name):
            return None
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        with _reporting(volume), open(os.open(name, flags), "rb") as file:
            head = file.read(_HEAD)
        try:
            _, kind, payload = next(records.records(head))
            return records.read_header(payload)[3] if kind is RecordKind.HEADER else None
        except (DamagedError, StopIteration, ValueError, KeyError):  # proves nothing
            return None

    def write(self, volume: VolumeId, parts: Iterable[tuple[RecordKind, bytes]]) -> None:
        """Replace a volume's file."""
        name = self.path(volume)
        fresh = name + ".new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(fresh, flags, 0o600), "wb") as file:
            file.write(records.MAGIC)
            file.writelines(records.frame(kind, payload) for kind, payload in parts)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(name)
        self.sync()

    def forget(self, volume: VolumeId) -> None:
        """Remove a volume's file; idempotent."""
        with _reporting(volume):
            for name in (self.path(volume), self.path(volume) + ".new"):
                with suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108 - a string is what there is
            self.sync()

    def size(self) -> int:
        """Return the total size of the files; one that is removed meanwhile does not count."""
        total = 0
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError as exc:
            raise VolumeFailedError(
                f"the originals in {self.directory!r} cannot be read: {(exc.strerror or str(exc)).lower()}",
                hint="mend the file system of mcsd's state directory",
            ) from exc
        return total

    def sync(self) -> None:
        """Sync the directory."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Originals:
    """An open file of originals. One walk at a time owns it."""

    def __init__(self, store: OriginalsStore, volume: VolumeId) -> None:
        self.volume = StoredVolume(volume, "", Identity(0, 0), 0.0, None, "new")
        self.created = 0
        self.handle: Handle | None = None
        self.file_system = ""
        self.index = store.new_index()
        self.ours: set[bytes] = set()
        self.swept = False
        """Whether a walk has seen the whole volume once: then a file without an original was created in
        it."""
        self._store = store
        self._records = 0
        self._descriptor = os.open(store.path(volume), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._length = self._durable = self._end = self._load()
        except BaseException:
            os.close(self._descriptor)
            raise

    # -- reading

    def _load(self) -> int:
        with open(os.dup(self._descriptor), "rb") as file:
            data = file.read()
        sound = 0
        for end, kind, payload in records.records(data):
            self._take(kind, payload)
            self._records += 1
            sound = end
        if self._records == 0:
            raise DamagedError("its header is missing")
        if sound < len(data):  # interrupted while it was written: nothing depends on it
            os.ftruncate(self._descriptor, sound)
            os.fdatasync(self._descriptor)
        return sound

    def _take(self, kind: RecordKind, payload: bytes) -> None:
        try:
            match kind:
                case RecordKind.HEADER:
                    self._take_header(payload)
                case RecordKind.TARGET:
                    self.ours.add(payload)
                case RecordKind.STATE:
                    self._take_state(payload)
                case RecordKind.ORIGINALS:
                    origin, encoded = records.read_group(payload)
                    self.index.add(encoded, origin.time, origin.label)
        except (ValueError, KeyError, TypeError, struct.error, zlib.error) as exc:
            raise DamagedError(f"record {self._records} says nothing sensible: {exc}") from exc

    def _take_header(self, payload: bytes) -> None:
        _, _, self.created, self.handle, self.file_system = records.read_header(payload)
        self.volume = _described(self.volume, RecordKind.HEADER, payload)

    def _take_state(self, payload: bytes) -> None:
        self.volume = _described(self.volume, RecordKind.STATE, payload)
        self.swept = self.swept or self.volume.state in {"complete", "restored"}

    # -- questions

    @property
    def target(self) -> str:
        """The target last begun, "" if none was."""
        return str(self.volume.target or "")

    def is_at(self, state: str, target: str) -> bool:
        """Tell whether the volume has come to a state at a target."""
        return (self.volume.state, self.target) == (state, target)

    def origin_of(self, inode: int, born: int) -> OriginalLabel | None:
        """Return the original of an inode, None if there is none (or it is of an earlier file)."""
        found = self.index.find(inode)
        if found is None or born > found[0]:
            return None
        return OriginalLabel(found[1], found[0])

    def is_ours(self, label: RawLabel) -> bool:
        """Tell whether a label is one that mcsd wrote in this volume."""
        return label is not None and label.rstrip(b"\0") in self.ours

    def disbelieve(self, is_exclusive: Callable[[bytes], bool]) -> None:
        """Drop originals with categories, which are never restored.

        They come from the engine, which labelled for this container (`-v …:Z`) before mcsd did, or came with
        the files, from another container's volume or a backup of one. By the time of restoring, their pair
        may be another container's. The label before that is not known, so the policy's label is used.
        """
        groups = self.index.groups()
        doubtful = {label for _, label, _ in groups if label and is_exclusive(label)}
        if doubtful:
            self.index = self._store.new_index()
            for time, label, encoded in groups:
                if label not in doubtful:
                    self.index.add(encoded, time, label)

    # -- writing

    def begin(self, state: str, target: str) -> None:
        """Write the intent to disk: `labelling` to a target, or `restoring`."""
        label = os.fsencode(target).rstrip(b"\0")
        if state == "labelling" and label not in self.ours:
            self._append(RecordKind.TARGET, label)
            self.ours.add(label)
        if not self.is_at(state, target):
            self._append(RecordKind.STATE, records.state(state, target, 0))
            self.volume = replace(self.volume, state=state, target=label_in(target))
        self.flush()

    def record(self, groups: Iterable[tuple[RawLabel, bytes]], latest: int) -> None:
        """Write originals to disk: encoded inodes by current label; `latest` is the youngest's time of
        birth."""
        time = max(kernel.now(), latest)
        for label, encoded in groups:
            self._append(RecordKind.ORIGINALS, records.group(OriginalLabel(label, time), encoded))
            self.index.add(encoded, time, label)
        self.flush()

    def record_inodes(self, groups: Iterable[tuple[RawLabel, Iterable[int]]], latest: int) -> None:
        """Write originals to disk: inodes in any order."""
        self.record([(label, encode_inodes(sorted(inodes))) for label, inodes in groups], latest)

    def finish(self, state: str, target: str, count: int) -> None:
        """Write to disk that the volume is `complete` at a target, or `restored`; the file ends with that."""
        self._append(RecordKind.STATE, records.state(state, target, count))
        self.flush()
        with _reporting(self.volume.path):
            os.ftruncate(self._descriptor, self._length)
        self._end = self._length
        self.swept = True
        self.volume = replace(self.volume, state=state, target=label_in(target), count=count)
        if self._records > _REWRITE_AFTER:
            self._rewrite()

    def flush(self) -> None:
        """Wait until everything appended is on disk."""
        if self._durable < self._length:
            with _reporting(self.volume.path):
                os.fdatasync(self._descriptor)
            self._durable = self._length

    def _append(self, kind: RecordKind, payload: bytes) -> None:
        record = records.frame(kind, payload, self._durable)
        with _reporting(self.volume.path):
            if self._length + len(record) > self._end:
                room = len(record) + min(max(self._length, _ROOM), _MOST_ROOM)
                self._put(bytes(room), self._end)
                self._end += room
            self._put(record, self._length)
        self._records += 1
        self._length += len(record)

    def _put(self, data: bytes, place: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, place)
            view, place = view[written:], place + written

    def _rewrite(self) -> None:
        """Rewrite the file without superseded records, and with groups merged."""
        parts = [
            (RecordKind.HEADER, records.header(self.volume, self.created, self.handle, self.file_system))
        ]
        parts += [(RecordKind.TARGET, label) for label in sorted(self.ours)]
        parts += [
            (RecordKind.ORIGINALS, records.group(OriginalLabel(label, time), encoded))
            for time, label, encoded in self.index.groups()
        ]
        last = self.volume
        parts.append((RecordKind.STATE, records.state(last.state, self.target, last.count)))
        with _reporting(self.volume.path):
            self._store.write(self.volume.id, parts)
            fresh = os.open(self._store.path(self.volume.id), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        os.close(self._descriptor)
        self._descriptor, self._records = fresh, len(parts)
        self._length = self._durable = self._end = os.fstat(fresh).st_size

    def close(self) -> None:
        """Close the file; what was not flushed may be lost."""
        os.close(self._descriptor)


def _described(stored: StoredVolume, kind: RecordKind, payload: bytes) -> StoredVolume:
    """Return the description with what a record adds to it."""
    if kind is RecordKind.HEADER:
        path, identity, created, *_ = records.read_header(payload)
        return replace(stored, path=path, identity=identity, created=created / 1_000_000_000)
    if kind is RecordKind.STATE:
        state, target, count = records.read_state(payload)
        return replace(stored, state=state, target=label_in(target), count=count or stored.count)
    return stored


def _unreadable(volume: VolumeId, name: str, why: object) -> VolumeFailedError:
    return VolumeFailedError(
        f"the originals of volume {volume!r} cannot be read: {why}",
        hint=f"the file is {name!r}; restorecon -RF puts the policy's labels back",
    )


@contextmanager
def _reporting(volume: str) -> Iterator[None]:
    """Turn an error while writing to the store into the failure that stops the walk."""
    try:
        yield
    except OSError as exc:
        raise VolumeFailedError(
            f"the originals of {volume!r} cannot be written: {(exc.strerror or str(exc)).lower()}",
            hint="nothing is labelled before they are on disk; make room or repair the file system of "
            "mcsd's state directory",
        ) from exc
