"""Drives the C extension's loop: answers its workers' questions, and collects their counts."""

from __future__ import annotations

import errno
import os

from mcsd.core.walks import RawLabel, SkipReason
from mcsd.errors import VolumeFailedError
from mcsd.relabel import kernel
from mcsd.relabel.index import Index, Intervals
from mcsd.relabel.passing import Names, Pass, write_failure

try:
    from mcsd.relabel.native import _walk
except ImportError:  # built without a compiler
    HAS_NATIVE = False
else:
    HAS_NATIVE = True

_PATIENCE = 100
"""Milliseconds between two checks whether the walk is cancelled."""


def is_usable() -> bool:
    """Tell whether the extension is there and the kernel has what it needs; the plain loop needs less."""
    return not why_unusable()


def why_unusable() -> str:
    """Return what the extension's loop lacks, "" for nothing."""
    if not HAS_NATIVE:
        return "the C extension is not there"
    return (
        "" if kernel.has_openat2() else "the kernel, or the service's system call filter, has no openat2(2)"
    )


def new_index() -> Index:
    """Return an index for the extension's loop, or else a plain one."""
    return _walk.Index() if HAS_NATIVE else Intervals()


def native_loop(walk: Pass) -> Names:
    """Run as a `Loop` in the extension's own threads."""
    before = walk.tally.changed
    loop = _made(walk)
    try:
        _serve(loop, walk, before)
    finally:
        loop.end()
        _take_over(loop, walk, before)
    was_disturbed, code = loop.state()
    walk.was_disturbed = was_disturbed
    _judge_failure(code, walk)
    return loop.linked()


def _made(walk: Pass) -> _walk.Walk:
    originals, effort, strategy = walk.originals, walk.effort, walk.strategy
    index = _walk.Index() if originals is None else originals.index
    assert isinstance(index, _walk.Index), "this loop looks up in C what it decides in C"
    return _walk.Walk(
        root=walk.root.descriptor,
        index=index,
        mode=int(strategy.mode),
        target=strategy.target,
        fallback=strategy.root_label,
        created=0 if originals is None else originals.created,
        swept=originals is not None and originals.swept,
        workers=effort.workers,
        batch=effort.batch,
        most=effort.most,
        nice=effort.nice,
        io_priority=effort.io_priority,
    )


def _serve(loop: _walk.Walk, walk: Pass, before: int) -> None:
    try:
        loop.start()
    except OSError as exc:
        raise _broken(exc.errno or errno.EIO, walk) from exc
    has_given_way = False
    while (request := loop.wait(_PATIENCE)) is not None:
        seen, changed, _ = loop.counts()
        walk.tally.seen, walk.tally.changed = seen, before + changed
        walk.tally.report()
        if walk.tally.is_over:
            return
        if seen > walk.effort.quick and not has_given_way:
            loop.give_way()
            has_given_way = True
        kind, data = request
        if kind != "nothing":
            loop.answer(_answer(kind, data, walk))


def _answer(kind: str, data: object, walk: Pass) -> object:
    match kind:
        case "judge":
            assert data is None or isinstance(data, bytes)
            return walk.strategy.verdict(data).value
        case "record":
            assert isinstance(data, tuple)
            groups, latest = data
            walk.take_place()
            walk.begin()
            if groups and walk.originals is not None:
                walk.originals.record(groups, latest)
            return None
        case _:
            assert isinstance(data, list)
            return [_default(walk, *one) for one in data]


def _default(walk: Pass, path: bytes, mode: int, fallback: RawLabel) -> RawLabel:
    host = os.path.join(walk.root.path, os.fsdecode(path))
    return walk.strategy.default(host, mode, fallback)


def _take_over(loop: _walk.Walk, walk: Pass, before: int) -> None:
    seen, changed, _ = loop.counts()
    walk.tally.seen, walk.tally.changed = seen, before + changed
    for name, (count, paths) in loop.skipped().items():
        if count:
            walk.tally.take_over(SkipReason(name), count, map(os.fsdecode, paths))


def _judge_failure(code: int, walk: Pass) -> None:
    """Raise the failure for the error that ended the loop; 0 and a cancellation are none."""
    match code:
        case 0:
            return
        case errno.EROFS:
            walk.tally.is_ended = True
        case errno.EINVAL:
            write_failure(OSError(code, os.strerror(code)), walk.root.path)
        case _:
            raise _broken(code, walk)


def _broken(code: int, walk: Pass) -> VolumeFailedError:
    return VolumeFailedError(
        f"the walk over volume {walk.root.path!r} cannot go on: {os.strerror(code).lower()}",
        hint="what it had not finished is finished by the next walk",
    )
