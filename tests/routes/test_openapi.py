"""The API document: valid, committed as it is in the code, and kept by the server."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.core.clock import ManualClock
from app.services.feeds import FeedSupervisor
from tests.conftest import START
from tests.data import REPOSITORY

from .conftest import Firm, open_firm
from .test_api import Recording


@cache
def committed() -> Any:
    return json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))


def examples_of(case: schemathesis.Case, status: str) -> set[str]:
    operation = committed()["paths"][case.operation.path][case.operation.method.lower()]
    response = operation["responses"].get(status, {})
    name = response.get("$ref", "").rpartition("/")[2]
    content = committed()["components"]["responses"][name]["content"] if name else {}
    return set(content.get("application/problem+json", {}).get("examples", ()))


def code_is_documented(ctx: Any, response: Any, case: schemathesis.Case) -> None:
    """What a program meets is among the errors that the operation lists."""
    if response.status_code < 400:
        return
    problem = response.json()
    assert problem["code"] in examples_of(case, str(response.status_code)), problem
    known = {code for status in ("400", "409", "422") for code in examples_of(case, status)}
    assert {error["code"] for error in problem["errors"]} <= known, problem


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    code_is_documented,
]


@pytest.fixture(scope="module")
def document(shared_firm: Firm) -> Any:
    return shared_firm.call(None, "GET", "/api/v1/openapi.json").get_json()


def test_it_is_valid(document: Any) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_bounds_are_called_as_json_schema_calls_them(document: Any) -> None:
    text = json.dumps(document)
    assert '"minimum"' in text and '"maximum"' in text
    for name in ("ge", "le", "gt", "lt"):
        assert f'"{name}":' not in text


def test_the_committed_files_are_the_codes(document: Any) -> None:
    """When this fails: scripts/export_openapi."""
    export = runpy.run_path(str(REPOSITORY / "scripts" / "_export_openapi.py"))
    docs = REPOSITORY / "docs"
    assert (docs / "openapi.json").read_text(encoding="utf-8") == export["as_json"](document)
    assert yaml.safe_load((docs / "openapi.yaml").read_text(encoding="utf-8")) == document


@pytest.mark.parametrize("script", ["export_openapi", "record_answers", "start"])
def test_scripts_take_an_option_for_no_folder_and_do_nothing(script: str, tmp_path: Path) -> None:
    before = sorted(REPOSITORY.iterdir())
    command = [str(REPOSITORY / "scripts" / script)]
    helped = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0 and len(helped.stdout) > 50
    refused = subprocess.run([*command, "--nonsense"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "--nonsense" in refused.stderr
    assert sorted(REPOSITORY.iterdir()) == before


def test_every_route_is_in_it(shared_firm: Firm, document: Any) -> None:
    routes = {
        (re.sub(r"<(?:path:)?([a-z_]+)>", r"{\1}", rule.rule), method.lower())
        for rule in shared_firm.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, item in document["paths"].items() for method in item}
    assert documented == routes


def test_operations_have_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_the_reference_page_runs_nothing_inline(shared_firm: Firm) -> None:
    page = shared_firm.call(None, "GET", "/api/docs")
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son[a-z]+=", text)
    assert "//" not in re.sub(
        r"https?://127\.0\.0\.1|http://localhost", "", "".join(re.findall(r'src="([^"]*)"', text))
    )


def test_paths_to_the_static_files_of_the_reference_page_exist(shared_firm: Firm) -> None:
    text = shared_firm.call(None, "GET", "/api/docs").get_data(as_text=True)
    for path in re.findall(r'(?:src|href)="(/static/[^"?]*)', text):
        with shared_firm.call(None, "GET", path) as response:
            assert response.status_code == 200, path


# -- whatever the document allows, sent -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fuzzed(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    path = tmp_path_factory.mktemp("fuzzed") / "firm.db"
    shutil.copyfile(sqlite_template, path)
    firm = open_firm(f"sqlite:///{path}", ManualClock(START))
    parts = firm.app.extensions["services"]  # with a feed of its own: without a leader a quote set by hand is 503
    firm.lead(FeedSupervisor([Recording(firm)], parts.quotes.put, firm.clock, lambda work: None, lambda s: None))
    yield firm
    firm.app.extensions["services"].database.dispose()


@pytest.fixture(scope="module")
def schema(fuzzed: Firm) -> Any:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", fuzzed.app)


def operations() -> list[str]:
    document = json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))
    return [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]


@pytest.mark.parametrize("name", operations())
def test_the_server_keeps_to_the_document(fuzzed: Firm, schema: Any, name: str) -> None:
    method, path = name.split(" ")
    operation = schema[path][method]

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"X-API-Key": fuzzed.keys["key:firm"]}, checks=CHECKS)

    send()
