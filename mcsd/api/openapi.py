"""The OpenAPI 3.1 document of the socket, generated from the table of routes and the models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from mcsd.api.dispatch import Route
from mcsd.api.problems import MEDIA_TYPE as PROBLEM_TYPE
from mcsd.api.problems import STATUS
from mcsd.api.reports.models import ProblemReport

_REFERENCE = "#/components/schemas/{model}"

_ABOUT = """\
What mcsd knows and does, for programs on its host. Plain HTTP/1.1 over a Unix socket, one request on a
connection. Root and members of the socket's group may read; everybody else is disconnected before a byte
is read. Only root may change anything. Lists come in a stable order and in pages. Within a major version
fields are only added: pass over those you do not know."""


def _models(routes: Iterable[Route]) -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemReport, "serialization"): None}
    for route in routes:
        answers = [route.answer, *(model for _, _, model in route.also)]
        wanted |= {(model, "serialization"): None for model in answers if model is not None}
        if route.has_body:
            wanted[route.body, "validation"] = None
    return list(wanted)


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    schema = route.query.model_json_schema(mode="validation", ref_template=_REFERENCE)
    definitions = schema.get("$defs", {})
    for name, described in schema.get("properties", {}).items():
        found.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": described.pop("description", ""),
                "schema": _inlined(_not_null(described), definitions),
            }
        )
    return found


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without null, which cannot be in a URL: it is just left out."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    plain = {key: value for key, value in schema.items() if key not in {"anyOf", "title", "default"}}
    if len(kinds) == 1:
        plain |= kinds[0]
    if schema.get("default") not in (None, []):
        plain["default"] = schema["default"]
    return plain


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _content(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema}}


def _responses(route: Route, references: dict[tuple[type[BaseModel], str], dict[str, Any]]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        done["content"] = _content(route.media_type, references[route.answer, "serialization"])
    elif route.status is HTTPStatus.OK:
        kind = "object" if route.media_type == "application/json" else "string"
        done["content"] = _content(route.media_type, {"type": kind})
    responses: dict[str, Any] = {str(route.status.value): done}
    for status, media_type, model in route.also:
        entry = responses.setdefault(str(status.value), {"description": status.phrase, "content": {}})
        entry["content"] |= _content(media_type, references[model, "serialization"])
    for status, text in _failures(route).items():
        entry = responses.setdefault(str(status.value), {"description": text, "content": {}})
        entry["content"] |= _content(PROBLEM_TYPE, references[ProblemReport, "serialization"])
    return responses


def _failures(route: Route) -> dict[HTTPStatus, str]:
    codes: dict[HTTPStatus, list[str]] = {}
    for problem in route.problems:
        codes.setdefault(STATUS[problem], []).append(problem.value)
    failures = {status: "codes: " + ", ".join(names) for status, names in codes.items()}
    failures.setdefault(HTTPStatus.BAD_REQUEST, "the request makes no sense")
    failures.setdefault(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in mcsd")
    failures.setdefault(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are at work")
    failures[HTTPStatus.REQUEST_TIMEOUT] = "the request did not come in time"
    failures[HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE] = "the request's head is too long"
    if route.changes:
        failures[HTTPStatus.FORBIDDEN] = "only root may"
    if route.has_body:
        failures[HTTPStatus.REQUEST_ENTITY_TOO_LARGE] = "the body is too long"
        failures[HTTPStatus.UNSUPPORTED_MEDIA_TYPE] = "the body is not application/json"
    return failures


def openapi(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """Return the document."""
    references, schemas = models_json_schema(_models(routes), ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation: dict[str, Any] = {
            "operationId": _name(route),
            "summary": route.summary,
            "parameters": _parameters(route),
            "responses": _responses(route, references),  # type: ignore[arg-type]
        }
        if route.has_body:
            content = _content("application/json", references[route.body, "validation"])
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "mcsd", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": schemas.get("$defs", {})},
    }


def _name(route: Route) -> str:
    words = [word for word in re.split(r"[/.{}]", route.path) if word and word != "v1"]
    return "_".join([route.method.lower(), *words])
