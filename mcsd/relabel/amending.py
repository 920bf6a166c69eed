"""Correcting single files in a complete volume: what was relabelled, moved in, or moved out.

Each is treated as in a walk, with its original on disk first; a directory with everything below it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from mcsd.core.walks import MayChange, SkipReason, asked_once, may_always
from mcsd.relabel import kernel
from mcsd.relabel.counters import Counters, reason_for
from mcsd.relabel.opening import OpenRoot
from mcsd.relabel.originals import Originals
from mcsd.relabel.strategies import Relabelling, Restoring
from mcsd.relabel.walk import VolumeWalk, WalkTools

_LABELLED = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK}


@contextmanager
def reached(root: OpenRoot, name: str) -> Iterator[OpenRoot]:
    """Open what is at a path below a volume's root, "" for the root itself, as a context manager.

    No symbolic link is followed and no mount crossed; raises `OSError`, EXDEV at a mount point.
    """
    parts = [part for part in os.fsencode(name).split(b"/") if part not in {b"", b"."}]
    held = [os.dup(root.parent), os.dup(root.descriptor)]
    try:
        for part in parts:
            if part == b"..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
            held.append(kernel.look_at(held[-1], part))
        found = kernel.stat_of(held[-1])
        if (found.device, found.mount) != (root.stat.device, root.stat.mount):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)  # where openat2(2) is missing
        yield OpenRoot(os.path.join(root.path, name) if name else root.path, held[-1], held[-2], found)
    finally:
        for descriptor in held:
            os.close(descriptor)


def amend(
    root: OpenRoot,
    names: Iterable[str],
    target: str,
    originals: Originals,
    total: Counters,
    means: WalkTools,
    may_change: MayChange = may_always,
) -> bool:
    """Label what is at these paths below the root, and return whether all of it could be labelled.

    What is gone by now needs nothing; what a rule excludes is counted.
    """
    strategy = Relabelling(originals, os.fsencode(target).rstrip(b"\0") + b"\0", asked_once(may_change))
    complete = True
    for name in names:
        if total.is_over:
            return False
        tally = Counters(cancellation=total.cancellation)
        try:
            with reached(root, name) as found:
                why = _left_alone(found)
                if why is None:
                    complete &= VolumeWalk(found, strategy, tally, means, originals).relabel(target)
                    _add(total, tally, name)
                else:
                    total.skip(why, partial(str, name))
        except OSError as exc:
            total.skip(reason_for(exc.errno), partial(str, name))
    return complete and not total.is_broken


def _add(total: Counters, tally: Counters, name: str) -> None:
    total.seen += tally.seen
    total.changed += tally.changed
    for reason, count in tally.skipped.items():
        below = (path for why, path in tally.examples if why is reason)
        total.take_over(reason, count, [os.path.normpath(os.path.join(name, path)) for path in below])


def give_back(
    found: OpenRoot, originals: Originals, strategy: Restoring, tally: Counters, means: WalkTools
) -> bool:
    """Restore the originals of something outside its volume.

    A file without one gets the policy's label for its path, or else that of the directory that it is in."""
    why = _left_alone(found)
    if why is not None:
        tally.skip(why, lambda: ".")
        return False
    strategy = replace(strategy, root_label=kernel.label_of(found.parent))
    return VolumeWalk(found, strategy, tally, means, originals).give_back()


def _left_alone(found: OpenRoot) -> SkipReason | None:
    if stat.S_IFMT(found.stat.mode) not in _LABELLED:
        return SkipReason.DEVICE_NODE
    if found.stat.links > 1 and not found.is_directory:
        return SkipReason.MULTIPLY_LINKED
    return None
