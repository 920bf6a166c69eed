"""This host's own protected places at the moment: homes of listed accounts, and engines' storage."""

from __future__ import annotations

import functools
import pwd
from collections.abc import Callable, Iterable

from mcsd.blocking.patient import Patient
from mcsd.core.protected import ProtectionRules

_NONE: tuple[str, ...] = ()
LASTS = 5.0
"""Seconds for which the list of accounts and the engines' configuration are cached."""
LISTED = "passwd"
"""The name of the source, for the report that it does not answer."""


class Landmarks:
    """Returns the current rules when called. Thread-safe.

    `of_host` and `of_homes` list engines' storage; the latter that of rootless engines, by users' homes.
    `state` are mcsd's own directories, `sockets` the engines' sockets.
    """

    def __init__(
        self,
        patient: Patient,
        *,
        of_host: Callable[[], Iterable[str]],
        of_homes: Callable[[Iterable[str]], Iterable[str]],
        state: Iterable[str],
        sockets: Iterable[str],
    ) -> None:
        self._patient = patient
        self._of_host = of_host
        self._of_homes = of_homes
        self._state = tuple(state)
        self._sockets = tuple(sockets)

    def __call__(self) -> ProtectionRules:
        """Return the current rules; for sources that do not answer, the last known places count."""
        homes = self._patient.ask(LISTED, _homes, _NONE, lasts=LASTS)
        ours = self._patient.ask("/etc", lambda: tuple(self._of_host()), _NONE, lasts=LASTS)
        theirs = self._patient.ask(
            "homes", lambda: tuple(self._of_homes(homes)), _NONE, version=homes, lasts=LASTS
        )
        return _rules(homes, (*ours, *theirs), self._state, self._sockets)


@functools.lru_cache(maxsize=4)
def _rules(
    homes: tuple[str, ...], storage: tuple[str, ...], state: tuple[str, ...], sockets: tuple[str, ...]
) -> ProtectionRules:
    # The same object while nothing has changed: results are cached with it.
    return ProtectionRules.of(homes=homes, storage=storage, state=state, sockets=sockets)


def _homes() -> tuple[str, ...]:
    return tuple(sorted({entry.pw_dir for entry in pwd.getpwall()}))
