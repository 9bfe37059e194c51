"""The OpenAPI 3.1 document, made from the views' own descriptions, and its reference page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, current_app, render_template
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from app.core import json
from app.core.errors import NotFound
from app.routes.access import Endpoint, endpoint
from app.routes.application import no_transaction
from app.schemas.examples import REQUESTS, Example
from app.schemas.openapi import PROBLEM, SECURITY_SCHEMES, FieldProblem
from app.schemas.problems import CATALOG, REJECTIONS, TITLES, TYPE, problem_example

from .openapi_errors import errors_of

REF = "#/components/schemas/{model}"
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_ARGUMENT = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_FOLDER = Path(__file__).resolve()
_INTRODUCTION = _FOLDER.parents[3] / "docs" / "bots.md"
_ANSWERS = _FOLDER.with_name("answers.json")
# what one needs first comes first
_TAGS = {
    "orders": "Enter orders, follow them, change and cancel them.",
    "positions": "What is held: its value, its exits, closing it.",
    "market": "Instruments, quotes and bars.",
    "portfolio": "Equity, profit, fees and win rate over a time.",
    "wallets": "Balances, movements and limits.",
    "funding": "Bank accounts and withdrawals.",
    "deposits": "Money that clients bring in: by card, by bank transfer, and what did not fit.",
    "events": "What happened, in order: over HTTP by cursor; live over Socket.IO, see above.",
    "journal": "The double-entry journal behind every balance.",
    "clients": "For the firm: clients and their trading limits.",
    "kyc": "Who a client is: verification, its levels and their limits.",
    "approvals": "For the firm's people: what waits for a second person.",
    "keys": "Keys of programs. Only people who have signed in reach these.",
    "system": "How the parts are doing.",
    "users": "People who sign in. Only Masters who have signed in reach these.",
    "audit": "Who did what, chained by hash.",
    "admin": "Engine, faults, reconciliation and the simulated venue.",
    "documentation": "This document.",
}
_PATH_ARGUMENTS = {
    "order_id": "Id of the order",
    "position_id": "Id of the position",
    "wallet_id": "Id of the wallet",
    "client_order_id": "The id its sender gave it",
    "ref": "Code or id of the client, such as C-1001",
    "limit_id": "Id of the limit",
    "document_id": "Id of the document",
    "symbol": "The instrument, in any known form, such as BTC/USDT or BTCUSDT",
    "entry_id": "Id of the journal entry",
    "key_id": "Id of the key, or its prefix",
    "user_id": "Id of the user",
    "fault_id": "Id of the fault",
    "account_id": "Id of the bank account",
    "approval_id": "Id of the proposal",
    "withdrawal_id": "Id of the withdrawal",
    "mail_id": "Id of the mail",
    "deposit_id": "Id of the deposit",
    "mismatch_id": "Id of the mismatch",
    "session_id": "Stripe's id of the payment page",
}
_PATH_EXAMPLES = {"ref": "C-1001", "symbol": "BTCUSDT"}
_RESPONSE_HEADERS = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "Name it when you ask for help"},
    "X-RateLimit-Limit": {"schema": {"type": "string"}, "description": "Per second"},
    "X-RateLimit-Remaining": {"schema": {"type": "string"}, "description": "How many more fit into this second"},
    "X-RateLimit-Reset": {"schema": {"type": "string"}, "description": "Seconds since 1970"},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key and request within 24 hours get the stored answer, with Idempotency-Replayed: true.",
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "examples": ['"v3"']},
    "description": "The ETag last seen; 412 when the object has changed since.",
}
CLIENT_HEADER = {
    "name": "X-Client-Id",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Names the client in place of client_id, for callers who act for clients.",
}
_PARAMETERS = {"IdempotencyKey": IDEMPOTENCY_KEY, "IfMatch": IF_MATCH, "ClientId": CLIENT_HEADER}


def described(app: Flask) -> list[tuple[Rule, str, Endpoint]]:
    """Every documented route with its method, in the order the views are written in."""
    found = []
    for rule in app.url_map.iter_rules():
        meta = getattr(app.view_functions[rule.endpoint], "endpoint", None)
        if meta is not None:
            found += [(rule, method, meta) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def document(app: Flask) -> dict[str, Any]:
    routes = described(app)
    schemas = _schemas(routes)
    answers = json.loads_stored(_ANSWERS.read_text(encoding="utf-8"))
    made: dict[str, dict[str, Any]] = {}
    for rule, method, meta in routes:
        path = _ARGUMENT.sub(r"{\1}", rule.rule)
        made.setdefault(path, {})[method.lower()] = _operation(rule, method, meta, schemas, answers)
    responses = _share_errors(made)
    order = list(_TAGS)
    paths = dict(sorted(made.items(), key=lambda item: order.index(next(iter(item[1].values()))["tags"][0])))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cambista", "version": "1", "description": _INTRODUCTION.read_text(encoding="utf-8")},
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"bearer": []}, {"session": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": SECURITY_SCHEMES,
            "headers": _RESPONSE_HEADERS,
            "parameters": _PARAMETERS,
            "responses": responses,
            "examples": {code: _error_example(code) for code in CATALOG},
        },
    }


def _share_errors(paths: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What several operations answer stands once, and they refer to it; returns what is shared."""
    shared: dict[str, Any] = {}
    names: dict[tuple[str, ...], str] = {}
    for item in paths.values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                problems = response["content"].get("application/problem+json")
                if problems is None:
                    continue
                codes = (status, *problems["examples"])
                name = names.setdefault(codes, f"Error{status}_{len(names) + 1}")
                shared[name] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _error_example(code: str) -> dict[str, Any]:
    return {"summary": code, "description": CATALOG[code].meaning, "value": problem_example(code)}


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


def _operation(
    rule: Rule, method: str, meta: Endpoint, schemas: dict[str, Any], answers: dict[str, Any]
) -> dict[str, Any]:
    arguments = _ARGUMENT.findall(rule.rule)
    name = rule.endpoint.rpartition(".")[2]
    examples = REQUESTS.get(name, ())
    values = {**_PATH_EXAMPLES, **(examples[0].at if examples else {})}
    parameters = [_path_parameter(argument, values) for argument in arguments]
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
        "operationId": name,
        "summary": meta.summary,
        "tags": [meta.tag],
        "parameters": parameters,
        "responses": _responses(method, meta, arguments, schemas, answers.get(name, {})),
    }
    notes = [meta.description] if meta.description else []
    if meta.needs:
        notes.append("Needs the right to " + " or ".join(f"{right} {resource}" for resource, right in meta.needs) + ".")
    if notes:
        operation["description"] = "\n\n".join(notes)
    if meta.public:
        operation["security"] = []
    elif meta.session_only:
        operation["security"] = [{"session": []}]
    if meta.body is not None:
        required = bool(schemas[meta.body.__name__].get("required"))
        media_type = "multipart/form-data" if meta.file else "application/json"
        operation["requestBody"] = {
            "required": required or bool(meta.file),
            "content": {media_type: _body_content(meta, examples, schemas)},
        }
    return operation


def _path_parameter(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PATH_ARGUMENTS[name],
        "schema": {"type": "string", "minLength": 1},
    }
    if name in values:
        parameter["example"] = values[name]
    return parameter


def _body_content(meta: Endpoint, examples: tuple[Example, ...], schemas: dict[str, Any]) -> dict[str, Any]:
    assert meta.body is not None
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=meta.body.__name__)}}
    if meta.file:
        fields = schemas[meta.body.__name__]
        file = {"type": "string", "contentMediaType": "application/octet-stream", "description": meta.file}
        content["schema"] = {
            **fields,
            "properties": {**fields["properties"], "file": file},
            "required": [*fields.get("required", ()), "file"],
        }
    if examples:
        content["examples"] = {example.name: {"summary": example.title, "value": example.body} for example in examples}
    return content


def _query_parameters(meta: Endpoint) -> list[dict[str, Any]]:
    if meta.query is None:
        return []
    schema = _standard(meta.query.model_json_schema(ref_template=REF))
    definitions = schema.get("$defs", {})
    required = schema.get("required", [])
    result: list[dict[str, Any]] = []
    for name, described_as in schema.get("properties", {}).items():
        shape = _inline(described_as, definitions)
        shape.pop("title", None)
        if "anyOf" in shape:  # a query parameter is absent, never null
            options = [option for option in shape.pop("anyOf") if option != {"type": "null"}]
            shape = {**options[0], **shape} if len(options) == 1 else {"anyOf": options, **shape}
        if shape.get("default", 0) is None:
            del shape["default"]
        note = shape.pop("description", None)
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


def _responses(
    method: str, meta: Endpoint, arguments: list[str], schemas: dict[str, Any], answers: dict[str, Any]
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (meta.status, *meta.also):
        headers: dict[str, Any] = {name: {"$ref": f"#/components/headers/{name}"} for name in _RESPONSE_HEADERS}
        if meta.etag:
            headers["ETag"] = {"schema": {"type": "string"}, "description": "Send it as If-Match"}
        content: dict[str, Any] = {meta.media_type: {"schema": _answer_schema(meta, meta.also.get(status))}}
        if str(status) in answers:
            content[meta.media_type]["examples"] = answers[str(status)]
        responses[str(status)] = {
            "description": "Done" if method != "GET" else "Found",
            "headers": headers,
            "content": content,
        }
        csv_too = meta.query is not None and "format" in meta.query.model_fields
        if csv_too:
            responses[str(status)]["content"]["text/csv"] = {"schema": {"type": "string"}}
    for status, codes in errors_of(method, meta, arguments, schemas).items():
        responses[str(status)] = _error_response(status, codes)
    return responses


def _error_response(status: int, codes: list[str]) -> dict[str, Any]:
    listed = "\n".join(f"- [{code}]({TYPE}{code}): {CATALOG[code].meaning}" for code in codes)
    response: dict[str, Any] = {
        "description": f"{TITLES[status]}\n\n{listed}",
        "content": {
            "application/problem+json": {
                "schema": {"$ref": REF.format(model="Problem")},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds"}}
    return response


def _answer_schema(meta: Endpoint, alternative: Any) -> dict[str, Any]:
    if meta.media_type != "application/json":
        return {"type": "string", "contentMediaType": meta.media_type}
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
            "items": {"type": "array", "items": one},
            "total": count,
            "limit": count,
            "offset": count,
            "has_more": {"type": "boolean"},
        },
    }


@endpoint("This document", tag="documentation", response=dict, public=True)
@no_transaction
def openapi_json() -> ResponseReturnValue:
    return _document()


def _document() -> dict[str, Any]:
    known = current_app.extensions
    if "openapi" not in known:
        known["openapi"] = document(current_app)
    made: dict[str, Any] = known["openapi"]
    return made


@no_transaction
def docs() -> ResponseReturnValue:
    return render_template("api/docs.html")


@no_transaction
def error_page(code: str) -> ResponseReturnValue:
    """What an error code means, what to do, and where it can happen."""
    explained, rejected = CATALOG.get(code), REJECTIONS.get(code)
    if explained is None and rejected is None:
        raise NotFound("there is no such error code")
    places = [
        f"{method.upper()} {path}"
        for path, item in _document()["paths"].items()
        for method, operation in item.items()
        if explained is not None and code in _codes_at(operation, explained.status)
    ]
    example = None if explained is None else problem_example(code)
    return render_template(
        "api/error.html", code=code, explained=explained, rejected=rejected, places=places, example=example
    )


def _codes_at(operation: dict[str, Any], status: int) -> list[str]:
    response = operation["responses"].get(str(status), {})
    name = response.get("$ref", "").rpartition("/")[2]
    if not name:
        return []
    return list(_document()["components"]["responses"][name]["content"]["application/problem+json"]["examples"])


@no_transaction
def error_index() -> ResponseReturnValue:
    return render_template("api/errors.html", catalog=CATALOG, rejections=REJECTIONS)


def add_routes(blueprint: Blueprint) -> None:
    blueprint.add_url_rule("/openapi.json", "openapi_json", openapi_json)
