"""The programs that speak Docker's API: Docker, and Podman with what its compatible API lacks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """What differs between engines that speak Docker's API.

    `inspect` is the directory of containers' inspections, `version` that of the API it belongs to, "" for the
    negotiated one. Podman's compatible API says "oci" for every runtime and knows no pods, so its own is
    used; mcsd reads the same fields of both.
    """

    name: str
    inspect: str
    version: str
    down_hint: str
    hangs_hint: str


DOCKER = Program(
    "docker",
    "/containers",
    "",
    "docker.service is not running: systemctl status docker",
    "docker hangs or is overloaded: systemctl status docker, journalctl -u docker",
)
PODMAN = Program(
    "podman",
    "/libpod/containers",
    "4.0.0",
    "podman.socket is not listening: systemctl enable --now podman.socket",
    "podman's service hangs or is overloaded: systemctl status podman, journalctl -u podman",
)
"""4.0.0 is the oldest version of Podman's own API that has all the fields; later ones answer it too."""
