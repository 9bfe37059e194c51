"""The OpenAPI 3.1 document, made from the views' own descriptions, and its reference page."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Flask, current_app, render_template
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from app.routes.edge import Endpoint, endpoint, no_transaction
from app.schemas.openapi import ERRORS, PROBLEM, SECURITY_SCHEMES, FieldProblem

REF = "#/components/schemas/{model}"
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_ARGUMENT = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_RESPONSE_HEADERS = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "Name it when you ask for help"},
    "X-RateLimit-Limit": {"schema": {"type": "string"}, "description": "Per second"},
    "X-RateLimit-Remaining": {"schema": {"type": "string"}},
    "X-RateLimit-Reset": {"schema": {"type": "string"}, "description": "Seconds since 1970"},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key and request within 24 hours get the stored answer, with Idempotency-Replayed: true.",
}  # fmt: skip
IF_MATCH = {
    "name": "If-Match", "in": "header", "required": False, "schema": {"type": "string", "examples": ['"v3"']},
    "description": "The ETag last seen; 412 when the object has changed since.",
}  # fmt: skip
CLIENT_HEADER = {
    "name": "X-Client-Id", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "Names the client in place of client_id, for callers who act for clients.",
}  # fmt: skip
_PARAMETERS = {"IdempotencyKey": IDEMPOTENCY_KEY, "IfMatch": IF_MATCH, "ClientId": CLIENT_HEADER}


def described(app: Flask) -> list[tuple[Rule, str, Endpoint]]:
    """Every documented route with its method, in a stable order."""
    found = []
    for rule in app.url_map.iter_rules():
        meta = getattr(app.view_functions[rule.endpoint], "endpoint", None)
        if meta is not None:
            found += [(rule, method, meta) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return sorted(found, key=lambda item: (item[0].rule, item[1]))


def document(app: Flask) -> dict[str, Any]:
    routes = described(app)
    schemas = _schemas(routes)
    paths: dict[str, Any] = {}
    for rule, method, meta in routes:
        path = _ARGUMENT.sub(r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = _operation(rule, method, meta, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cambista",
            "version": "1",
            "description": "Amounts are strings or numbers in requests and strings in answers; times are ISO 8601 "
            "UTC. Names may be written in snake_case or camelCase. Unknown fields are refused.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas, "securitySchemes": SECURITY_SCHEMES, "responses": _error_responses(),
            "headers": _RESPONSE_HEADERS, "parameters": _PARAMETERS,
        },
    }  # fmt: skip


def _schemas(routes: list[tuple[Rule, str, Endpoint]]) -> dict[str, Any]:
    wanted: set[tuple[type[BaseModel], Any]] = {(FieldProblem, "serialization")}
    for _, _, meta in routes:
        if meta.body is not None:
            wanted.add((meta.body, "validation"))
        wanted |= {(model, "serialization") for model in (meta.response, *meta.also.values()) if _is_model(model)}
    ordered = sorted(wanted, key=lambda item: item[0].__name__)
    _, made = models_json_schema(ordered, ref_template=REF)
    definitions = _standard(made)
    return dict(sorted({**definitions["$defs"], "Problem": PROBLEM}.items()))


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _operation(rule: Rule, method: str, meta: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    arguments = _ARGUMENT.findall(rule.rule)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in arguments
    ]
    parameters += _query_parameters(meta)
    if method == "POST":
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if meta.if_match:
        parameters.append({"$ref": "#/components/parameters/IfMatch"})
    client_named = (meta.query and "client_id" in meta.query.model_fields) or (
        meta.body and "client_id" in meta.body.model_fields
    )
    if client_named:
        parameters.append({"$ref": "#/components/parameters/ClientId"})
    operation: dict[str, Any] = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": meta.summary,
        "tags": [meta.tag],
        "parameters": parameters,
        "responses": _responses(method, meta, bool(arguments)),
    }
    notes = [meta.description] if meta.description else []
    if meta.needs:
        notes.append("Needs the right to " + " or ".join(f"{right} {resource}" for resource, right in meta.needs) + ".")
    if meta.errors:
        notes.append("Codes of its own: " + ", ".join(meta.errors) + ".")
    if notes:
        operation["description"] = "\n\n".join(notes)
    if meta.public:
        operation["security"] = []
    elif meta.session_only:
        operation["security"] = [{"session": []}]
    if meta.body is not None:
        required = bool(schemas[meta.body.__name__].get("required"))
        operation["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": {"$ref": REF.format(model=meta.body.__name__)}}},
        }
    return operation


def _query_parameters(meta: Endpoint) -> list[dict[str, Any]]:
    if meta.query is None:
        return []
    schema = _standard(meta.query.model_json_schema(ref_template=REF))
    definitions = schema.get("$defs", {})
    required = schema.get("required", [])
    result: list[dict[str, Any]] = []
    for name, described_as in schema.get("properties", {}).items():
        shape = _inline(described_as, definitions)
        note = shape.pop("description", None)
        shape.pop("title", None)
        if "anyOf" in shape:  # a query parameter is absent, never null
            options = [option for option in shape.pop("anyOf") if option != {"type": "null"}]
            shape = {**options[0], **shape} if len(options) == 1 else {"anyOf": options, **shape}
        if shape.get("default", 0) is None:
            del shape["default"]
        parameter: dict[str, Any] = {"name": name, "in": "query", "required": name in required, "schema": shape}
        if note:
            parameter["description"] = note
        result.append(parameter)
    return result


def _standard(schema: Any) -> Any:
    """Bounds by JSON Schema's names: pydantic leaves its own where a validator of ours comes first."""
    if isinstance(schema, dict):
        named = {_BOUNDS.get(name, name) if _is_bound(value) else name: value for name, value in schema.items()}
        return {name: _standard(value) for name, value in named.items()}
    return [_standard(item) for item in schema] if isinstance(schema, list) else schema


def _is_bound(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {name: _inline(value, definitions) for name, value in schema.items()}
    return [_inline(item, definitions) for item in schema] if isinstance(schema, list) else schema


def _responses(method: str, meta: Endpoint, has_arguments: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (meta.status, *meta.also):
        headers: dict[str, Any] = {name: {"$ref": f"#/components/headers/{name}"} for name in _RESPONSE_HEADERS}
        if meta.etag:
            headers["ETag"] = {"schema": {"type": "string"}}
        content: dict[str, Any] = {meta.media_type: {"schema": _answer_schema(meta, meta.also.get(status))}}
        responses[str(status)] = {
            "description": "Done" if method != "GET" else "Found",
            "headers": headers,
            "content": content,
        }
        csv_too = meta.query is not None and "format" in meta.query.model_fields
        if csv_too:
            responses[str(status)]["content"]["text/csv"] = {"schema": {"type": "string"}}
    wanted = {400, 404, 422, 429, 500, 503}
    if not meta.public:
        wanted |= {401, 403}
    if method != "GET":
        wanted |= {408, 409, 411, 413, 415}
    if meta.if_match:
        wanted.add(412)
    if not has_arguments and method == "GET" and meta.query is None:
        wanted -= {422}
    for status in sorted(wanted):
        responses[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return responses


def _answer_schema(meta: Endpoint, alternative: Any) -> dict[str, Any]:
    if not _is_model(meta.response):
        return {"type": "object"}
    one: dict[str, Any] = {"$ref": REF.format(model=meta.response.__name__)}
    if alternative is not None:
        one = {"anyOf": [one, {"$ref": REF.format(model=alternative.__name__)}]}
    if not meta.many:
        return one
    count = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "required": ["items", "total", "limit", "offset", "has_more"],
        "properties": {
            "items": {"type": "array", "items": one}, "total": count, "limit": count, "offset": count,
            "has_more": {"type": "boolean"},
        },
    }  # fmt: skip


def _error_responses() -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, (title, codes) in ERRORS.items():
        responses[f"Error{status}"] = {
            "description": f"{title}. Codes: {', '.join(codes)}.",
            "content": {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}},
        }
        if status in (429, 503):
            responses[f"Error{status}"]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return responses


@endpoint("This document", tag="documentation", response=dict, public=True)
@no_transaction
def openapi_json() -> ResponseReturnValue:
    known = current_app.extensions
    if "openapi" not in known:
        known["openapi"] = document(current_app)
    made: dict[str, Any] = known["openapi"]
    return made


@no_transaction
def docs() -> ResponseReturnValue:
    return render_template("api/docs.html")


def add_routes(blueprint: Blueprint) -> None:
    blueprint.add_url_rule("/openapi.json", "openapi_json", openapi_json)
