"""The tools people relabel trees with today, each as a function from (tree, label) to a finished walk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[Path, str], None]
GO_MAIN = """package main

import (
	"fmt"
	"os"

	"github.com/opencontainers/selinux/go-selinux"
)

func main() {
	if err := selinux.Chcon(os.Args[1], os.Args[2], true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool, and why it is missing if it is."""

    name: str
    run: Run
    missing: str = ""


def peers(work: Path) -> list[Peer]:
    """Find the tools; `work` is where one of them is built."""
    return [_chcon(), _setfiles(work), _go(work)]


def _absent(tree: Path, label: str) -> None:
    raise LookupError("a missing tool was run")


def _chcon() -> Peer:
    name = "chcon -R"
    if shutil.which("chcon") is None:
        return Peer(name, _absent, "not installed (Debian: coreutils)")
    return Peer(name, lambda tree, label: _quietly("chcon", "-R", label, str(tree)))


def _setfiles(work: Path) -> Peer:
    name = "setfiles -F -T 0"
    program = shutil.which("setfiles", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        return Peer(name, _absent, "not installed (Debian: policycoreutils)")
    specification = work / "specification"

    def run(tree: Path, label: str) -> None:
        specification.write_text(f"{tree}(/.*)?  {label}\n")
        _quietly(program, "-F", "-T", "0", str(specification), str(tree))

    return Peer(name, run)


def _go(work: Path) -> Peer:
    name = "opencontainers Chcon"
    source, program = work / "chcon.go", work / "chcon"
    source.write_text(GO_MAIN)
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    environment["GOCACHE"] = str(work / "go-cache")
    try:
        subprocess.run(
            ["go", "build", "-o", program, source], env=environment, check=True, capture_output=True
        )
    except FileNotFoundError:
        return Peer(
            name, _absent, "not installed (Debian: golang-go golang-github-opencontainers-selinux-dev)"
        )
    except subprocess.CalledProcessError as exc:
        return Peer(name, _absent, f"cannot be built: {exc.stderr.decode(errors='replace').strip()[:200]}")
    return Peer(name, lambda tree, label: _quietly(str(program), str(tree), label))


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
