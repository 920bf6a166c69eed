#!/usr/bin/python3
"""What mcsd's domain may and may not, asked of a compiled policy: `policy_assertions.py [POLICY]`.

Reads the running kernel's policy where none is named. Rules under booleans count as granted, whichever way
the boolean stands. Speaks TAP. Works with the reference policy and with Fedora's.
"""

from __future__ import annotations

import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import setools


def words(text: str) -> list[str]:
    return text.split()


DOMAIN = "mcsd_t"
TREE = ("file", "dir", "lnk_file", "fifo_file", "sock_file", "chr_file", "blk_file")
DEVICES = ("chr_file", "blk_file")
RELABEL = {"relabelfrom", "relabelto"}
CHANGE = {
    "write", "append", "create", "unlink", "rename", "link", "setattr", "add_name", "remove_name", "rmdir",
    "reparent", "mounton", "execmod", "quotaon",
}  # fmt: skip

OWN = {"mcsd_var_lib_t", "mcsd_runtime_t", "mcsd_gate_runtime_t"}
NEVER = words("""
    shadow_t passwd_file_t etc_t etc_runtime_t net_conf_t system_conf_t system_db_t bin_t shell_exec_t lib_t
    ld_so_t ld_so_cache_t textrel_shlib_t modules_object_t boot_t system_map_t sshd_key_t ssh_home_t
    gpg_secret_t cert_t tls_privkey_t dnssec_t ipsec_key_file_t krb5_keytab_t selinux_config_t
    semanage_store_t policy_config_t policy_src_t default_context_t file_context_t auditd_etc_t auditd_log_t
    systemd_journal_t
    system_cron_spool_t user_cron_spool_t rpm_var_lib_t dpkg_var_lib_t init_var_lib_t device_t virt_image_t
    systemd_unit_t systemd_unit_file_t mcsd_t mcsd_exec_t mcsd_etc_t mcsd_var_lib_t mcsd_runtime_t
    mcsd_gate_exec_t mcsd_gate_runtime_t mcsd_unit_t security_t proc_t sysfs_t
""")
NEVER_WITH = words("""
    exec_type configfile cert_type systemdunit systemd_unit_file_type security_file_type auth_file_type
    boolean_type proc_type sysctl_type
""")
ORDINARY = words("""
    container_file_t container_ro_file_t container_var_lib_t var_t var_lib_t var_log_t default_t usr_t tmp_t
    mnt_t user_home_t user_home_dir_t home_root_t user_tmp_t tmpfs_t unlabeled_t admin_home_t
    httpd_sys_content_t postgresql_db_t mysqld_db_t
""")
SECRET = words("""
    shadow_t sshd_key_t ssh_home_t gpg_secret_t tls_privkey_t krb5_keytab_t auditd_log_t semanage_store_t
""")
# How policies name what guards something; neither has an attribute for it.
SENSITIVE = re.compile(
    "(?<!joc)(?<!mon)key|secret|passw|cred|priv(?!oxy)|auth|shadow|cert|token|gpg|ssl|tls|luks|crypt|krb"
    "|ssh(?!_r)|(?<!s)pam|sudo|login|unit_file"
)
STAYS = {
    "*_log_t": "logs are what log shippers get; the audit trail and the journal are apart",
    "*_lock_t": "an empty file",
    "*_tmp_t": "lies in /tmp for as long as its program runs; agents' sockets are apart",
    "*_tmpfs_t": "shared memory of a program that runs",
    "*_runtime_t": "/run is a protected place; what asks for passwords there is apart",
    "*_var_run_t": "the same, by Fedora's name",
    "*_sessions_t": "the same: who is logged in",
    "*_content_t": "what a web server shows",
    "*_htaccess_t": "the same",
    "local_login_home_t": "~/.hushlogin",
    "shadow_lock_t": "an empty file",
    "systemd_logind_var_lib_t": "whose services go on after he has left",
}
"""Types with such a name that may be relabelled all the same, and why that does no harm."""
SOCKETS_OF_ITS_OWN = {
    "unix_stream_socket", "unix_dgram_socket", "netlink_selinux_socket", "netlink_route_socket",
}  # fmt: skip
# SSSD says where the homes of accounts are that no local file lists.
TALKS_TO = {"mcsd_t", "mcsd_fleet_t", "syslogd_t", "init_t", "kernel_t", "sssd_t"}
# The engines' sockets (var_run_t: what systemd makes for Podman), the journal's, systemd's, SSSD's, its own.
KNOCKS_AT = words("""
    container_runtime_t container_var_run_t container_runtime_tmpfs_t var_run_t devlog_t syslogd_runtime_t
    syslogd_var_run_t init_runtime_t init_var_run_t systemd_runtime_notify_t mcsd_runtime_t
    mcsd_gate_runtime_t sssd_var_lib_t
""")


class Policy:
    """A compiled policy and what one domain is granted in it."""

    def __init__(self, path: str | None) -> None:
        self.policy = setools.SELinuxPolicy(path) if path else setools.SELinuxPolicy()
        self.rules: dict[str, list[tuple[str, str, set[str]]]] = {}
        self.types = {str(one): one for one in self.policy.types()}
        self.names = {str(alias): name for name, one in self.types.items() for alias in one.aliases()}

    def has(self, name: str) -> bool:
        return name in self.types or name in self.names

    def canonical(self, name: str) -> str:
        return self.names.get(name, name)

    def of(self, attribute: str) -> set[str]:
        try:
            return {str(one) for one in self.policy.lookup_typeattr(attribute).expand()}
        except setools.exception.InvalidType:
            return set()

    def attributes(self, name: str) -> set[str]:
        return {str(one) for one in self.types[self.canonical(name)].attributes()}

    def look_at(self, *sources: str) -> None:
        """Collect the rules of these types, in one pass over a hundred thousand."""
        by_name: dict[str, list[str]] = {}
        for source in sources:
            names = {source, *self.attributes(source)}
            if source == DOMAIN:
                # what a policy gives to everybody, or to every service, is no doing of mcsd's
                names -= {"domain", "init_domain_type"}
            for name in names:
                by_name.setdefault(name, []).append(source)
            self.rules[source] = []
        for rule in self.policy.terules():
            holders = by_name.get(str(rule.source))
            if not holders or rule.ruletype != setools.TERuletype.allow:
                continue
            perms, tclass = {str(one) for one in rule.perms}, str(rule.tclass)
            targets = rule.target.expand() if hasattr(rule.target, "expand") else [rule.target]
            for target in map(str, targets):
                for source in holders:
                    self.rules[source].append((source if target == "self" else target, tclass, perms))

    def grants(
        self, source: str = DOMAIN, classes: Iterable[str] = ()
    ) -> Iterator[tuple[str, str, set[str]]]:
        """Return (target type, class, permissions) for every rule that reaches the source."""
        wanted = set(classes)
        return (rule for rule in self.rules[source] if not wanted or rule[1] in wanted)

    @property
    def engine(self) -> str:
        """The domain that Docker runs in. Fedora's name for it is a type of files elsewhere."""
        names = (name for name in ("dockerd_t", "container_runtime_t") if self.has(name))
        return next(name for name in names if "domain" in self.attributes(name))

    def granted(self, source: str, target: str, tclass: str) -> set[str]:
        target = self.canonical(target)
        found: set[str] = set()
        for its_target, _, perms in self.grants(source, [tclass]):
            if its_target == target:
                found |= perms
        return found

    def mounted_on(self, source: str) -> dict[str, set[str]]:
        """Return, for each class, the types that the source may mount on."""
        names = {source, *self.attributes(source)}
        found: dict[str, set[str]] = {}
        for rule in self.policy.terules():
            if str(rule.source) not in names or rule.ruletype != setools.TERuletype.allow:
                continue
            if "mounton" in {str(one) for one in rule.perms}:
                targets = rule.target.expand() if hasattr(rule.target, "expand") else [rule.target]
                found.setdefault(str(rule.tclass), set()).update(map(str, targets))
        return found


class Tap:
    """Claims, one line each."""

    def __init__(self) -> None:
        self.count = self.failed = 0

    def claim(self, sentence: str, wrong: Iterable[object]) -> None:
        self.count += 1
        shown = sorted({str(one) for one in wrong})
        for one in shown[:20]:
            print(f"# {one}")
        self.failed += bool(shown)
        print(f"{'not ok' if shown else 'ok'} {self.count} - {sentence}", flush=True)

    def done(self) -> int:
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def labels(policy: Policy, tap: Tap) -> None:
    reach: dict[str, set[str]] = {"relabelfrom": set(), "relabelto": set()}
    devices = set()
    for target, tclass, perms in policy.grants(classes=TREE):
        for perm in perms & RELABEL:
            reach[perm].add(target)
            if tclass in DEVICES:
                devices.add(f"{target}:{tclass} {perm}")
    both = reach["relabelfrom"] | reach["relabelto"]
    never = {policy.canonical(name) for name in NEVER if policy.has(name)}
    for attribute in NEVER_WITH:
        never |= policy.of(attribute)
    kept = {policy.canonical(name) for name in ORDINARY if policy.has(name)}
    tap.claim(
        "relabels no type of accounts, keys, programs, libraries, policy or audit trail",
        (both & never) - kept,
    )
    tap.claim("relabels no domain, though it be a type of files", both & policy.of("domain"))
    tap.claim(
        "relabels nothing that the policy's own names call a secret, but for what the table says",
        {
            name
            for name in both
            if SENSITIVE.search(name) and not any(fnmatch.fnmatchcase(name, one) for one in STAYS)
        },
    )
    tap.claim(
        "relabels what ordinary volumes carry, from and to",
        kept - (reach["relabelfrom"] & reach["relabelto"]),
    )
    tap.claim("can put back whatever it takes away", reach["relabelfrom"] ^ reach["relabelto"])
    tap.claim("relabels no device node", devices)
    tap.claim("relabels nothing but files", {
        f"{target}:{tclass}" for target, tclass, perms in policy.grants()
        if perms & RELABEL and tclass not in TREE and target != DOMAIN
    })  # fmt: skip


def contents(policy: Policy, tap: Tap) -> None:
    allowed = {DOMAIN, *OWN, "init_t", "security_t", *policy.of("boolean_type")}  # init's: inherited pipes
    changed, read = set(), set()
    for target, tclass, perms in policy.grants(classes=TREE):
        if perms & CHANGE and target not in allowed and tclass not in {"sock_file", *DEVICES}:
            changed.add(f"{target}:{tclass} {' '.join(sorted(perms & CHANGE))}")
        if tclass == "file" and "read" in perms:
            read.add(target)
    tap.claim("changes no file outside its own state", changed)
    secret = {name for name in map(policy.canonical, SECRET) if policy.has(name)}
    volumes = {name for name in map(policy.canonical, ORDINARY) if policy.has(name)} - {"usr_t"}
    tap.claim("reads no file of a volume, and no secret", read & (secret | volumes))


def programs(policy: Policy, tap: Tap) -> None:
    runs, becomes, interferes = set(), set(), set()
    daemons = {"systemd_notify_exec_t", "prelink_exec_t"}
    for target, tclass, perms in policy.grants(classes=["file", "process", "process2"]):
        if tclass == "file" and "execute_no_trans" in perms and target not in daemons:
            runs.add(target)
        if target == "shell_exec_t" and perms & {"execute", "execute_no_trans"}:
            runs.add(target)
        if tclass == "process" and target != DOMAIN:
            if perms & {"transition", "dyntransition"}:
                becomes.add(target)
            if perms & {"ptrace", "sigkill", "sigstop", "signal", "setcap", "setsched", "setrlimit"}:
                interferes.add(f"{target} {' '.join(sorted(perms))}")
    tap.claim("runs no other program, and no shell", runs)
    tap.claim("becomes no other domain", becomes)
    tap.claim("neither signals nor traces anybody", interferes)
    writable = {"execmem", "execstack", "execheap"} & policy.granted(DOMAIN, DOMAIN, "process")
    tap.claim("has no memory that is writable and executable", writable)
    entries = {t for t, c, perms in policy.grants(classes=["file"]) if "entrypoint" in perms} - {
        "mcsd_exec_t"
    }
    tap.claim("is entered through its own program only", entries)


def kernel(policy: Policy, tap: Tap) -> None:
    security: set[str] = set()
    for _, _, perms in policy.grants(classes=["security"]):
        security |= perms
    # compute_create: asking which label a policy gives to new files, to know whose new files must be watched.
    harmless = {"check_context", "compute_av", "compute_create", "setbool", "read_policy", "validate_trans"}
    tap.claim(
        "asks the kernel and sets booleans, but loads no policy and changes no mode", security - harmless
    )
    tap.claim("may set booleans", {"setbool"} - security)
    held: set[str] = set()
    for _, _, perms in policy.grants(classes=["capability", "capability2", "cap_userns", "cap2_userns"]):
        held |= perms
    tap.claim("has two capabilities", held - {"dac_read_search", "fowner"})
    tap.claim("loads no module", {"module_load"} & policy.granted(DOMAIN, DOMAIN, "system"))


def sockets(policy: Policy, tap: Tap) -> None:
    classes = [
        str(one) for one in policy.policy.classes() if "socket" in str(one) and str(one) != "sock_file"
    ]
    created, reached = set(), set()
    engines = policy.of("container_engine_domain") | policy.of("container_runtime_domain")
    for target, tclass, perms in policy.grants(classes=classes):
        if target == DOMAIN and perms & {"create", "bind", "connect"} and tclass not in SOCKETS_OF_ITS_OWN:
            created.add(f"{tclass} {' '.join(sorted(perms & {'create', 'bind', 'connect'}))}")
        if perms & {"connectto", "sendto"} and target not in TALKS_TO | engines:
            reached.add(f"{target}:{tclass}")
        if perms & {"name_connect", "name_bind", "node_bind"}:
            created.add(f"{target}:{tclass}")
    tap.claim("opens Unix and netlink sockets only", created)
    tap.claim("connects to engines, mcsd-fleet, the journal, systemd and SSSD, and to nobody else", reached)
    knocked = {
        target for target, _, perms in policy.grants(classes=["sock_file"]) if perms & {"write", "append"}
    }
    tap.claim("opens no socket's file but theirs", knocked - {policy.canonical(name) for name in KNOCKS_AT})
    engine = policy.engine
    tap.claim("connects to the engine", {"connectto"} - policy.granted(DOMAIN, engine, "unix_stream_socket"))
    runs = policy.granted(engine, "mcsd_gate_exec_t", "file")
    tap.claim("has the engine run the gate in its own domain", {"execute", "execute_no_trans"} - runs)
    tap.claim("lets the engine ask at the gate's socket",
              ({"write"} - policy.granted(engine, "mcsd_gate_runtime_t", "sock_file"))
              | ({"connectto"} - policy.granted(engine, DOMAIN, "unix_stream_socket")))  # fmt: skip
    tap.claim("lets no container near its sockets and its state", {
        f"{target}:{tclass}" for target, tclass, perms in policy.grants("container_t")
        if (target in OWN and tclass != "dir" and perms - {"getattr", "map"})
        or (target in OWN and tclass == "dir" and perms & CHANGE)
        or (target == DOMAIN and perms & {"connectto", "ptrace", "signal"})
    })  # fmt: skip


def mounts(policy: Policy, tap: Tap) -> None:
    facts = tomllib.loads((Path(__file__).parent.parent / "policies/mounts.toml").read_text(encoding="utf-8"))
    known = {
        name: {one for one in facts[name]["forbidden"] if policy.has(one)} for name in ("refpolicy", "fedora")
    }
    given = policy.mounted_on("init_t")
    files = policy.of("file_type")
    denied = files - (given.get("dir", set()) & given.get("file", set()))
    tap.claim("systemd may mount where the table of facts says, and nowhere else",
              () if denied in known.values() else denied)  # fmt: skip
    which = ("refpolicy", "fedora").index("fedora" if policy.engine == "container_runtime_t" else "refpolicy")
    wrong = {
        f"{path}: no {found[which]}" for path, found in facts["types"].items() if not policy.has(found[which])
    }
    tap.claim("it has the types that the table says paths have", wrong)


def standing(policy: Policy, tap: Tap) -> None:
    attributes = policy.attributes(DOMAIN)
    tap.claim("is confined: no attribute makes it more", {one for one in attributes if "unconfined" in one})
    tap.claim("is not permissive", {DOMAIN} if policy.types[DOMAIN].ispermissive else set())
    tap.claim("is constrained by categories", {"mcs_constrained_type"} - attributes)
    ranges = {
        str(rule.default) for rule in policy.policy.mlsrules()
        if str(rule.source) == "init_t" and str(rule.target) == "mcsd_exec_t"
    }  # fmt: skip
    tap.claim("may write every category: its clearance is the highest level", {"s0 - s0:c0.c1023"} ^ ranges)
    tap.claim("knows svirt_sandbox_file_t",
              {"svirt_sandbox_file_t"} - ({*policy.names, *policy.types}))  # fmt: skip


def main() -> int:
    policy, tap = Policy(sys.argv[1] if len(sys.argv) > 1 else None), Tap()
    if not policy.has(DOMAIN):
        print(f"Bail out! the policy has no {DOMAIN}: load selinux-policy/mcsd.pp first")
        return 1
    policy.look_at(DOMAIN, policy.engine, "container_t")
    for part in (labels, contents, programs, kernel, sockets, mounts, standing):
        part(policy, tap)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
