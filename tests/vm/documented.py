"""The commands that README.md and the manual's examples tell people to type, in the order of the pages.

    python3 documented.py TREE    prints them: page, TAB, command

Standard library only: it runs in the guest as well. An example's prompt (`# `, `$ `) is not part of the
command; a line that ends in a backslash goes on; blocks of configuration, of data and of output are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NOT_COMMANDS = re.compile(r"[\[{]|services:|/[^ ]+ +[a-z]|[A-Z]|[a-z_]+ = ")
"""How blocks begin that are no commands: TOML, JSON, compose files, tables, sentences, keys."""


class Documented(NamedTuple):
    """One command, and the page that has it."""

    page: str
    command: str


def _blocks(text: str) -> Iterator[list[str]]:
    """Return the literal blocks of reStructuredText, without their indentation."""
    for after in re.split(r"::\n\n", text)[1:]:
        depth = len(after) - len(after.lstrip(" "))
        if not depth:
            continue
        block = []
        for line in after.splitlines():
            if line.strip() and len(line) - len(line.lstrip(" ")) < depth:
                break
            block.append(line[depth:])
        yield block


def _consoles(text: str) -> Iterator[list[str]]:
    """Return the console blocks of Markdown: the lines behind a prompt."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        yield [line[2:] for line in block.splitlines() if line.startswith(("# ", "$ "))]


def _commands(block: list[str]) -> Iterator[str]:
    text = "\n".join(block).replace("\\\n", "")
    if not text.strip() or _NOT_COMMANDS.match(text.lstrip()):
        return
    for line in text.splitlines():
        command = re.sub(r"\s+# .*$", "", line).strip()
        if command:
            yield re.sub(r" {2,}", " ", command)


def documented(tree: Path) -> Iterator[Documented]:
    """Return every command of every page, the recipes first."""
    pages = sorted(
        (tree / "packaging/man").glob("*.rst"), key=lambda page: ("recipes" not in page.name, page)
    )
    for page in pages:
        for block in _blocks(page.read_text(encoding="utf-8")):
            for command in _commands(block):
                yield Documented(page.name.removesuffix(".rst"), command)
    for block in _consoles((tree / "README.md").read_text(encoding="utf-8")):
        for command in _commands(block):
            yield Documented("README", command)


if __name__ == "__main__":
    for found in documented(Path(sys.argv[1])):
        print(found.page, found.command, sep="\t")
