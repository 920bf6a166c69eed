"""Booleans through libselinux: selinuxfs's files, one for each boolean of the loaded policy.

The bindings cannot pass a list to security_set_boolean_list(3), so a transaction uses the same steps: each
value is written as pending, then one commit activates all of them. If a step fails, the pending values are
reset to those in force.

libselinux no longer sets permanent values: see `mcsd.adapters.selinux.semanage`.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import selinux

from mcsd.core.boolean_names import is_name
from mcsd.core.booleans import Standing
from mcsd.core.host import SWITCH_ON
from mcsd.errors import BooleanError

_DENIED = "mcsd's domain needs the permission security:setbool and its file; see ausearch -m avc"


class KernelBooleans:
    """`mcsd.ports.BooleanSwitches` of the running kernel."""

    def __init__(self) -> None:
        self._enabled = bool(selinux.is_selinux_enabled())
        # A commit activates all pending values, so two of our own transactions must not overlap.
        self._lock = threading.Lock()

    def names(self) -> frozenset[str]:
        """See `mcsd.ports.BooleanSwitches`."""
        self._require()
        with _asking("the booleans of the loaded policy cannot be listed"):
            _, names = selinux.security_get_boolean_names()
        return frozenset(map(str, names))

    def substitute(self, name: str) -> str:
        """See `mcsd.ports.BooleanSwitches`."""
        if not is_name(name):
            return name
        try:
            found = selinux.selinux_boolean_sub(name)
        except OSError:  # no policy directory, hence no list
            return name
        return str(found) if found else name

    def standing(self, name: str) -> Standing:
        """See `mcsd.ports.BooleanSwitches`."""
        self._require(name)
        with _asking(f"the boolean {name!r} cannot be read"):
            return Standing(
                active=_value(selinux.security_get_boolean_active(name)),
                pending=_value(selinux.security_get_boolean_pending(name)),
            )

    def standings(self) -> Mapping[str, Standing]:
        """See `mcsd.ports.BooleanSwitches`."""
        found = {}
        for name in self.names():
            try:
                found[name] = self.standing(name)
            except BooleanError as exc:
                # A policy load after the listing may have removed it.
                if not isinstance(exc.__cause__, FileNotFoundError):
                    raise
        return found

    def change(self, values: Mapping[str, bool]) -> None:
        """See `mcsd.ports.BooleanSwitches`."""
        for name in values:
            self._require(name)
        with self._lock:
            written: list[str] = []
            try:
                for name, value in values.items():
                    with _asking(f"the boolean {name!r} cannot be set"):
                        selinux.security_set_boolean(name, int(value))
                    written.append(name)
                with _asking(f"the change of {', '.join(values)} cannot be put in force"):
                    selinux.security_commit_booleans()
            except BooleanError:
                _withdraw(written)
                raise

    def _require(self, name: str | None = None) -> None:
        if not self._enabled:
            raise BooleanError(
                "SELinux is disabled in the kernel: there are no booleans",
                hint=SWITCH_ON,
            )
        if name is not None and not is_name(name):
            raise BooleanError(
                f"no boolean can have the name {name!r}", hint="semanage boolean -l lists them"
            )


@contextmanager
def _asking(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            hint = "the policy was replaced by one without it; semanage boolean -l lists what there is"
        else:
            hint = _DENIED
        raise BooleanError(f"{operation}: {exc.strerror}", hint=hint) from exc


def _value(answer: int) -> bool:
    if answer < 0:
        raise OSError(errno.EIO, "selinuxfs gave no value")
    return answer > 0


def _withdraw(names: Iterable[str]) -> None:
    for name in names:
        # If this fails too, that was reported already; the value in force was never changed.
        with suppress(OSError):
            selinux.security_set_boolean(name, int(_value(selinux.security_get_boolean_active(name))))
