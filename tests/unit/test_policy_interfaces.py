"""The policy's source builds on two policies: it asks unconditionally only for what both have.

An interface is a macro; one that is missing stays in the text as it is and breaks the build, or, within
`ifdef`, leaves out what it stood for. So `mcsd_needs` asks for each first, and ends the build where neither
policy's name for it is there. Looked up in Debian 13's selinux-policy-dev (refpolicy 2:2.20250213) and in the
sources of Fedora's selinux-policy and container-selinux.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

POLICY = Path(__file__).parents[2] / "selinux-policy"


def words(text: str) -> set[str]:
    return set(text.split())


BOTH = words("""
    can_exec corecmd_executable_file corecmd_mmap_bin_files corenet_tcp_connect_all_ports
    dev_getattr_all_blk_files
    dev_getattr_all_chr_files dev_read_rand dev_read_sysfs dev_read_urand domain_entry_file
    domain_getattr_all_domains domtrans_pattern
    domain_obj_id_change_exemption domain_read_all_domains_state files_config_file
    files_read_config_files files_read_etc_files files_read_usr_files files_search_etc files_search_var_lib
    files_type fs_getattr_all_fs init_dgram_send init_domain init_ranged_domain init_rw_stream_sockets
    init_use_fds kernel_read_kernel_sysctls kernel_read_network_state kernel_read_system_state
    kernel_read_vm_sysctls list_dirs_pattern logging_send_syslog_msg manage_dirs_pattern
    manage_files_pattern manage_sock_files_pattern mcs_constrained miscfiles_read_generic_certs
    miscfiles_read_localization read_files_pattern read_lnk_files_pattern
    selinux_compute_access_vector selinux_compute_create_context selinux_get_enforce_mode selinux_getattr_fs
    selinux_set_generic_booleans selinux_validate_context seutil_read_config
    seutil_read_default_contexts seutil_read_file_contexts sssd_read_public_files
    sssd_stream_connect stream_connect_pattern sysnet_dns_name_resolve
""")
REFERENCE = words("""
    container_stream_connect_system_engine files_runtime_file files_search_runtime init_unit_file
    kernel_read_vm_overcommit_sysctl selinux_get_all_booleans selinux_use_status_page
    systemd_write_notify_socket
""")
FEDORA = words("""
    container_stream_connect files_pid_file files_search_pids init_nnp_daemon_domain init_use_notify
    kernel_read_vm_overcommit_sysctls systemd_unit_file
""")
LATER = words("systemd_write_notify_socket container_stream_connect_system_engine")
"""What the reference policy has had since 2023; without it the rules are there under another name."""
MARKS = {"container_system_engine": "container_stream_connect_system_engine"}
"""Interfaces that tell the policies apart and are not called, and what is called where they are."""
LANGUAGE = {"policy_module", "optional_policy", "gen_require", "ifdef", "define", "interface", "gen_context"}
LANGUAGE |= {"errprint"}
OWN = {
    "mcsd_protect",
    "mcsd_stream_connect",
    "mcsd_gate_stream_connect",
    "mcsd_read_config",
    "mcsd_needs",
    "mcsd_reads",
}
SWITCHES = {"enable_mcs", "mcsd_without_containers"}


def source(name: str) -> str:
    text = (POLICY / name).read_text(encoding="utf-8")
    # What `mcsd_needs` is made of is no rule.
    text = re.sub(r"(?s)^define\(`mcsd_needs'.*?\n(?=\nmcsd_needs\()", "", text, flags=re.MULTILINE)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def calls(text: str) -> set[str]:
    return set(re.findall(r"^\s*([a-z_]+)\(", text, re.MULTILINE)) - LANGUAGE - OWN


def quoted(text: str, at: int) -> tuple[str, int]:
    """Return what stands between the quotes that open at `at`, and where it goes on."""
    depth, place = 1, at + 1
    while depth:
        depth += {"`": 1, "'": -1}.get(text[place], 0)
        place += 1
    return text[at + 1 : place - 1], place


def conditions(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Return the outermost ifdefs: where each begins and ends, and its arguments."""
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
        assert switch in REFERENCE | FEDORA | SWITCHES | MARKS.keys(), f"ifdef of {switch!r}: who has it?"
        ours, theirs = (REFERENCE, FEDORA) if switch in REFERENCE | MARKS.keys() else (FEDORA, REFERENCE)
        if switch in SWITCHES:
            for branch in (yes, *no):
                check(branch, known)
            continue
        check(yes, known | ours)
        for branch in no:
            check(branch, known | theirs)
    assert calls(rest + text[end:]) <= known


def needs() -> set[tuple[str, str]]:
    return set(re.findall(r"^\s*mcsd_needs\(`(\w+)',`(\w+)',", source("mcsd.te"), re.MULTILINE))


def switches() -> set[str]:
    """Return every name that an ifdef asks for, at any depth."""
    return {name for file in ("mcsd.te", "mcsd.if") for name in re.findall(r"ifdef\(`(\w+)'", source(file))}


def test_no_rule_is_left_out_without_a_word() -> None:
    """Promise 9: a build that lacks an interface fails; what an ifdef asks for has been asked for before."""
    asked = {name for pair in needs() for name in pair}
    assert switches() - SWITCHES - LATER <= asked
    assert calls(source("mcsd.te")) & (REFERENCE | FEDORA) - LATER <= asked


def test_each_need_is_met_by_either_policy() -> None:
    assert needs()
    for reference, fedora in needs():
        assert reference in REFERENCE | MARKS.keys() and fedora in FEDORA


def test_nothing_is_asked_for_that_one_policy_lacks() -> None:
    for name in ("mcsd.te", "mcsd.if"):
        check(source(name), BOTH)


def test_the_tables_hold_nothing_else() -> None:
    used = set()
    for name in ("mcsd.te", "mcsd.if"):
        used |= calls(source(name))
    assert used == BOTH | REFERENCE | FEDORA
    assert not BOTH & REFERENCE and not BOTH & FEDORA and not REFERENCE & FEDORA
