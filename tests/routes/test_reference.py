"""The API reference: every request as it stands against a fresh demo; every field, error and answer explained."""

from __future__ import annotations

import ast
import html
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app import create_app
from app.config import TestingConfig
from app.core import json
from app.schemas.examples import ADDED_WITHOUT_BODY, REQUESTS, WITHOUT_BODY
from app.schemas.problems import CATALOG, REJECTIONS
from tests import reference
from tests.data import REPOSITORY

from .conftest import Firm

DOCUMENT: dict[str, Any] = json.loads_stored((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))
ANSWERS: dict[str, Any] = json.loads_stored(reference.ANSWERS.read_text(encoding="utf-8"))
# what takes something away, and says so by its name
TAKES = {"block_client": {"clients.active"}}
FILES = {"application/pdf", "text/csv", "application/octet-stream"}
WITHOUT_ANSWER = {"metrics", "kyc_webhook", "stripe_webhook"}  # as long as a book; for providers, who sign
# refusals of commands, of forms, of start-up: no program meets them over the API
NOT_OVER_HTTP = {
    "demo_in_production",
    "engine_running",
    "client_or_system",
    "in_the_past",
    "invalid_network",
    "key_ended",
    "keys_cannot_make_keys",
    "out_of_range",
    "password_common",
    "password_contains_email",
    "password_length",
    "scope_not_for_clients",
    "system_only",
    "too_many",
    "too_many_keys",
    "unknown_entry",
    "unknown_scope",
    "wrong_password",
    "not_ready",
    "malformed",
    "BUSINESS_REJECT",
    "TOO_LATE",
    "link_ended",
    "passwords_differ",
    "too_many_mails",
    "totp_is_on",
    "wrong_code",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return reference.build(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def demo(built: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[reference.Demo]:
    path, keys = built
    shutil.copyfile(path, tmp_path / "demo.db")
    demo = reference.Demo(tmp_path / "demo.db", keys)
    yield demo
    demo.close()


def named(call: reference.Call) -> str:
    return f"{call.operation}-{call.example.name}" if call.example else call.operation


def all_calls() -> list[reference.Call]:
    with tempfile.TemporaryDirectory() as empty:
        app = create_app(TestingConfig(database_url=f"sqlite:///{empty}/none.db"))
        found = list(reference.calls(app))
        app.extensions["services"].database.dispose()
    return found


CALLS = all_calls()


def shape(value: Any) -> Any:
    """Names and JSON types, without what happens to be null or empty."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        common = one.keys() & other.keys()
        return all(alike(one[name], other[name]) for name in common) and bool(common or not one or not other)
    if isinstance(one, list) and isinstance(other, list):
        return not one or not other or alike(one[0], other[0])
    return one == other or "NoneType" in (one, other) or {one, other} == {"int", "float"}


@pytest.mark.parametrize("call", CALLS, ids=named)
def test_a_request_does_what_its_title_says_and_nothing_else(demo: reference.Demo, call: reference.Call) -> None:
    before: dict[str, Any] = {}

    def send(who: str, method: str, path: str, body: Any = None, file: str = "") -> Any:
        before["firm"] = demo.snapshot()
        return reference.Demo.send(demo, who, method, path, body, file)

    demo.send = send  # type: ignore[method-assign]
    answer = reference.perform(demo, call)
    demo.settle()
    wanted = call.example.status if call.example and call.example.status else call.meta.status
    assert answer.status_code == wanted, answer.get_json()
    added, changed, lost = reference.changes_of(before["firm"], demo.snapshot())
    assert lost == TAKES.get(call.operation, set())
    adds = dict(call.example.adds) if call.example else ADDED_WITHOUT_BODY.get(call.operation, {})
    wanted_changes = call.example.changes if call.example else WITHOUT_BODY.get(call.operation, {})
    changes = {table: set(columns) for table, columns in wanted_changes.items()}
    assert added == adds
    assert {table: columns - changes.get(table, set()) for table, columns in changed.items() if table not in adds} == {
        table: set() for table in changed if table not in adds
    }
    missing = {table for table in changes if table not in changed}
    assert not missing, f"the title promises a change of {missing}"

    if call.operation in WITHOUT_ANSWER or not answer.is_json:
        return
    name = call.example.name if call.example else "answer"
    shown = ANSWERS[call.operation][str(wanted)][name]["value"]
    assert alike(shape(shown), shape(answer.get_json())), "run scripts/record_answers"


def test_every_body_has_an_example(demo: reference.Demo) -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if "requestBody" in operation:
                assert operation["operationId"] in REQUESTS, f"{method} {path}"
                (content,) = operation["requestBody"]["content"].values()
                assert content["examples"]


def test_no_example_takes_protection_or_access_away() -> None:
    for name, examples in REQUESTS.items():
        for example in examples:
            text = json.dumps(dict(example.body))
            assert "null" not in text and '"all":true' not in text and '"active":false' not in text, (name, example)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_field_is_described() -> None:
    bare = [
        f"{model}.{name}"
        for model, schema in DOCUMENT["components"]["schemas"].items()
        for name, field in schema.get("properties", {}).items()
        if len(field.get("description", "")) < 6
    ]
    bare += [
        f"{where} {parameter['name']}"
        for where, operation in operations()
        for parameter in operation["parameters"]
        if "$ref" not in parameter and len(parameter.get("description", "")) < 6
    ]
    assert bare == []


def test_amounts_name_their_unit() -> None:
    """A number without a unit is a guess."""
    unit = re.compile(
        r"currency|USD|percent|base|part of|bps|basis points|asset|Probability|Distance|Price|price|quote|"
        r"in the asset|hold_currency|fee_currency|reserve_currency|in currency|increases minus|plus|buyers|sellers|"
        r"mid|Middle|minus|venue|ratio"
    )
    bare = []
    for model, schema in DOCUMENT["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            text = json.dumps(field)
            if '"^-?[0-9]' in text and not unit.search(field["description"]):
                bare.append(f"{model}.{name}: {field['description']}")
    assert bare == []


def test_every_answer_is_a_real_one_and_as_its_schema_says() -> None:
    missing = []
    for where, operation in operations():
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                continue
            content = response["content"].get("application/json")
            if content is None:
                assert set(response["content"]) <= FILES, where
                continue
            examples = content.get("examples", {})
            if not examples and operation["operationId"] not in WITHOUT_ANSWER | {"openapi_json"}:
                missing.append(f"{where} {status}")
            for example in examples.values():
                schema = {**content["schema"], "components": DOCUMENT["components"]}
                jsonschema.Draft202012Validator(schema).validate(example["value"])
    assert missing == []


def test_every_error_listed_has_an_example_of_its_own_and_a_page(shared_firm: Firm) -> None:
    listed: set[str] = set()
    for where, operation in operations():
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                continue
            shared = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
            examples = shared["content"]["application/problem+json"]["examples"]
            assert examples, (where, status)
            listed |= examples.keys()
    assert listed <= CATALOG.keys()
    for code, example in DOCUMENT["components"]["examples"].items():
        problem = example["value"]
        assert problem["code"] == code
        jsonschema.Draft202012Validator(
            {"$ref": "#/components/schemas/Problem", "components": DOCUMENT["components"]}
        ).validate(problem)
        page = shared_firm.call(None, "GET", problem["type"])
        assert page.status_code == 200 and CATALOG[code].remedy in html.unescape(page.get_data(as_text=True))
    for code in REJECTIONS:
        assert shared_firm.call(None, "GET", f"/api/docs/errors/{code}").status_code == 200
    assert shared_firm.call(None, "GET", "/api/docs/errors/nothing").status_code == 404
    assert listed - {"method_not_allowed"} >= set(CATALOG) - {"method_not_allowed", "unknown_host", "conflict"}


def raised_codes() -> set[str]:
    """Every code that stands in the source as one."""
    found: set[str] = set()
    for path in (REPOSITORY / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            places = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if name.endswith("Invalid.field") or name == "FieldError":
                places += node.args[1:2]
            elif name == "PydanticCustomError":
                places += node.args[:1]
            found |= {place.value for place in places if isinstance(place, ast.Constant) and place.value}
    return found


def test_every_code_that_is_raised_is_explained() -> None:
    assert raised_codes() - CATALOG.keys() - NOT_OVER_HTTP == set()
    assert set(REJECTIONS) >= set(
        re.findall(r'Failure\(\s*"([A-Z_]+)"', (REPOSITORY / "app" / "domain" / "risk.py").read_text(encoding="utf-8"))
    )


def test_what_one_needs_first_comes_first_and_administration_last() -> None:
    tags = [tag["name"] for tag in DOCUMENT["tags"]]
    used = [operation["tags"][0] for _, operation in operations()]
    assert tags[:3] == ["orders", "positions", "market"] and tags[-2:] == ["admin", "documentation"]
    assert [tags.index(tag) for tag in used] == sorted(tags.index(tag) for tag in used)
    assert next(iter(DOCUMENT["paths"])) == "/api/v1/orders"


def test_it_begins_with_what_a_bot_needs() -> None:
    text = DOCUMENT["info"]["description"]
    for heading in ("Quick start", "Paging", "Errors", "Never twice", "Events"):
        assert re.search(rf"^#+ {heading}", text, re.MULTILINE), heading
