"""What each message means, for whoever asks `journalctl -x`: its cause, its consequence, its remedy.

The journal's catalog is made of these and of the table of kinds, by `packaging/generate-catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcsd.core.notices import Kind

NOTHING = "Nothing is to be done."


class Explanation(NamedTuple):
    """Three answers: why this was said, what follows from it, and what to do."""

    cause: str
    consequence: str
    remedy: str = NOTHING


_LIFE: Mapping[Kind, Explanation] = {
    Kind.STARTED: Explanation(
        "mcsd was started and has read its ledger.",
        "Containers are looked at next. Work that an earlier run had begun is finished first.",
        "Where SELinux does not enforce, mcsctl status says what is missing.",
    ),
    Kind.STOPPING: Explanation(
        "A stop was asked for, by systemctl, a package's update or the host's shutdown.",
        "Labels and levels stay as they are. New containers are looked at after the next start; with the "
        "gate they are refused until then, unless [gate] on_error is start.",
        "If nobody meant it: systemctl start mcsd.",
    ),
    Kind.ENGINE_UP: Explanation(
        "Docker answers on its socket.",
        "All containers are looked at now, because events may have been lost in between. Where Docker does "
        "not label containers, each of them is reported as not isolated.",
        'To have Docker label containers, set "selinux-enabled": true in /etc/docker/daemon.json, restart '
        "Docker and create the containers again.",
    ),
    Kind.ENGINE_DOWN: Explanation(
        "Docker's socket is missing, refuses, or does not answer in time.",
        "Running containers keep their levels and labels. New ones are looked at once Docker answers. mcsd "
        "keeps trying, with pauses of up to half a minute, and takes no level back meanwhile.",
        "systemctl status docker. If Docker listens elsewhere, set [docker] url; mcsd.toml(5).",
    ),
    Kind.RESYNCED: Explanation(
        "mcsd has reached Docker, or was told that events were lost, or the policy or a boolean changed, or "
        "mcsctl verify --repair was run. It looks from time to time as well, and tells nothing of that.",
        "What had changed unnoticed is put in order.",
        "If events are lost often, Docker or the host is overloaded; [docker] resync sets how often mcsd "
        "looks without being told.",
    ),
    Kind.CONTAINER_FAILED: Explanation(
        "Docker's answer, the kernel or the ledger stood in the way; the message says which.",
        "Nothing is lost: the container is taken up again with its next event or the next look at all of "
        "them. Until then it is not called isolated, and it reaches less rather than more.",
        "mcsctl show NAME says how it stands; follow the message's hint.",
    ),
    Kind.INTERNAL: Explanation(
        "A failure that nobody foresaw: a bug in mcsd.",
        "What was being done has ended there; the rest goes on. What was not written down did not happen.",
        "Report it with the traceback: journalctl -u mcsd -p crit -o verbose shows it in MCSD_TRACEBACK.",
    ),
}

_LEDGER: Mapping[Kind, Explanation] = {
    Kind.LEDGER_FAILED: Explanation(
        "The disk under /var/lib/mcsd is full, read-only or broken; the message has the system's own words.",
        "Nothing is labelled or granted until it can be written, because nothing may change before it is "
        "written down. Running containers go on; with the gate, new ones are refused.",
        "Make room or mend the disk. mcsd tries again by itself.",
    ),
    Kind.LEDGER_DAMAGED: Explanation(
        "The ledger's file is not a sound database: a disk error, or another program has written to it.",
        "It was moved aside, not deleted. A new one is built from the running containers and from the "
        "originals on disk before anything is granted. Levels found on disk stay in quarantine until their "
        "files are clean. Names of reservations and groups are lost.",
        "Make reservations again with mcsctl reserve. Look for disk errors. Keep the old file for a report.",
    ),
    Kind.RECOVERED: Explanation(
        "The ledger was lost, or is older than what lies on disk, as after restoring a backup.",
        "The volumes are taken over with their originals, and their levels are granted to nobody else until "
        "they are clean.",
        "mcsctl volumes lists them; mcsctl restore PATH puts a volume's labels back at once.",
    ),
}

_LEVELS: Mapping[Kind, Explanation] = {
    Kind.GRANTED: Explanation(
        "A container was created or started: Docker chose its level (adopted), or mcsd did (assigned).",
        "The container holds this level, and nobody who should be separate gets one that dominates it.",
    ),
    Kind.GRANT_CHANGED: Explanation(
        "The container was started, has exited, or was removed.",
        "active: it may run. idle: it has exited, and Docker keeps its level. quarantined: it is gone, and "
        "its level waits until nothing carries it any more.",
    ),
    Kind.GRANT_FREED: Explanation(
        "No process, no file that mcsd labelled and no claim carries the level any more.",
        "It can be granted again.",
    ),
    Kind.CONFLICT: Explanation(
        "Two holders that should be separate are not: one level equals or dominates the other. Most often "
        "somebody chose a level by hand (--security-opt label=level:…), or two engines share the host.",
        "One can read and write what belongs to the other. Both are called not isolated, and the second "
        "one's private volumes are not labelled.",
        "Create one of the two again without a level of its own, or with one from mcsctl reserve. If they "
        "are meant to share, put both into one group with the label io.mcsd.group.",
    ),
    Kind.ISOLATED: Explanation(
        "The kernel enforces, the process carries the level, and so does each of the container's volumes.",
        "Other containers cannot reach what is private to this one.",
    ),
    Kind.NOT_ISOLATED: Explanation(
        "One of the three is missing that isolation takes: an enforcing kernel, a process at the granted "
        "level, volumes that carry it. Or another holder's level is not separate. The message says which.",
        "The kernel does not keep this container apart by category.",
        "Follow the message's hint; mcsctl show NAME lists everything that is missing.",
    ),
}

_VOLUMES: Mapping[Kind, Explanation] = {
    Kind.VOLUME_LABELLED: Explanation(
        "A container claims the volume.",
        "Everything in it that may be labelled carries the level; its root was labelled last, so a root that "
        "carries the level says that the tree was complete.",
    ),
    Kind.VOLUME_REFUSED: Explanation(
        "A rule forbids to label this path, or another container holds the volume as its own.",
        "Nothing was changed. The container may be denied its volume.",
        "Follow the message's hint. To share a volume give both containers io.mcsd.volume=/data:shared or "
        "one io.mcsd.group; to leave it alone, give its path the mode ignore in mcsd.toml.",
    ),
    Kind.VOLUME_FAILED: Explanation(
        "Part of the volume could not be labelled: files with several links, a read-only or foreign file "
        "system, a full disk, a tree that is being changed. The message counts them by reason.",
        "What could not be labelled stays as it was, so the container reaches less, never more. mcsd tries "
        "again when the container starts and whenever it looks at everything.",
        "Mend the cause, then restart the container or run mcsctl verify --repair.",
    ),
    Kind.VOLUME_RESTORED: Explanation(
        "No container claims the volume any more and [volumes] linger has passed, or mcsctl restore was run.",
        "Files that still carried mcsd's label have their original one back. What somebody else has "
        "labelled since was left alone.",
    ),
    Kind.VOLUME_DRIFTED: Explanation(
        "Something has changed labels below the volume since it was complete: restorecon -F, a backup that "
        "was put back, files that were moved in. It was found by looking again; [volumes] confirm.",
        "The volume is not ready, and its containers are not called isolated, until it is labelled again. "
        "What the changed files carried is recorded as their original.",
        "Find out what changed them; mcsd-recipes(7) says how to keep restorecon from doing so.",
    ),
    Kind.VOLUME_STRANDED: Explanation(
        "The originals could not be put back: the volume is not mounted, read-only, or not what it was.",
        "Files may still carry the level, so it stays in quarantine, through reboots.",
        "Mount the volume or mend the cause; mcsd tries again, and mcsctl restore PATH does so at once.",
    ),
}

_GATE: Mapping[Kind, Explanation] = {
    Kind.START_REFUSED: Explanation(
        "The gate held the container's start because it could not be prepared; [gate] on_error is refuse.",
        "The container does not run. Docker shows the same reason to whoever started it.",
        'Mend the cause and start it again. [gate] on_error = "start" lets such containers run unprepared.',
    ),
    Kind.START_UNPREPARED: Explanation(
        "The container could not be prepared, and [gate] on_error is start.",
        "It runs at the level that Docker chose and may be denied its volumes. It is not called isolated.",
        "Mend the cause and restart the container.",
    ),
}

_BOOLEANS: Mapping[Kind, Explanation] = {
    Kind.BOOLEAN_SET: Explanation(
        "The configuration, a container's lease or an administrator wants it so.",
        "It is in force on the whole host, for every process that the policy's rules name.",
        "To have it otherwise, change [booleans] and restart mcsd; mcsctl booleans shows why it is so.",
    ),
    Kind.BOOLEAN_PUT_RIGHT: Explanation(
        "Somebody else, or a package's script, changed a boolean that mcsd holds.",
        "What it guards was allowed, or denied, until now: usually for less than a second.",
        "ausearch -m MAC_CONFIG_CHANGE shows who it was, where auditd runs. To have it otherwise, change "
        "[booleans] in mcsd's configuration.",
    ),
    Kind.BOOLEAN_CHANGED: Explanation(
        "Somebody else changed it, and mcsd does not hold it, or wants it so anyway.",
        "mcsd leaves it as it is.",
        "To have mcsd hold it, give it the value on, off or lease in [booleans].",
    ),
    Kind.BOOLEAN_LEASED: Explanation(
        "A running container carries the label io.mcsd.boolean, and the configuration offers it for lease.",
        "The boolean is on for the whole host, not for this container alone, until the last holder ends.",
        "To take it back, stop the container, or give the boolean the value off in [booleans].",
    ),
    Kind.BOOLEAN_RETURNED: Explanation(
        "The container that held a lease has ended.",
        "If it was the last one, the boolean is turned off.",
    ),
    Kind.BOOLEAN_REFUSED: Explanation(
        "A container asks by its label for a boolean that the configuration does not offer for lease.",
        "The container runs, and the boolean stays as it is.",
        'If it is to have it, put the boolean into [booleans] with the value "lease" and restart mcsd.',
    ),
    Kind.BOOLEAN_UNKNOWN: Explanation(
        "The loaded policy has no boolean of this name: it is misspelt, was renamed, or belongs to a module "
        "that is not loaded.",
        "This entry governs nothing; everything else goes on. The name is looked up again with each policy.",
        "semanage boolean -l lists the names there are; correct it in [booleans].",
    ),
    Kind.BOOLEAN_STRAY: Explanation(
        "Somebody had set the boolean's pending value and never committed it. A commit puts all pending "
        "values in force, whoever left them.",
        "mcsd withdrew it before its own commit, because its configuration does not name this boolean.",
        "If it was meant, set it again with setsebool, which commits at once.",
    ),
    Kind.BOOLEAN_FAILED: Explanation(
        "The kernel refused to read or to set booleans, or SELinux is not there.",
        "A boolean may be on that should be off, or the other way round. mcsd tries again by itself.",
        "mcsctl booleans shows which. ausearch -m avc shows what the policy denies to mcsd.",
    ),
}

_GROUND: Mapping[Kind, Explanation] = {
    Kind.SELINUX_ENFORCING: Explanation(
        "SELinux was switched to enforcing.",
        "Denials are in force, and all containers are judged anew.",
    ),
    Kind.SELINUX_NOT_ENFORCING: Explanation(
        "Somebody ran setenforce 0, or the kernel cannot be asked.",
        "Nothing is denied to any process of this host: no container is isolated, whatever its labels.",
        "setenforce 1. If it comes back after a reboot, see SELINUX= in /etc/selinux/config.",
    ),
    Kind.POLICY_LOADED: Explanation(
        "A policy was loaded, or booleans were committed: the kernel announces both in the same way.",
        "mcsd looks at booleans, types, categories and containers again.",
    ),
    Kind.GROUND_WORSE: Explanation(
        "The loaded policy or the kernel's mode lacks something that containers' separation rests on.",
        "mcsd keeps running and says so of each container concerned.",
        "Follow the message's hint; mcsctl status shows it as long as it is so.",
    ),
    Kind.GROUND_BETTER: Explanation(
        "What an earlier message had found missing is there again.",
        "Containers are judged anew.",
    ),
}

EXPLANATIONS: Mapping[Kind, Explanation] = {
    **_LIFE, **_LEDGER, **_LEVELS, **_VOLUMES, **_GATE, **_BOOLEANS, **_GROUND
}  # fmt: skip
"""One for each kind; a test holds that."""
