"""What may not be labelled, as data: one table of places, one of types, one of file systems.

A rule applies to a volume that *is* the place, contains it, or (for a tree) is inside it. That is determined
by device and inode (`mcsd.relabel.places`), never by comparing names alone. Each rule says whether an
explicit path in the configuration can lift it:

- NEVER: no configuration can;
- BY_RULE: a `[[volumes.rule]]` whose path is the volume or contains it;
- BELOW: the same, but the path must be inside the protected place, not the place itself or above. So one
  volume inside an engine's storage can be admitted, but not the storage.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from mcsd.core.walks import RawLabel


class Reach(Enum):
    """How far a protected place extends."""

    ITSELF = "itself"
    """The place, and whatever contains it, but not what is inside."""
    TREE = "tree"
    """The place, whatever contains it, and everything inside."""


class Lift(Enum):
    """What can lift a rule."""

    NEVER = "never"
    BY_RULE = "by-rule"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """Protected places that share a reason. `why` completes the sentence "… is refused: it …"."""

    name: str
    reach: Reach
    lift: Lift
    why: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypeRule:
    """Types (shell-like patterns) that a volume's root must not carry.

    `inside` says that a file with such a type inside a volume is left alone as well: a file that was stolen
    by a hard link or a rename, not one that an administrator copies with its label.
    """

    name: str
    lift: Lift
    why: str
    patterns: tuple[str, ...]
    inside: bool = False


ROOT = PlaceRule("root", Reach.ITSELF, Lift.NEVER, "is or contains the host's root directory", ("/",))

PLACES: tuple[PlaceRule, ...] = (
    ROOT,
    PlaceRule(
        "system",
        Reach.TREE,
        Lift.NEVER,
        "belongs to the operating system",
        (
            "/bin",
            "/boot",
            "/dev",
            "/efi",
            "/etc",
            "/lib",
            "/lib32",
            "/lib64",
            "/libx32",
            "/ostree",
            "/proc",
            "/sbin",
            "/sys",
            "/sysroot",
            "/usr",
            "/var/lib/alternatives",
            "/var/lib/authselect",
            "/var/lib/dpkg",
            "/var/lib/rpm",
            "/var/lib/selinux",
            "/var/lib/sss",
            "/var/lib/systemd",
            "/var/log/audit",
            "/var/log/journal",
            "/var/spool/anacron",
            "/var/spool/at",
            "/var/spool/cron",
        ),
    ),
    PlaceRule(
        "credentials",
        Reach.TREE,
        Lift.NEVER,
        "is one of the host's own account or key files",
        (
            "/etc/passwd",
            "/etc/shadow",
            "/etc/shadow-",
            "/etc/group",
            "/etc/gshadow",
            "/etc/gshadow-",
            "/etc/sudoers",
            "/etc/sudoers.d",
            "/etc/security/opasswd",
            "/etc/crypttab",
            "/etc/krb5.keytab",
            "/etc/ssh",
            "/etc/pki",
            "/etc/ssl/private",
            "/etc/machine-id",
        ),
    ),
    PlaceRule(
        "own-state",
        Reach.TREE,
        Lift.NEVER,
        "holds mcsd's own state",
        ("/var/lib/mcsd", "/run/mcsd", "/etc/mcsd"),
    ),
    PlaceRule(
        "engine-storage",
        Reach.TREE,
        Lift.BELOW,
        "is the storage of a container or virtual machine engine",
        (
            "/var/lib/docker",
            "/var/lib/containerd",
            "/var/lib/containers",
            "/var/lib/crio",
            "/var/lib/incus",
            "/var/lib/k0s",
            "/var/lib/kubelet",
            "/var/lib/libvirt",
            "/var/lib/lxc",
            "/var/lib/lxcfs",
            "/var/lib/lxd",
            "/var/lib/machines",
            "/var/lib/portables",
            "/var/lib/rancher",
            "/var/snap",
            "/snap",
        ),
    ),
    PlaceRule(
        "runtime", Reach.TREE, Lift.BELOW, "holds the sockets and state of running services", ("/run",)
    ),
    PlaceRule(
        "explicit",
        Reach.ITSELF,
        Lift.BY_RULE,
        "holds the files of more than one service or person",
        (
            "/home",
            "/media",
            "/mnt",
            "/opt",
            "/root",
            "/srv",
            "/tmp",  # noqa: S108 - named to be refused, not to be written to
            "/var",
            "/var/cache",
            "/var/db",
            "/var/home",
            "/var/lib",
            "/var/local",
            "/var/log",
            "/var/mnt",
            "/var/opt",
            "/var/spool",
            "/var/srv",
            "/var/tmp",  # noqa: S108
        ),
    ),
)

IN_HOMES: tuple[PlaceRule, ...] = (
    PlaceRule(
        "home-keys",
        Reach.TREE,
        Lift.BY_RULE,
        "holds a person's keys",
        (".ssh", ".gnupg", ".pki"),
    ),
    PlaceRule(
        "engine-storage",
        Reach.TREE,
        Lift.BELOW,
        "is the storage of a person's own container engine",
        (".local/share/containers", ".local/share/docker"),
    ),
)
"""Relative to each home directory in passwd."""

HOME = PlaceRule("home", Reach.ITSELF, Lift.BY_RULE, "is or contains somebody's home directory", ())

TYPES: tuple[TypeRule, ...] = (
    TypeRule(
        "secret-type",
        Lift.NEVER,
        "carries a type that guards secrets of the host",
        (
            "shadow_t",
            "passwd_file_t",
            "sshd_key_t",
            "ssh_home_t",
            "gpg_secret_t",
            "krb5_keytab_t",
            "krb5_host_rcache_t",
            # By name, on any policy: types for secrets. There is no attribute for these.
            "*_keytab_t",
            "*_key_t",
            "*_keys_t",
            "*_secret_t",
            "*_secrets_t",
            "*_passwd_t",
            "*_credentials_t",
            "*_ssh_home_t",
            "selinux_config_t",
            "semanage_store_t",
            "default_context_t",
            "file_context_t",
            "policy_config_t",
            "auditd_etc_t",
            "auditd_log_t",
            "security_t",
            "mcsd_var_lib_t",
            "mcsd_etc_t",
        ),
        inside=True,
    ),
    TypeRule(
        "home",
        Lift.BY_RULE,
        "carries the type of home directories",
        ("*_home_dir_t", "home_root_t", "admin_home_t"),
    ),
    TypeRule(
        "system-type",
        Lift.BY_RULE,
        "carries a type that belongs to the operating system",
        (
            "*_exec_t",
            "*_unit_file_t",
            "bin_t",
            "boot_t",
            "cert_t",
            "device_t",
            "etc_t",
            "init_var_run_t",
            "kernel_t",
            "ld_so_cache_t",
            "ld_so_t",
            "lib_t",
            "modules_object_t",
            "proc_t",
            "rpm_var_lib_t",
            "shell_exec_t",
            "sysfs_t",
            "system_conf_t",
            "system_cron_spool_t",
            "system_db_t",
            "systemd_unit_t",
            "textrel_shlib_t",
            "user_cron_spool_t",
            "virt_image_t",
            "svirt_image_t",
        ),
    ),
)

_PSEUDO = """
    autofs binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts devtmpfs efivarfs functionfs
    fusectl
    hugetlbfs mqueue nsfs pipefs proc pstore resctrl rpc_pipefs securityfs selinuxfs smackfs sockfs
    sysfs tracefs
"""
PSEUDO_FILE_SYSTEMS = frozenset(_PSEUDO.split())
"""Kernel interfaces, whose files are not real files."""

_UNLABELLED = """
    9p adfs affs afs cifs coda exfat fat hfs hfsplus iso9660 msdos ncpfs nfs nfs4 ntfs ntfs3 romfs smb3 udf
    umsdos vboxsf vfat virtiofs fuse fuseblk
"""
UNLABELLED_FILE_SYSTEMS = frozenset(_UNLABELLED.split())
"""Cannot store `security.selinux`, or pass it to a host that mcsd does not know."""


LABELLED_NFS = "nfs4"
"""NFS passes labels on from version 4.2 on, if the server exports with `security_label` (exports(5)).

The kernel shows that with `seclabel` among the mount's options (security_sb_show_options)."""


def is_unlabelled(file_system: str, options: Collection[str]) -> bool:
    """Tell whether a file system, by its name and options in mountinfo, is known not to store our labels."""
    if file_system == LABELLED_NFS and "seclabel" in options:
        return False
    return file_system in UNLABELLED_FILE_SYSTEMS or file_system.startswith("fuse.")


@dataclass(frozen=True, slots=True)
class ProtectedPlace:
    """One protected path with its rule."""

    path: str
    rule: PlaceRule


@dataclass(frozen=True, slots=True)
class ProtectionRules:
    """The tables with this host's own places: homes and engines' storage, as absolute paths."""

    homes: tuple[str, ...] = ()
    storage: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    """Directories with mcsd's own files, if not in the table."""
    sockets: tuple[str, ...] = ()
    """Sockets of engines, if not in the table."""

    @classmethod
    def of(
        cls,
        *,
        homes: Iterable[str] = (),
        storage: Iterable[str] = (),
        state: Iterable[str] = (),
        sockets: Iterable[str] = (),
    ) -> ProtectionRules:
        """Build the rules; relative paths, and the root directory as a home, are left out."""
        real = (
            home for home in dict.fromkeys(homes) if home.startswith("/") and PurePosixPath(home).parts[1:]
        )
        unique = [tuple(dict.fromkeys(paths)) for paths in (real, storage, state, sockets)]
        return cls(*unique)

    def places(self) -> tuple[ProtectedPlace, ...]:
        """List every protected place, the strictest rules first."""
        return _places(self)

    def storage_places(self, paths: Iterable[str]) -> tuple[ProtectedPlace, ...]:
        """List places for storage paths that engines report."""
        return tuple(ProtectedPlace(path, _ENGINE_STORAGE) for path in paths if PurePosixPath(path).parts[1:])

    def home_places(self, homes: Iterable[str]) -> tuple[ProtectedPlace, ...]:
        """List places for homes that these rules do not have: of accounts that are not in passwd."""
        real = (home for home in homes if PurePosixPath(home).parts[1:] and home not in self.homes)
        return tuple(place for home in real for place in _in_home(home))


@functools.lru_cache(maxsize=4)
def _places(rules: ProtectionRules) -> tuple[ProtectedPlace, ...]:
    # Cached: they are needed for every volume that is examined.
    by_name = {rule.name: rule for rule in PLACES}
    own = [ProtectedPlace(path, by_name["own-state"]) for path in rules.state]
    storage = [ProtectedPlace(path, by_name["engine-storage"]) for path in rules.storage]
    table = [ProtectedPlace(path, rule) for rule in PLACES for path in rule.paths]
    homes = [place for home in rules.homes for place in _in_home(home)]
    order = {Lift.NEVER: 0, Lift.BELOW: 1, Lift.BY_RULE: 2}
    return tuple(sorted(table + own + storage + homes, key=lambda place: order[place.rule.lift]))


def _in_home(home: str) -> list[ProtectedPlace]:
    inside = [
        ProtectedPlace(str(PurePosixPath(home) / path), rule) for rule in IN_HOMES for path in rule.paths
    ]
    return [*inside, ProtectedPlace(home, HOME)]


_ENGINE_STORAGE = next(rule for rule in PLACES if rule.name == "engine-storage")


def type_of(label: RawLabel) -> str:
    """Return the type in a label, "" if there is none."""
    parts = (label or b"").rstrip(b"\0").decode(errors="surrogateescape").split(":", 3)
    return parts[2] if len(parts) >= 3 else ""


def type_rule_of(label: RawLabel) -> TypeRule | None:
    """Return the rule that protects a label's type."""
    kind = type_of(label)
    return next((rule for rule in TYPES if any(fnmatchcase(kind, one) for one in rule.patterns)), None)


def is_left_alone(label: RawLabel) -> bool:
    """Tell whether an inode found inside a volume keeps this label, whatever the target."""
    rule = type_rule_of(label)
    return rule is not None and rule.inside
