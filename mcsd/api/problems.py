"""Errors on the socket: `application/problem+json` (RFC 9457), with what to do and a stable code."""

from __future__ import annotations

import json
from http import HTTPStatus

from mcsd.api.reports.models import ProblemReport
from mcsd.errors import McsdError, Problem

MEDIA_TYPE = "application/problem+json"

STATUS: dict[Problem, HTTPStatus] = {  # only the last is a bug: 500 is for unforeseen failures
    Problem.CONFIGURATION: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.LABEL_SYNTAX: HTTPStatus.BAD_REQUEST,
    Problem.EXHAUSTED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.ENGINE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.ENGINE_PROTOCOL: HTTPStatus.BAD_GATEWAY,
    Problem.ENGINE_NOT_ASKED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.CONTAINER_GONE: HTTPStatus.NOT_FOUND,
    Problem.LEDGER: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.LEDGER_LOCKED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.LEDGER_NEWER: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.LEDGER_DAMAGED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.VOLUME_REFUSED: HTTPStatus.CONFLICT,
    Problem.VOLUME_FAILED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.CONFLICT: HTTPStatus.CONFLICT,
    Problem.SELINUX: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.BOOLEAN: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.GATE: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.REQUEST: HTTPStatus.BAD_REQUEST,
    Problem.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Problem.AMBIGUOUS: HTTPStatus.CONFLICT,
    Problem.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Problem.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.FLEET: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.HOST: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.BLOCKED: HTTPStatus.SERVICE_UNAVAILABLE,
    Problem.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_TITLES: dict[Problem, str] = {
    Problem.CONFIGURATION: "bad configuration",
    Problem.LABEL_SYNTAX: "not an SELinux level",
    Problem.EXHAUSTED: "no pair is free",
    Problem.ENGINE_UNAVAILABLE: "the engine cannot be reached",
    Problem.ENGINE_PROTOCOL: "the engine gave an answer that makes no sense",
    Problem.ENGINE_NOT_ASKED: "the container's engine is not in the configuration",
    Problem.CONTAINER_GONE: "the container is gone",
    Problem.LEDGER: "the ledger cannot be used",
    Problem.LEDGER_LOCKED: "the ledger is held by another process",
    Problem.LEDGER_NEWER: "the ledger is from a newer mcsd",
    Problem.LEDGER_DAMAGED: "the ledger is damaged",
    Problem.VOLUME_REFUSED: "a rule forbids this volume",
    Problem.VOLUME_FAILED: "the volume's labels cannot be changed",
    Problem.CONFLICT: "another holder stands in the way",
    Problem.SELINUX: "SELinux refused",
    Problem.BOOLEAN: "the boolean cannot be used",
    Problem.GATE: "the start cannot be prepared",
    Problem.REQUEST: "the request makes no sense",
    Problem.NOT_FOUND: "there is no such thing",
    Problem.AMBIGUOUS: "that could be several things",
    Problem.FORBIDDEN: "not allowed",
    Problem.BUSY: "too much at once",
    Problem.FLEET: "the fleet does not allow it",
    Problem.HOST: "the host failed",
    Problem.BLOCKED: "the host does not answer",
    Problem.INTERNAL: "a bug in mcsd",
}


def problem_report(problem: Problem, detail: str, hint: str, *, status: int | None = None) -> ProblemReport:
    """Describe a failure; `status` if there is a more exact one than the problem's own."""
    return ProblemReport(
        type=f"urn:mcsd:problem:{problem.value}",
        title=_TITLES[problem],
        status=status or STATUS[problem].value,
        detail=detail,
        hint=hint,
        code=problem.value,
    )


def of_error(error: McsdError) -> ProblemReport:
    """Describe a foreseen failure."""
    return problem_report(error.problem, error.what, error.hint)


def raw_response(report: ProblemReport) -> bytes:
    """Return a complete HTTP response, for a connection without a request."""
    body = json.dumps(report.model_dump(mode="json")).encode()
    head = (
        f"HTTP/1.1 {report.status} {HTTPStatus(report.status).phrase}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
