"""What to do about a volume that is refused, fails or is left alone, and about a start that is refused.

Each hint is a promise: followed to the letter, it works. So all of them are here, modules that refuse a
volume write none of their own, and a test follows each one (`tests/unit/test_hints.py` checks both).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

from mcsd.core.volumes import Claim, ClaimMode


class Hint(Enum):
    """A sentence with placeholders for names."""

    # who else has it
    SHARE = "to share it, add {wishes}, and recreate {who}"
    SHARE_BY_RULE = 'to share it, name {path} with the mode "shared" in a [[volumes.rule]], and restart mcsd'
    RESTORE_FIRST = "run mcsctl restore {path}"
    STOP_FOREIGN = "another engine or a virtual machine uses it; stop that one, or mount another directory"

    # levels
    ANOTHER_LEVEL = (
        "recreate {name} without --security-opt label=level, or with a level from mcsctl reserve {name}"
    )
    NEW_LEVEL = "recreate the container: it then gets another level; mcsctl pairs shows who holds which"
    JOIN_GROUP = (
        "recreate it with --security-opt label=level:$(mcsctl reserve {name} --group {group}), or start it "
        "through the gate"
    )

    # the fleet
    EMPTY_GROUP = "remove its members here, and start them again: mcsctl pairs --state group lists groups"
    JOIN_LATER = "try again; mcsctl fleet status says what this host holds"
    ASK_FLEET = "mcsctl fleet status says what is missing; or recreate it without that level"
    ELSEWHERE = (
        "remove that container, give both one group (io.mcsd.group), or share the directory on both hosts; "
        "if these are two storages, give each a name in a [[fleet.storage]] of all hosts"
    )

    # where it is
    NAME_IN_RULE = "to have it labelled, name {path} in a [[volumes.rule]], and restart mcsd"
    NAME_PLACE_BELOW = (
        "to have a directory in there labelled, name that directory in a [[volumes.rule]], and restart mcsd"
    )
    ALLOW_TYPE = (
        "mount a copy that lies elsewhere, or have the policy allow it: a module with typeattribute {type} "
        "mcsd_volume_type"
    )
    GIVE_DEVICE = "give it with --device instead"
    MOUNT_WITH_CONTEXT = (
        "if the container is denied it, mount that file system with context= for a label that containers use"
    )
    REMOUNT = "if the container is denied it, mount that file system with rw, and start the container again"
    GIVE_COPY = "its other names may belong to others: give the container a copy, or a directory"
    MOUNT_ITSELF = "mount {real!r} itself"
    MOUNT_TARGET = "create {real!r}, and mount that itself"
    MEND_LINK = "create its target, or correct the link"
    MAKE_IT = "create it, or mount its file system; mcsd checks again by itself"
    PUT_BACK = "restore or mount what was there, or recreate the container with what is there now"
    PART_ITSELF = "a link in the volume leads there; name the directory itself in volume-subpath"
    WITHOUT_DOTS = "name the directory without '..'"
    TAKE_POLICY_LABELS = (
        "put mcsd's state directory back from a backup, or take the policy's labels with "
        "restorecon -RF {path!r}; then mcsctl restore {path!r}"
    )
    MEND_AND_RETRY = "fix the cause, then restart the container or run mcsctl verify --repair"

    # starts
    WAIT_LONGER = (
        "labelling goes on: start {name} again when mcsctl show {name} has its volumes ready, or raise "
        "[gate] deadline"
    )
    KEEP_LEVEL = '[gate] level = "docker" in mcsd.toml keeps the level that the engine chose'
    START_AGAIN = "start it again"
    READABLE_LEVEL = "recreate the container with a level such as s0:c1,c2, or with none of its own"
    NAME_ENGINE = (
        "name the engine in mcsd.toml ([docker] enabled, or [[engine]] kind), and restart mcsd; or take the "
        "gate out of that engine's configuration: mcsctl gate disable --engine NAME"
    )
    ENGINE_BACK = (
        "name the engine in mcsd.toml again ([docker] enabled, or [[engine]] with the same name), and "
        "restart mcsd; or give its containers up: mcsctl release ENGINE/NAME"
    )
    OWN_NAMESPACES = "do not share another container's namespaces there"

    # what an administrator asks for
    REMOVE_HOLDERS = (
        "remove the containers first, or give {path} the mode ignore in a [[volumes.rule]], and restart mcsd"
    )
    RELEASE_FIRST = "give the reservation up first: mcsctl release {name}"
    REMOVE_FIRST = "remove that container first: {engine} rm {name}"
    RELEASE_OR_RENAME = "release it first, with mcsctl release {name}, or take another name"
    PROPER_NAME = "up to 63 letters, digits, dots, dashes and underscores; a letter or digit first"
    LIVING_PROCESS = "name a process that runs, by the pid that ps shows for it on the host"
    FOLLOWED_UNIT = "name a service or a scope of the system's, such as web.service"
    ACTIVE_UNIT = (
        "start it first, or have the unit ask itself, with ExecStartPre=+mcsctl reserve NAME --unit %n; "
        "systemctl show -P Id {unit} prints the name of a unit that has several"
    )
    TIME_FORM = (
        "write a time to come, such as 2030-01-31T18:00:00+01:00, or a duration such as 90min, 2h or 1d"
    )
    ANOTHER_NAME = "take another name; mcsctl containers and mcsctl pairs list those that are taken"
    RUN_AGAIN = "run it again"
    PLAIN_PATH = "leave the mode out, and give {path!r} one in a [[volumes.rule]]"
    NAME_GROUP = "add --group with the group's name"
    ASK_LATER = "try again when mcsctl status says that the engines answer"

    def say(self, **names: object) -> str:
        """Return the sentence with the placeholders filled in."""
        return self.value.format_map(names)


def way_to_share(
    claim: Claim,
    name: str,
    holders: Iterable[tuple[str, Claim]],
    path: str,
    *,
    in_group: bool,
    runs: Collection[str] = (),
    annotated: Collection[str] = (),
) -> str:
    """Say how `name` and the holders of a volume can share it, each with its own destination.

    With `in_group`, all of them are members of one group, and only the mode is missing. A destination that
    cannot be written in the label needs a rule in the configuration. `runs` are the names of those that are
    runs, `annotated` of those that ask by annotations instead of labels.
    """
    mode = ClaimMode.GROUP if in_group else ClaimMode.SHARED
    wanting = dict.fromkeys(
        (who, one.destination) for who, one in ((name, claim), *holders) if one.mode is not mode
    )
    if any("," in destination for _, destination in wanting):
        return Hint.SHARE_BY_RULE.say(path=path)
    wishes = ", and ".join(
        f"--volume {destination}:{mode} to mcsctl run of {who}"
        if who in runs
        else f"{destination}:{mode} to the {means} io.mcsd.volume of {who}"
        for who, destination in wanting
        for means in ["annotation" if who in annotated else "label"]
    )
    names = list(dict.fromkeys(who for who, _ in wanting))
    return Hint.SHARE.say(wishes=wishes, who="both" if len(names) == 2 else ", ".join(names))
