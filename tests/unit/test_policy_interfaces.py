"""The policy's source builds on two policies: it asks unconditionally only for what both have.

An interface is a macro; one that is missing stays in the text as it is and breaks the build, or, within
`ifdef`, silently leaves out what it stood for. Looked up in Debian 13's selinux-policy-dev (refpolicy
2:2.20250213) and in the sources of Fedora's selinux-policy and container-selinux.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

POLICY = Path(__file__).parents[2] / "selinux-policy"


def words(text: str) -> set[str]:
    return set(text.split())


BOTH = words("""
    can_exec corecmd_executable_file corecmd_mmap_bin_files dev_getattr_all_blk_files
    dev_getattr_all_chr_files dev_read_rand dev_read_sysfs dev_read_urand domain_getattr_all_domains
    domain_obj_id_change_exemption domain_read_all_domains_state files_config_file
    files_read_etc_files files_read_usr_files files_search_etc files_search_var_lib files_type
    fs_getattr_all_fs init_dgram_send init_domain init_ranged_domain init_rw_stream_sockets
    init_use_fds kernel_read_kernel_sysctls kernel_read_network_state kernel_read_system_state
    kernel_read_vm_sysctls list_dirs_pattern logging_send_syslog_msg manage_dirs_pattern
    manage_files_pattern manage_sock_files_pattern mcs_constrained miscfiles_read_generic_certs
    miscfiles_read_localization read_files_pattern read_lnk_files_pattern
    selinux_compute_access_vector selinux_get_enforce_mode selinux_getattr_fs
    selinux_set_generic_booleans selinux_validate_context seutil_read_config
    seutil_read_default_contexts seutil_read_file_contexts sssd_dontaudit_search_lib
    stream_connect_pattern
""")
REFERENCE = words("""
    container_stream_connect_system_engine files_runtime_file files_search_runtime init_unit_file
    kernel_read_vm_overcommit_sysctl selinux_get_all_booleans selinux_use_status_page
    systemd_write_notify_socket
""")
FEDORA = words("""
    container_stream_connect files_pid_file files_search_pids init_nnp_daemon_domain init_use_notify
    kernel_read_vm_overcommit_sysctls sssd_dontaudit_read_public_files sssd_dontaudit_stream_connect
    systemd_unit_file
""")
LANGUAGE = {"policy_module", "optional_policy", "gen_require", "ifdef", "define", "interface", "gen_context"}
OWN = {"mcsd_protect", "mcsd_stream_connect", "mcsd_gate_stream_connect", "mcsd_read_config"}
SWITCHES = {"enable_mcs"}


def source(name: str) -> str:
    text = (POLICY / name).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def calls(text: str) -> set[str]:
    return set(re.findall(r"^\s*([a-z_]+)\(", text, re.MULTILINE)) - LANGUAGE - OWN


def quoted(text: str, at: int) -> tuple[str, int]:
    """Give what stands between the quotes that open at `at`, and where it goes on."""
    depth, place = 1, at + 1
    while depth:
        depth += {"`": 1, "'": -1}.get(text[place], 0)
        place += 1
    return text[at + 1 : place - 1], place


def conditions(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Give the outermost ifdefs: where each begins and ends, and its arguments."""
    end = 0
    for found in re.finditer(r"\bifdef\(", text):
        if found.start() < end:
            continue
        arguments, end = [], found.end()
        while text[end] != ")":
            if text[end] == "`":
                argument, end = quoted(text, end)
                arguments.append(argument)
            else:
                end += 1
        yield found.start(), end, arguments


def check(text: str, known: set[str]) -> None:
    rest, end = "", 0
    for start, after, (switch, yes, *no) in conditions(text):
        rest, end = rest + text[end:start], after
        assert switch in REFERENCE | FEDORA | SWITCHES, f"ifdef of {switch!r}, which neither policy has"
        ours, theirs = (REFERENCE, FEDORA) if switch in REFERENCE else (FEDORA, REFERENCE)
        if switch in SWITCHES:
            check(yes, known)
            continue
        check(yes, known | ours)
        for branch in no:
            check(branch, known | theirs)
    assert calls(rest + text[end:]) <= known


def test_nothing_is_asked_for_that_one_policy_lacks() -> None:
    for name in ("mcsd.te", "mcsd.if"):
        check(source(name), BOTH)


def test_the_tables_hold_nothing_else() -> None:
    used = set()
    for name in ("mcsd.te", "mcsd.if"):
        used |= calls(source(name))
    assert used == BOTH | REFERENCE | FEDORA
    assert not BOTH & REFERENCE and not BOTH & FEDORA and not REFERENCE & FEDORA
