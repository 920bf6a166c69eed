"""What is open on the host itself, for all containers; and the audit as a whole. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mcsd.core.audit import containers
from mcsd.core.audit.facts import Endpoint, Facts, HostFacts
from mcsd.core.audit.findings import HOST, RULES, Finding, Severity, ordered
from mcsd.core.containers import title_of
from mcsd.core.daemon_json import DAEMON_JSON


def _found(rule: str, text: str, seen: str, remedy: str, **more: object) -> Finding:
    return Finding(RULES[rule], HOST, text, seen, remedy, **more)  # type: ignore[arg-type]


def _endpoint(endpoint: Endpoint) -> Iterator[Finding]:
    if endpoint.verifies:
        return
    how = "encrypted, to whoever connects" if endpoint.encrypts else "in the clear, to whoever connects"
    yield _found(
        "docker-tcp",
        f"Docker's API is served at {endpoint.address}, {how}: that is root on this host",
        f"dockerd's command line and sockets, {DAEMON_JSON}",
        "take -H tcp:// out, or serve it with tlsverify, tlscacert, tlscert and tlskey",
        object=endpoint.address,
        severity=None if not endpoint.encrypts else Severity.HIGH,
    )


def judge_host(host: HostFacts) -> tuple[Finding, ...]:
    """Return the findings about the host itself."""
    endpoints = (one for endpoint in host.endpoints for one in _endpoint(endpoint))
    return (*endpoints, *_engine(host), *_others(host))


def _others(host: HostFacts) -> Iterator[Finding]:
    for engine in host.unlabelled:
        yield _found(
            "engine-unlabelled",
            f"{title_of(engine)} gives containers no labels",
            "mcsd: the engine's answer",
            "label = true in containers.conf(5)",
            object=engine,
        )


def _engine(host: HostFacts) -> Iterator[Finding]:
    if host.silent:
        yield _found(
            "mcsd-silent",
            f"whether containers are isolated is not proven: {host.silent}",
            "mcsd's socket",
            "systemctl start mcsd",
        )
    if host.enforcing is False:
        yield _found("not-enforcing", "SELinux denies nothing", "mcsd: the kernel", "setenforce 1")
    if host.labels_containers is False:
        yield _found(
            "engine-unlabelled",
            "Docker gives containers no labels",
            "docker info: SecurityOptions",
            f'"selinux-enabled": true in {DAEMON_JSON}, then systemctl restart docker',
        )
    if host.filters_calls is False:
        yield _found(
            "engine-unfiltered",
            "Docker filters no container's system calls",
            "docker info: SecurityOptions",
            f'take "seccomp-profile": "unconfined" out of {DAEMON_JSON}, then systemctl restart docker',
        )
    if host.remaps_users is False:
        yield _found(
            "user-namespaces",
            "Docker maps no users: root in a container is root on the host",
            "docker info: SecurityOptions",
            f'"userns-remap": "default" in {DAEMON_JSON}; files in volumes then need other owners',
        )
    if host.live_restore is False:
        yield _found(
            "live-restore",
            "containers end when Docker is restarted, by an update too",
            "docker info: LiveRestoreEnabled",
            f'"live-restore": true in {DAEMON_JSON}, then systemctl reload docker',
        )


def audit(facts: Facts) -> tuple[Finding, ...]:
    """Return all findings, the worst first."""
    found = [*judge_host(facts.host)]
    for one in facts.containers:
        found += containers.judge(one)
    return ordered(tuple(found))
