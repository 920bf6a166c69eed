"""The manual says what the programs do: options, keys, kinds and commands are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from mcsd.adapters.systemd.journal_entry import entry_of
from mcsd.cli.arguments import make_parser, parse, subcommands
from mcsd.cli.errors import Exit
from mcsd.config import Config, DefaultMode, EngineTable, StorageTable, VolumeRule, validate
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import ClaimMode
from tests.vm.documented import documented

PAGES = sorted((Path(__file__).resolve().parents[2] / "packaging/man").glob("*.rst"))
MANUAL = {page.name.removesuffix(".rst"): page.read_text(encoding="utf-8") for page in PAGES}


PROGRAMS = {
    *("mcsctl", "docker", "journalctl", "systemctl", "curl", "make", "cat", "mount", "mv"),
    *("setenforce", "semodule", "semanage", "seinfo", "sesearch", "ausearch", "restorecon", "ps", "ls"),
}
"""What examples call; a word that is not here is a line that was taken for a command."""


def built(page: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "docutils", "--writer=manpage", "--report=1", "--halt=5", str(page)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_pages_are_those_that_are_promised() -> None:
    assert {"mcsd.8", "mcsctl.1", "mcsd.toml.5", "mcsd_selinux.8"} <= set(MANUAL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_built_and_shown_without_a_warning(page: Path) -> None:
    text = built(page)
    name, _, section = page.name.removesuffix(".rst").rpartition(".")
    assert re.search(rf'^\.TH "?{re.escape(name.upper())}"? "?{section}"?', text, re.M | re.I), text[:2000]
    if shutil.which("groff"):
        shown = subprocess.run(
            ["groff", "-t", "-man", "-Tutf8", "-ww", "-z"], input=text, capture_output=True, text=True
        )
        assert shown.stderr == ""


def test_pages_name_only_pages_that_there_are() -> None:
    for name, text in MANUAL.items():
        for page, section in re.findall(r"\*\*(mcs[\w.-]+)\*\*\\\((\d)\)", text):
            assert f"{page}.{section}" in MANUAL, (name, page)


# --- options -------------------------------------------------------------------------------------------


def defined_options(text: str) -> set[str]:
    """Options that a page has an entry for."""
    entries = re.findall(r"^(\*\*-[^\n]*)\n    \S", text, re.M)
    return {option for entry in entries for option in re.findall(r"\*\*(--?[a-z][a-z-]*)\*\*", entry)}


def test_mcsctls_options_and_commands_are_the_parsers() -> None:
    parser = make_parser()
    commands = subcommands(parser)
    options = {
        option for one in (parser, *commands.values()) for a in one._actions for option in a.option_strings
    }
    page = MANUAL["mcsctl.1"]
    assert defined_options(page) == options
    assert set(re.findall(r"^\*\*([a-z]+)\*\*.*\n    \S", page, re.M)) == set(commands)


def test_mcsctls_choices_are_in_the_manual() -> None:
    page = MANUAL["mcsctl.1"]
    for command in subcommands(make_parser()).values():
        for action in command._actions:
            for choice in action.choices or ():
                assert isinstance(choice, int) or f"*{choice}*" in page, (command.prog, choice)


def test_the_exit_statuses_are_those_of_the_code() -> None:
    table = re.findall(r"^(\d+) +[*\w]", MANUAL["mcsctl.1"], re.M)
    assert [int(status) for status in table] == [status.value for status in Exit]


def test_mcsds_options_are_the_programs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcsd", "--help"], capture_output=True, text=True, check=True
    )
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)(?= |,|$|\])", done.stdout, re.M))
    assert defined_options(MANUAL["mcsd.8"]) == options


# --- configuration -------------------------------------------------------------------------------------


def documented_keys() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for heading, body in re.findall(
        r"^\[+([a-z.]+)\]+\n=+\n(.*?)(?=^\S[^\n]*\n===|\Z)", MANUAL["mcsd.toml.5"], re.M | re.S
    ):
        found[heading] = set(re.findall(r"^\*\*([a-z_]+)\*\*\n    ", body, re.M))
    return found


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Config.model_fields.items():
        if name != "engine":
            assert isinstance(field.annotation, type)
            yield name, field.annotation
    yield "volumes.rule", VolumeRule
    yield "fleet.storage", StorageTable
    yield "engine", EngineTable


def test_the_configurations_keys_are_the_models() -> None:
    models = {name: set(table.model_fields) - {"rule", "storage"} for name, table in tables()}
    assert documented_keys() == models


def values_of(annotation: Any) -> Iterator[str]:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, StrEnum):
            yield from part


def test_the_values_that_keys_may_have_are_in_the_manual() -> None:
    page = MANUAL["mcsd.toml.5"]
    for name, table in tables():
        for field in table.model_fields.values():
            for value in values_of(field.annotation):
                assert f'"{value}"' in page, (name, value)


def test_the_defaults_are_in_the_manual_as_they_are() -> None:
    """Each default that the page names, read as TOML, is the model's."""
    page = MANUAL["mcsd.toml.5"]
    for name, table in tables():
        section = page.partition(f"\n[{name}]\n")[2].partition("\n===")[2].partition("\n===")[0]
        for key, field in table.model_fields.items():
            entry = re.search(rf"^\*\*{key}\*\*\n((?:    .*\n|\n)+)", section, re.M)
            stated = entry and re.search(r"Default: ``(.+?)``\.", entry[1], re.S)
            if stated:
                configured = validate(tomllib.loads(f"[{name}]\n{key} = {stated[1]}"), source="manual")
                assert getattr(getattr(configured, name), key) == field.default, (name, key)


def literal_blocks(text: str) -> Iterator[str]:
    """Return what follows each `::`, as deep as its first line and deeper."""
    for after in text.split("::\n\n")[1:]:
        depth = len(after) - len(after.lstrip(" "))
        lines = after.splitlines()
        end = (n for n, line in enumerate(lines) if line and len(line) - len(line.lstrip(" ")) < depth)
        yield "\n".join(lines[: next(end, len(lines))]) + "\n"


@pytest.mark.parametrize("name", MANUAL)
def test_examples_of_configuration_are_valid(name: str) -> None:
    for block in literal_blocks(MANUAL[name]):
        plain = re.sub(r"^ +", "", block, flags=re.M)
        if re.match(r"\[", plain):
            validate(tomllib.loads(plain), source=name)
        if plain.startswith("{"):
            json.loads(plain)


def test_the_shipped_configuration_is_valid_and_shows_every_key() -> None:
    shipped = (PAGES[0].parents[1] / "mcsd.toml").read_text(encoding="utf-8")
    assert validate(tomllib.loads(shipped), source="mcsd.toml") == Config()
    keys = set(re.findall(r"^#?([a-z_]+) =", shipped, re.M))
    wanted = {key for _, table in tables() for key in table.model_fields} - {"rule", "storage"}
    assert wanted <= keys


# --- commands ------------------------------------------------------------------------------------------


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Every call of a program in the manual's and the README's examples."""
    for page, command in documented(PAGES[0].parents[2]):
        for call in re.findall(rf"(?:^|\$\(|&& ){program} ([^)&|]*)", command):
            yield page, shlex.split(call)


def test_examples_name_every_page_and_no_configuration_as_a_command() -> None:
    """What `tests/vm/scripts/manual.sh` runs in the guest is found by the same reader."""
    found = list(documented(PAGES[0].parents[2]))
    assert {page for page, _ in found} == {"README", *MANUAL} - {
        "mcsd.toml.5",
        "mcsd-security.7",
        "mcsd-audit.7",
        "mcsd-why.7",
        "mcsd-fleet.8",  # etcd is not in the guest; tests/contracts and tests/host type its commands
    }
    assert {command.split()[0] for _, command in found} == PROGRAMS


def test_every_call_of_mcsctl_is_understood() -> None:
    calls = list(commands("mcsctl"))
    assert len(calls) > 20
    for name, arguments in calls:
        assert parse(arguments).command, (name, arguments)


def journal_fields() -> set[str]:
    found = set()
    for kind in Kind:
        gaps = dict.fromkeys(re.findall(r"{(\w+)}", kind.value.template), "")
        found |= set(entry_of(Notice(kind, gaps, container="0")))
    return found | {"MCSD_RULE"}  # beside the sentence: tests/unit/test_figures.py sees it told


def test_the_journals_cookbook_names_kinds_and_fields_that_there_are() -> None:
    kinds = {kind.name.lower().replace("_", "-") for kind in Kind}
    fields = journal_fields()
    for name, arguments in commands("journalctl"):
        for argument in arguments:
            if match := re.match(r"(?:--output-fields=)?(MCSD_[A-Z_]+)(?:=(.*))?", argument):
                assert match[1] in fields, (name, argument)
                assert match[1] != "MCSD_KIND" or match[2] in kinds, (name, argument)


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="there is no journalctl")
def test_journalctl_takes_the_cookbook(tmp_path: Path) -> None:
    for name, arguments in commands("journalctl"):
        done = subprocess.run(
            ["journalctl", f"--directory={tmp_path}", "--no-pager", "-q", *arguments],
            capture_output=True,
            text=True,
        )
        complaints = [line for line in done.stderr.splitlines() if "journal" not in line.lower()]
        assert not complaints, (name, arguments)


def test_every_kind_of_message_is_in_the_manual() -> None:
    section = MANUAL["mcsd.8"].partition("\nKinds\n")[2].partition("\n===")[0]
    named = set(re.findall(r"\*([a-z-]+)\*", section))
    assert named == {kind.name.lower().replace("_", "-") for kind in Kind}


def test_the_modes_of_the_label_are_those_of_claims() -> None:
    for mode in ClaimMode:
        assert f"*{mode}*" in MANUAL["mcsd.8"]
    for default in DefaultMode:
        assert f'"{default}"' in MANUAL["mcsd.toml.5"]
