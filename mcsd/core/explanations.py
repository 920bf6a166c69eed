"""What each message means, for `journalctl -x`: its cause, its consequence, its remedy.

`packaging/generate-catalog` makes the journal's catalog from these and the table of kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mcsd.core.notices import Kind

NOTHING = "Nothing is to be done."


class Explanation(NamedTuple):
    """The cause of a message, its consequence, and what to do."""

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
        "mcsd was asked to stop, by systemctl, a package's update or the host's shutdown.",
        "Labels and levels stay as they are. New containers are looked at after the next start; with the "
        "gate they are refused until then, unless [gate] on_error is start.",
        "If that was not intended: systemctl start mcsd.",
    ),
    Kind.FLEET_TROUBLE: Explanation(
        "With [fleet] store, this host takes its pairs from a store that it has in common with other hosts. "
        "The store cannot be asked, or shows something that leaves it uncertain whose a pair is.",
        "Running containers go on. As long as the store's last answer allowed it, levels are granted from "
        "what the host holds; after a start of mcsd nothing is granted until the store has answered.",
        "mcsctl fleet status says which of the two it is, and what to do; mcsd-fleet(8) has the steps of a "
        "recovery.",
    ),
    Kind.FLEET_WELL: Explanation(
        "The store has confirmed this host's last operation.",
        "Levels are granted from the blocks that the host holds. It takes another when pairs run low.",
    ),
    Kind.ENGINE_UP: Explanation(
        "The engine answers on its socket.",
        "All containers are looked at now, because events may have been lost in between. Where it does "
        "not label containers, each of them is reported as not isolated.",
        'To have Docker label containers, set "selinux-enabled": true in /etc/docker/daemon.json, restart '
        "Docker and recreate the containers. For Podman it is label = true in containers.conf(5).",
    ),
    Kind.ENGINE_DOWN: Explanation(
        "The engine's socket is missing, refuses, or does not answer in time.",
        "Running containers keep their levels and labels. New ones are looked at once it answers. mcsd "
        "keeps trying, with pauses of up to half a minute, and takes no level back meanwhile.",
        "systemctl status docker, or podman.socket. If it listens elsewhere, set url in [docker] or its "
        "[[engine]]; mcsd.toml(5).",
    ),
    Kind.RESYNCED: Explanation(
        "mcsd has reached the engine, or was told that events were lost, or the policy or a boolean changed, "
        "or mcsctl verify --repair was run. It also checks from time to time without a message.",
        "Whatever had changed unnoticed is corrected.",
        "If events are lost often, the engine or the host is overloaded; [docker] resync sets how often mcsd "
        "looks without being told.",
    ),
    Kind.CONTAINER_FAILED: Explanation(
        "The engine, the kernel or the ledger failed; the message says which.",
        "Nothing is lost: mcsd tries again at the container's next event or the next check of all of "
        "them. Until then the container is not called isolated, and can reach less, not more.",
        "Follow the message's hint; mcsctl show NAME shows the container's state.",
    ),
    Kind.INTERNAL: Explanation(
        "An unexpected failure: a bug in mcsd.",
        "That task has stopped; everything else goes on. No label or grant was changed without a record.",
        "Report it with the traceback: journalctl -u mcsd -p crit -o verbose shows it in MCSD_TRACEBACK.",
    ),
}

_LEDGER: Mapping[Kind, Explanation] = {
    Kind.LEDGER_FAILED: Explanation(
        "The disk under /var/lib/mcsd is full, read-only or broken; the message has the system's error.",
        "Nothing is labelled or granted until it can be written, because nothing may change before it is "
        "written down. Running containers go on; with the gate, new ones are refused.",
        "Make room or mend the disk. mcsd tries again by itself.",
    ),
    Kind.BLOCKED: Explanation(
        "A system call has not returned and makes no progress: a server behind NFS or FUSE, or a disk, "
        "is gone or far too busy.",
        "Whoever needs it waits: with the gate, containers with that volume are refused until it answers. "
        "All other containers, volumes and requests go on.",
        "Bring the server or the disk back, or unmount it (umount -f, umount -l). mcsd goes on by itself; "
        "mcsctl status shows what is waited for.",
    ),
    Kind.ANSWERED: Explanation(
        "What had not answered answers again.",
        "All containers are looked at again, and what could not be labelled meanwhile is labelled now.",
        NOTHING,
    ),
    Kind.LEDGER_DAMAGED: Explanation(
        "The ledger's file is not a valid database: a disk error, or another program has written to it.",
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
        "A container was created or started: its engine chose its level (adopted), or mcsd did (assigned).",
        "The container holds this level, and nobody who should be separate gets one that dominates it.",
    ),
    Kind.GRANT_CHANGED: Explanation(
        "The container was started, has exited, or was removed.",
        "active: it may run. idle: it has exited, and its engine keeps its level. quarantined: it is gone, "
        "and its level waits until nothing carries it any more.",
    ),
    Kind.GRANT_FREED: Explanation(
        "No process, no file that mcsd labelled and no claim carries the level any more.",
        "It can be granted again.",
    ),
    Kind.RESERVATION_ENDED: Explanation(
        "What the reservation was to last as long as is over: its process has ended, its unit is not active "
        "any more, or its time is past.",
        "Its level waits in quarantine until nothing carries it any more. A container that has the level "
        "keeps it until it is gone itself.",
    ),
    Kind.CONFLICT: Explanation(
        "Two holders that should be separate are not: one level equals or dominates the other. Most often "
        "somebody chose a level by hand (--security-opt label=level:…), or two engines share the host.",
        "Each may read and write what belongs to the other. Neither is called isolated, and the private "
        "volumes of the second are not labelled.",
        "Create one of the two again without a level of its own, or with one from mcsctl reserve. If they "
        "are meant to share, put both into one group with the label io.mcsd.group.",
    ),
    Kind.ISOLATED: Explanation(
        "The kernel enforces, the process carries the level, and so does each of the container's volumes.",
        "Other containers cannot reach what is private to this one.",
    ),
    Kind.NOT_ISOLATED: Explanation(
        "Isolation needs an enforcing kernel, a process at the granted level, volumes that carry it, and no "
        "other holder with a comparable level. One of these is missing; the message says which.",
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
    Kind.VOLUME_LEFT_ALONE: Explanation(
        "The path is a protected place of the host, is neither a file nor a directory, or lies where a "
        "volume can have no label of its own.",
        "The container has it as it would without mcsd: the types of the policy decide what it may do there. "
        "mcsctl show says whether that weakens isolation.",
        "If that is intended, nothing; io.mcsd.volume=PATH:ignore on the container says so. Otherwise keep "
        "the container's data elsewhere. Some places can be named in a [[volumes.rule]].",
    ),
    Kind.LABEL_MISREAD: Explanation(
        "Whoever created the container has misspelt a label that is addressed to mcsd.",
        "That part is ignored: the volume has the mode that it would have without it.",
        "Recreate the container with what the message's hint says; mcsd(8) lists the labels.",
    ),
    Kind.VOLUME_REFUSED: Explanation(
        "Another container holds the volume as its own, the container's level is not separate from "
        "another's, or the way to the volume leads over a link that others can change.",
        "Nothing was changed. The container may be denied its volume.",
        "Follow the message's hint. To share a volume give both containers io.mcsd.volume=/data:shared or "
        "one io.mcsd.group; to leave it alone, give its path the mode ignore in mcsd.toml.",
    ),
    Kind.VOLUME_FAILED: Explanation(
        "Part of the volume could not be labelled: files with several links, a read-only or foreign file "
        "system, a full disk, a tree that is being changed. The message counts them by reason.",
        "What could not be labelled stays as it was, so the container reaches less, never more. mcsd tries "
        "again when the container starts and whenever it looks at everything.",
        "Fix the cause, then restart the container or run mcsctl verify --repair.",
    ),
    Kind.VOLUME_RESTORED: Explanation(
        "No container claims the volume any more and [volumes] linger has passed, or mcsctl restore was run.",
        "Files that still carried mcsd's label have their original label again. Files that were labelled by "
        "something else since were left alone.",
    ),
    Kind.VOLUME_DRIFTED: Explanation(
        "Something has changed labels below the volume since it was complete: restorecon -F, a backup that "
        "was put back, files that were moved in. It was found by looking again; [volumes] confirm.",
        "The volume is not ready, and its containers are not called isolated, until it is labelled again. "
        "What the changed files carried is recorded as their original.",
        "Find out what changed them; mcsd-recipes(7) says how to keep restorecon from doing so.",
    ),
    Kind.VOLUME_TOUCHED: Explanation(
        "Something else wrote labels in a volume that a container uses: an engine for another container that "
        "was given the same directory with :z or :Z (it relabels even what mcsd then refuses), restorecon, "
        "chcon. The message names the container where the labels show it.",
        "mcsd corrected them as soon as it saw them. Until then the container could be denied its files, or "
        "others could read them, and it was not called isolated. At the end the files get back what they had "
        "before.",
        "Take the directory from the other container, or let both share it: mcsd-recipes(7).",
    ),
    Kind.VOLUME_JOINED: Explanation(
        "Files were moved into a volume that a container uses; mv keeps their labels.",
        "They carry the volume's label now, and get what they had before when the volume is given back.",
    ),
    Kind.VOLUME_COVERED: Explanation(
        "A file system was mounted inside a volume that a container uses.",
        "What is mounted there is not part of the volume. It keeps its labels, so the container is mostly "
        "denied it, if it sees it at all.",
        "Give it to the container as a volume of its own (-v), or unmount it.",
    ),
    Kind.VOLUME_UNWATCHED: Explanation(
        "The kernel cannot tell what happens in the volume: it has too many directories, its file system "
        "tells nothing, more is changed in it than may be followed, or it is not there any more. The message "
        "says which.",
        "What others do to its labels is found when all of it is looked at; [volumes] confirm says how "
        "often.",
        "Raise [watch] directories or the kernel's limit that is named, or leave it so.",
    ),
    Kind.FILE_FOLLOWED: Explanation(
        "Something was moved out of a volume, with the level that it had there.",
        "It carries what it had before it was the volume's, or what the policy says for the place it is at "
        "now, so that it keeps no level that another container may get.",
    ),
    Kind.FILE_ASTRAY: Explanation(
        "Something was moved out of a volume and could not be given its original label back.",
        "It still carries the level of the volume's container, which keeps that level in use.",
        "Correct its label, as the message says.",
    ),
    Kind.STRAY_FOUND: Explanation(
        "A file outside every volume carries a level: a copy that kept its label (cp -a, rsync -X, an "
        "archive), or a volume of another engine's container.",
        "A process at that level can read it. mcsd grants the level to nobody until a scan finds it gone.",
        "Give the file the policy's label, as the message says, then run mcsctl scan. Leave it if another "
        "engine's container has it.",
    ),
    Kind.LEVEL_ASTRAY: Explanation(
        "The container is gone and its volumes are given back, and a file outside every volume carries its "
        "level, as a scan has found.",
        "The level is granted to nobody until a scan finds it gone from there.",
        "Give the file the policy's label, as the message says, then run mcsctl scan.",
    ),
    Kind.DENIED: Explanation(
        "mcsd-denials.service, which follows the kernel's audit records, has seen a denial that "
        "concerns a container.",
        "The access failed. Similar denials are reported once in ten minutes.",
        "Run mcsctl why with the container's name: it says which rule it was and what to type.",
    ),
    Kind.AUDITED: Explanation(
        "mcsctl audit --tell was run, by mcsd-audit.timer or by somebody.",
        "GET /v1/audit and the page in Cockpit have what was found. mcsd itself changes nothing for that.",
        "mcsctl audit shows the findings and how to mend each; mcsd-audit(7).",
    ),
    Kind.SCAN_FINISHED: Explanation(
        "mcsd-scan.timer or mcsctl scan had the host's file systems looked at for levels on strays.",
        "mcsctl scan --status lists what was found. The levels that strays carry are granted to nobody.",
    ),
    Kind.SCAN_INCOMPLETE: Explanation(
        "A file system failed or could not be opened while it was scanned.",
        "Strays on it are not known; the scan has gone on with the others.",
        "Repair the file system, and run mcsctl scan.",
    ),
    Kind.STRAYS_LOST: Explanation(
        "The file in which mcsd keeps what scans have found cannot be read, or is not what mcsd wrote.",
        "Files outside volumes may carry levels of which mcsd does not know. Until everything "
        "has been scanned it grants only levels that were never in use.",
        "Nothing, unless the file system needs repair. mcsctl scan --status shows the scan's progress.",
    ),
    Kind.VOLUME_PARTLY: Explanation(
        "Some of what is in the volume is not this volume's alone, or must not be labelled: a file with "
        "another name elsewhere, something that is mounted inside, a device node, or a system type.",
        "The container is denied these, and has all the rest. Isolation is not touched by it.",
        "Do as the message says for each; mcsctl show NAME lists them with path, reason and remedy.",
    ),
    Kind.VOLUME_STRANDED: Explanation(
        "The originals could not be put back: the volume is not mounted, read-only, or not what it was; or "
        "they are lost.",
        "Files may still carry the level, so it stays in quarantine, through reboots.",
        "Mount the volume or fix the cause; mcsd tries again, and mcsctl restore PATH does so at once. "
        "Where the originals are lost, put /var/lib/mcsd back from a backup, or take the policy's labels: "
        "restorecon -RF PATH, then mcsctl restore PATH.",
    ),
}

_GATE: Mapping[Kind, Explanation] = {
    Kind.START_REFUSED: Explanation(
        "The gate held the container's start because it could not be prepared; [gate] on_error is refuse.",
        "The container does not run. Its engine shows the same reason to whoever started it.",
        'Fix the cause and start it again. [gate] on_error = "start" lets such containers run unprepared.',
    ),
    Kind.START_UNPREPARED: Explanation(
        "The container could not be prepared, and [gate] on_error is start.",
        "It runs at the level that its engine chose and may be denied its volumes. It is not called "
        "isolated.",
        "Fix the cause and restart the container.",
    ),
}

_BOOLEANS: Mapping[Kind, Explanation] = {
    Kind.BOOLEAN_SET: Explanation(
        "The configuration, a container's lease or an administrator asked for it.",
        "It is in force on the whole host, for every process that the policy's rules name.",
        "To change it, edit [booleans] and restart mcsd; mcsctl booleans shows why it is set.",
    ),
    Kind.BOOLEAN_PUT_RIGHT: Explanation(
        "An administrator or a package's script changed a boolean that mcsd holds.",
        "The change was in force until now: usually for less than a second.",
        "ausearch -m MAC_CONFIG_CHANGE shows who it was, where auditd runs. To keep the change, edit "
        "[booleans] in mcsd's configuration.",
    ),
    Kind.BOOLEAN_CHANGED: Explanation(
        "Something else changed it. mcsd does not hold it, or has it configured so anyway.",
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
        "This entry has no effect; everything else goes on. The name is looked up again with each policy.",
        "semanage boolean -l lists the names there are; correct it in [booleans].",
    ),
    Kind.BOOLEAN_STRAY: Explanation(
        "The boolean had a pending value that was never committed. A commit puts all pending values in "
        "force.",
        "mcsd withdrew it before its own commit, because its configuration does not name this boolean.",
        "If it was intended, set it again with setsebool, which commits at once.",
    ),
    Kind.BOOLEAN_FAILED: Explanation(
        "The kernel refused to read or to set booleans, or SELinux is not there.",
        "A boolean may be on that should be off, or off that should be on. mcsd tries again by itself.",
        "mcsctl booleans shows which. ausearch -m avc shows what the policy denies to mcsd.",
    ),
}

_GROUND: Mapping[Kind, Explanation] = {
    Kind.SELINUX_ENFORCING: Explanation(
        "SELinux was switched to enforcing.",
        "Denials are in force. mcsd checks all containers again.",
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
        "The loaded policy or the kernel's mode lacks something that isolation needs.",
        "mcsd keeps running and reports each container that this concerns.",
        "Follow the message's hint; mcsctl status shows the problem while it lasts.",
    ),
    Kind.GROUND_BETTER: Explanation(
        "What an earlier message reported as missing is there again.",
        "mcsd checks all containers again.",
    ),
}

EXPLANATIONS: Mapping[Kind, Explanation] = {
    **_LIFE, **_LEDGER, **_LEVELS, **_VOLUMES, **_GATE, **_BOOLEANS, **_GROUND
}  # fmt: skip
"""One for each kind; a test holds that."""
