"""`mcsctl fleet init|admit|evict|recover|open`: what an administrator changes in a fleet's common store.

This asks etcd itself, with an administrator's access: a host's own may only write what the host holds.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

from mcsd.cli.errors import CtlError, Exit, exit_status
from mcsd.cli.fleet import FleetWish
from mcsd.cli.text import Screen
from mcsd.core.fleet.administration import admit, begin_recovery, end_recovery, evict, found, missing
from mcsd.core.fleet.protocol import View
from mcsd.core.fleet.values import FleetValueError, Reading, Swap
from mcsd.errors import ConflictError, McsdError, NotFoundError
from mcsd.fleet.etcd import EtcdStore
from mcsd.fleet.settings import DEFAULT_PATH, load

_GONE = (
    "its blocks go to others: nothing of it may run or be mounted any more. Switch it off, destroy its "
    "disks, take its labels off the shared storage, and repeat this with --gone"
)
NewId = Callable[[], str]


def change_fleet(wish: FleetWish, config: str, screen: Screen, notes: Screen, *, as_json: bool) -> Exit:
    """Change the fleet in the store; raise `CtlError`."""
    _check(wish)
    try:
        store = EtcdStore(load(Path(config or DEFAULT_PATH)).access())
        try:
            view = _changed(store, wish)
        finally:
            store.close()
    except McsdError as exc:
        raise CtlError(exc.what, hint=exc.hint, status=exit_status(exc.problem, 0)) from exc
    except FleetValueError as exc:
        what = f"the store's fleet cannot be read: {exc}"
        raise CtlError(what, hint="is mcsctl of the hosts' version?") from exc
    hosts = sorted(view.fleet.hosts)
    if as_json:
        about = {"fleet": view.fleet.id, "generation": view.fleet.generation, "open": view.fleet.is_open}
        screen.line(json.dumps({**about, "hosts": hosts}, indent=2))
        return Exit.DONE
    screen.line(f"fleet {view.fleet.id}: {', '.join(hosts)}")
    if not view.fleet.is_open:
        text = f"waiting until these have written what they hold: {', '.join(missing(view)) or 'none'}"
        notes.paragraph(f"{text}; then type mcsctl fleet open", first="", rest="")
    return Exit.DONE


def _check(wish: FleetWish) -> None:
    takes = {"init": "HOST...", "admit": "HOST", "evict": "HOST"}.get(wish.verb, "")
    is_right = bool(wish.hosts) if takes == "HOST..." else len(wish.hosts) == bool(takes)
    if not is_right:
        what = f"fleet {wish.verb} takes {takes or 'no host'}"
        raise CtlError(what, hint="see mcsctl fleet --help", status=Exit.USAGE)
    if wish.verb == "evict" and not wish.gone:
        raise CtlError(f"{wish.hosts[0]} is not evicted", hint=_GONE, status=Exit.REFUSED)


def _changed(store: EtcdStore, wish: FleetWish) -> View:
    """Do it, and return the fleet as it is then; raise `ConflictError` if somebody else was quicker."""
    made: list[str] = []

    def new_id() -> str:
        made.append(uuid.uuid4().hex)
        return made[-1]

    store.swap(_change(wish, store.read(), new_id))
    view = View.of(store.read())
    if view is None or view.fleet.token not in made:
        raise ConflictError("the fleet was changed by somebody else meanwhile", hint="repeat it")
    return view


def _change(wish: FleetWish, reading: Reading, new_id: NewId) -> Swap:
    if wish.verb == "init":
        return found(reading, wish.hosts, new_id)
    view = View.of(reading)
    if view is None:
        raise NotFoundError("the store has no fleet", hint="mcsctl fleet init HOST...")
    match wish.verb:
        case "admit":
            return admit(view, wish.hosts[0], new_id)
        case "evict":
            return evict(view, wish.hosts[0], new_id)
        case "recover":
            return begin_recovery(view, new_id)
        case _:
            return end_recovery(view, new_id)
