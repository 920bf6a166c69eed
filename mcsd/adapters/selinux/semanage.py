"""Boot values of booleans: the policy store, through libsemanage's bindings.

A commit to the store takes seconds, much memory, and permission to write the policy, which mcsd's own domain
and sandbox do not have. So this module is a program of its own, `python3 -m mcsd.adapters.selinux.semanage`,
which mcsd-booleans.service runs once when mcsd starts. It takes no orders from the daemon. It reads the same
configuration and stores only what that names: with `[booleans] persist = true`, each governed boolean gets
its value, and a leased one `off`, because nobody holds a lease at boot.

The store is committed without loading the policy into the kernel, because the daemon sets the values in
force. The stored values are also written to a file, which the daemon shows.

Exit status: 0 stored, or nothing to store; 1 the store refuses; 78 bad configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcsd.config import DEFAULT_PATH, Config, load
from mcsd.core.boolean_names import is_name
from mcsd.core.booleans import lasting, rule
from mcsd.errors import BooleanError, ConfigurationError, McsdError

STORED = "booleans.stored"
"""The file's name, in mcsd's state directory."""

EX_CONFIG = 78


class StoredBooleans:
    """What the last run stored, by the policy's names. It is only shown, so a damaged file counts as none."""

    def __init__(self, state: Path) -> None:
        self._path = state / STORED

    def __call__(self) -> Mapping[str, bool]:
        """Return the values; empty if nothing was stored."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: value for name, value in found.items() if isinstance(value, bool)}

    def write(self, values: Mapping[str, bool]) -> None:
        """Replace it."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(dict(sorted(values.items()))) + "\n", encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(self._path)

    def clear(self) -> None:
        """Record that nothing is stored."""
        self._path.unlink(missing_ok=True)


class PolicyStore:
    """An open connection to the store of the host's policy."""

    def __init__(self, semanage: Any, handle: Any) -> None:
        self._semanage = semanage
        self._handle = handle

    def names(self) -> frozenset[str]:
        """List the booleans of the store's policy."""
        code, found = self._semanage.semanage_bool_list(self._handle)
        self._check(code, "its booleans cannot be listed")
        return frozenset(self._semanage.semanage_bool_get_name(one) for one in found)

    def put(self, values: Mapping[str, bool]) -> bool:
        """Store all values in one transaction; return whether that was needed."""
        call = self._semanage
        changes = [
            (key, found) for name, value in values.items() for key, found in self._differs(name, value)
        ]
        if not changes:
            return False
        self._check(call.semanage_begin_transaction(self._handle), "a transaction cannot be begun")
        for key, found in changes:
            self._check(call.semanage_bool_modify_local(self._handle, key, found), "a value is refused")
        call.semanage_set_reload(self._handle, 0)
        self._check(call.semanage_commit(self._handle), "the transaction cannot be committed")
        return True

    def _differs(self, name: str, value: bool) -> Iterator[tuple[Any, Any]]:
        call = self._semanage
        code, key = call.semanage_bool_key_create(self._handle, name)
        self._check(code, f"the boolean {name!r} cannot be looked up")
        code, found = call.semanage_bool_query(self._handle, key)
        self._check(code, f"the boolean {name!r} cannot be read")
        if bool(call.semanage_bool_get_value(found)) != value:
            call.semanage_bool_set_value(found, int(value))
            yield key, found

    def _check(self, code: int, complaint: str) -> None:
        if code < 0:
            raise BooleanError(
                f"the policy store: {complaint}",
                hint="libsemanage says why on standard error; semanage boolean -l shows what is there",
            )


@contextmanager
def open_store() -> Iterator[PolicyStore]:
    """Open the store of the host's policy; raise `BooleanError` if there is none."""
    try:
        import semanage  # only this program needs it
    except ImportError as exc:
        raise BooleanError(
            "libsemanage's Python bindings are missing", hint="install python3-libsemanage (python3-semanage)"
        ) from exc
    handle = semanage.semanage_handle_create()
    if handle is None:
        raise BooleanError("the policy store cannot be used", hint="is an SELinux policy installed?")
    try:
        if semanage.semanage_is_managed(handle) != 1 or semanage.semanage_connect(handle) < 0:
            raise BooleanError("this host has no policy store to write to", hint="run it as root")
        try:
            yield PolicyStore(semanage, handle)
        finally:
            semanage.semanage_disconnect(handle)
    finally:
        semanage.semanage_handle_destroy(handle)


def _substitute(name: str) -> str:
    import selinux  # not needed if there is nothing to store

    found = selinux.selinux_boolean_sub(name) if is_name(name) else None
    return str(found) if found else name


def keep(config: Config, state: Path) -> str:
    """Do what the configuration says; return a sentence about it. Raises `BooleanError`."""
    stored = StoredBooleans(state)
    if not config.booleans.persist:
        stored.clear()
        return "nothing is kept in the policy store: [booleans] persist is false"
    with open_store() as store:
        values = lasting(rule(config.booleans.wishes, store.names(), _substitute))
        changed = store.put(values)
    stored.write(values)
    listed = ", ".join(f"{name}={'on' if value else 'off'}" for name, value in sorted(values.items()))
    return f"{'stored now' if changed else 'stored already'}: {listed or 'nothing'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="mcsd-booleans", description="keep mcsd's booleans in the policy store"
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FILE")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/mcsd"), metavar="DIR")
    arguments = parser.parse_args(argv)
    try:
        print(keep(load(arguments.config), arguments.state))  # noqa: T201
    except McsdError as exc:
        print(f"mcsd-booleans: {exc}", file=sys.stderr)  # noqa: T201
        return EX_CONFIG if isinstance(exc, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
