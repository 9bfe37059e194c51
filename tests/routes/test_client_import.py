"""Clients from CSV files and as one: a report for each row, nothing stored in a dry run, no formula in a cell."""

from __future__ import annotations

import io
from typing import Any

import pytest

from .conftest import Firm

IMPORT, EXPORT = "/api/v1/clients/import", "/api/v1/clients/export"
FILE = (
    "code,given_names,paternal_surname,identity_type,identity_number,email,phones,trader\r\n"
    "C-11,José,Quispe,dni,10117410-2,jose@example.com,+51 987 654 321; 014445566,trader@firm.example\r\n"
    "C-12,Rosa,Paredes,dni,10117410,,,\r\n"
    "C-13,Luis,Rojas,dni,10586119C,,,\r\n"
    ",,,,,,,\r\n"
    "C-14,Ana,Vega,,,JOSE@example.com,,\r\n"
    "C-15,Eva,Díaz,,,eva@example.com,,nobody@firm.example\r\n"
    "C-16,,,,,,,\r\n"
    "C-1,Ana,Quispe,,,,,\r\n"
    "C-17,Eva,Díaz,,,eva@example.com,,\r\n"
)
CODES = [("C-11", []), ("C-12", ["identity_taken"]), ("C-13", ["identity_check_digit"]), ("C-14", ["email_taken"])]
CODES += [("C-15", ["unknown_trader"]), ("C-16", ["name_required"]), ("C-1", ["code_taken"]), ("C-17", [])]


def load(firm: Firm, text: str | bytes, dry_run: bool = False, who: str = "master") -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    form = {"dry_run": str(dry_run).lower(), "file": (io.BytesIO(data), "clients.csv")}
    return firm.call(who, "POST", IMPORT, data=form)


def count(firm: Firm) -> int:
    total: int = firm.call("master", "GET", "/api/v1/clients").get_json()["total"]
    return total


def test_each_row_has_its_report(firm_on_each: Firm) -> None:
    firm = firm_on_each
    tried = load(firm, FILE, dry_run=True).get_json()
    assert (tried["dry_run"], tried["good"], tried["refused"], count(firm)) == (True, 2, 6, 2)
    made = load(firm, FILE).get_json()
    assert (made["dry_run"], made["good"], made["refused"], count(firm)) == (False, 2, 6, 4)
    for report, good in ((tried, "valid"), (made, "created")):
        found = [(item["code"], [error["code"] for error in item["errors"]]) for item in report["items"]]
        assert found == CODES
        assert {item["outcome"] for item in report["items"]} == {good, "refused"}
    assert [item["line"] for item in made["items"]] == [2, 3, 4, 6, 7, 8, 9, 10]
    jose = firm.call("master", "GET", "/api/v1/clients/C-11").get_json()
    assert made["items"][0]["client_id"] == jose["id"]
    assert (jose["phones"], jose["trader_id"]) == (["+51 987 654 321", "014445566"], firm.ids["trader"])


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffcode;name\nC-11;Ñusta Pérez\n".encode(),
        "code\tname\nC-11\tÑusta Pérez".encode(),
        "name,code\r\nÑusta Pérez,C-11\r\n".encode("cp1252"),
        '"code","name"\n"C-11","Ñusta Pérez"\n'.encode(),
    ],
)
def test_files_as_spreadsheets_write_them(firm: Firm, data: bytes) -> None:
    assert load(firm, data).get_json()["good"] == 1
    assert firm.call("master", "GET", "/api/v1/clients/C-11").get_json()["name"] == "Ñusta Pérez"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name\nAna\n",
        "code,wat\nC-11,x\n",
        "code,code\nC-11,x\n",
        'code,name\nC-11,"Ana\n',
        "code\nC-11,Ana\n",
        "\0",
    ],
)
def test_what_is_no_such_file(shared_firm: Firm, text: str) -> None:
    answer = load(shared_firm, text)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_csv")


def test_a_file_is_taken_in_parts(shared_firm: Firm) -> None:
    text = "code,name\n" + "".join(f"D-{number},Ana\n" for number in range(501))
    answer = load(shared_firm, text)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "too_many_rows")


def test_a_trader_registers_clients_of_their_own(firm: Firm) -> None:
    text = "code,name,trader\nC-11,Ana,\nC-12,Eva,master@firm.example\n"
    items = load(firm, text, who="trader").get_json()["items"]
    assert [(item["outcome"], len(item["errors"])) for item in items] == [("created", 0), ("refused", 1)]
    exported = firm.call("trader", "GET", EXPORT).text
    assert "C-11" in exported and "C-1," in exported and "C-2," not in exported


def test_what_is_exported_can_be_imported(firm: Firm, shared_firm: Firm) -> None:
    load(firm, FILE)
    formula = {"code": "C-20", "name": "=HYPERLINK(1)", "address": "@home", "phones": ["+51 1 4445566"]}
    assert firm.call("master", "POST", "/api/v1/clients", json=formula).status_code == 201
    answer = firm.call("master", "GET", f"{EXPORT}?q=C-")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="clients.csv"'
    assert ",'=HYPERLINK(1)," in answer.text and ",'@home," in answer.text and ",'+51 1 4445566," in answer.text
    other = shared_firm
    report = load(other, answer.data).get_json()
    refused = [(item["code"], item["errors"][0]["code"]) for item in report["items"] if item["errors"]]
    assert refused == [("C-1", "code_taken"), ("C-2", "code_taken")]
    for code in ("C-11", "C-20"):
        before, after = (f.call("master", "GET", f"/api/v1/clients/{code}").get_json() for f in (firm, other))
        ours = {"id", "trader_id", "created_at", "updated_at"}
        assert {name: before[name] for name in before.keys() - ours} == {
            name: after[name] for name in after.keys() - ours
        }


def test_addresses_of_the_api_are_no_codes(shared_firm: Firm) -> None:
    for code in ("import", "Export", "duplicates"):
        answer = shared_firm.call("master", "POST", "/api/v1/clients", json={"code": code, "name": "Ana"})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_code")
