"""The Docker stand-in in a process of its own, so that a bench measures mcsd and not the stand-in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import Any, cast

from tests.fakes.docker_socket import DockerStandIn


class _Process(BaseManager):
    pass


_Process.register("DockerStandIn", DockerStandIn)


@contextlib.contextmanager
def docker_process(path: str | os.PathLike[str], **options: Any) -> Iterator[DockerStandIn]:
    """Run `DockerStandIn(path, **options)` in another process; its methods are called from here.

    Arguments travel pickled: functions among them must be importable ones. Its url is `unix://PATH`.
    """
    with _Process(ctx=get_context("spawn")) as process:
        stand_in = process.DockerStandIn(os.fspath(path), **options)  # type: ignore[attr-defined]
        stand_in.start()
        try:
            yield cast("DockerStandIn", stand_in)
        finally:
            stand_in.stop()
