"""Documents over JSON: what is taken, what an attacker sends, who reads it, and what a crash leaves."""

from __future__ import annotations

import hashlib
import io
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.core.clock import ManualClock
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.permissions import READ, Principal, Role
from app.models import Client, ClientDocument
from app.services import documents
from app.services.documents import Sweep

from .conftest import Firm

PATH = "/api/v1/clients/C-1/documents"


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 5)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, kind)
    return out.getvalue()


def pdf(inside: bytes = b"") -> bytes:
    return b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog " + inside + b">>\nendobj\ntrailer\n<<>>\n%%EOF\n"


def objects(inside: bytes) -> bytes:
    packed = zlib.compress(inside)
    return (
        b"%PDF-1.5\n1 0 obj\n<< /Type /ObjStm /Filter /FlateDecode >>\nstream\n"
        + packed
        + b"\nendstream\nendobj\n%%EOF"
    )


def upload(
    firm: Firm, data: bytes, name: str = "dni.png", who: str = "master", kind: str = "id_front", **more: Any
) -> Any:
    form = {"kind": kind, "file": (io.BytesIO(data), name), **more}
    return firm.call(who, "POST", PATH, data=form)


@pytest.mark.parametrize("who", ["client", "trader", "operator", "key:firm"])
def test_a_document_comes_and_leaves_as_it_was(firm_on_each: Firm, who: str) -> None:
    data = picture()
    answer = upload(firm_on_each, data, "DNI de Ñusta.png", who)
    assert answer.status_code == 201, answer.get_json()
    made = answer.get_json()
    assert (made["content_type"], made["size_bytes"]) == ("image/png", len(data))
    assert made["sha256"] == hashlib.sha256(data).hexdigest()
    assert firm_on_each.call(who, "GET", f"{PATH}/{made['id']}").get_json() == made
    listed = firm_on_each.call(who, "GET", f"{PATH}?kind=id_front").get_json()
    assert (listed["items"], listed["total"]) == ([made], 1)
    file = firm_on_each.call(who, "GET", f"{PATH}/{made['id']}/file")
    assert file.data == data
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert file.headers["Content-Disposition"] == (
        "attachment; filename=\"DNI de _usta.png\"; filename*=UTF-8''DNI%20de%20%C3%91usta.png"
    )


def test_it_is_stored_under_a_name_of_ours_outside_the_web_root(firm: Firm, tmp_path: Path) -> None:
    upload(firm, picture())
    storage = firm.app.extensions["services"].documents.storage
    (file,) = [path for path in storage._folder.rglob("*") if path.is_file()]
    assert "dni" not in str(file.relative_to(storage._folder)) and len(file.name) == 40
    assert Path(firm.app.static_folder or "") not in file.parents


GOOD = [
    ("photo.jpg", picture("JPEG")),
    ("photo.JPEG", picture("JPEG")),
    ("Dr. Pérez.2024.pdf", pdf()),
    ("scan.pdf", objects(b"1 0 << /Type /Page >>")),
]


@pytest.mark.parametrize(("name", "data"), GOOD, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_taken(shared_firm: Firm, name: str, data: bytes) -> None:
    answer = upload(shared_firm, data, name)
    assert (answer.status_code, answer.get_json().get("filename")) == (201, name)


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
ATTACKS = [
    ("wrong magic", "dni.png", b"MZ" + b"\0" * 200, 415, "unsupported_document"),
    ("SVG", "dni.svg", SVG, 415, "unsupported_document"),
    ("SVG called PNG", "dni.png", SVG, 415, "unsupported_document"),
    ("HTML", "dni.pdf", b"<!doctype html><script>alert(1)</script>", 415, "unsupported_document"),
    ("PDF called PNG", "dni.png", pdf(), 415, "unsupported_document"),
    ("no extension", "dni", picture(), 415, "unsupported_document"),
    ("double extension", "dni.php.png", picture(), 415, "unsupported_document"),
    ("double extension, the other way", "dni.png.exe", picture(), 415, "unsupported_document"),
    ("path", "../../dni.png", picture(), 422, "invalid_filename"),
    ("path of Windows", "..\\dni.png", picture(), 422, "invalid_filename"),
    ("bidi", "gnp.\u202eexe.png", picture(), 422, "invalid_filename"),
    ("nothing to see", "\u3164.png"[:1] + "\u200b", picture(), 422, "invalid_filename"),
    ("long", "a" * 200 + ".png", picture(), 422, "invalid_filename"),
    ("JPEG in front of HTML", "dni.jpg", b"\xff\xd8\xff<html><script>", 422, "damaged_file"),
    ("PNG and ZIP", "dni.png", picture() + b"PK\x03\x04", 415, "unsupported_document"),
    ("PNG cut short", "dni.png", picture()[:-20], 422, "damaged_file"),
    ("JPEG cut short", "dni.jpg", picture("JPEG")[:-40], 422, "damaged_file"),
    ("PDF without an end", "dni.pdf", b"%PDF-1.4\n1 0 obj", 422, "damaged_file"),
    ("PDF with a program", "dni.pdf", pdf(b"/OpenAction << /S /JavaScript /JS (app.alert(1)) >>"), 415, ""),
    ("PDF with a program in other letters", "dni.pdf", pdf(b"/S /J#61vaScript"), 415, ""),
    ("PDF with a program packed away", "dni.pdf", objects(b"<< /S /Launch >>"), 415, ""),
    ("PDF and HTML", "dni.pdf", pdf(b"(<script>alert(1)</script>)"), 415, ""),
    ("PDF and ZIP", "dni.pdf", pdf() + b"PK\x05\x06" + b"\0" * 18 + b"%%EOF", 415, ""),
    ("empty", "dni.png", b"", 415, "unsupported_document"),
]


@pytest.mark.parametrize(
    ("name", "data", "status", "code"), [case[1:] for case in ATTACKS], ids=[a[0] for a in ATTACKS]
)
def test_attacks(shared_firm: Firm, name: str, data: bytes, status: int, code: str) -> None:
    answer = upload(shared_firm, data, name)
    assert answer.status_code == status, answer.get_json()
    assert answer.get_json()["code"] == (code or "unsupported_document")


def comment(data: bytes) -> bytes:
    """A JPEG with a comment right behind its beginning."""
    start = picture("JPEG")
    return start[:2] + b"\xff\xfe" + (len(data) + 2).to_bytes(2, "big") + data + start[2:]


def test_a_program_hidden_in_a_picture_is_refused(shared_firm: Firm) -> None:
    assert upload(shared_firm, comment(b"taken on a walk"), "a.jpg").status_code == 201
    for hidden in (b"<script>alert(1)</script>", b"<?php system($_GET[0]); ?>", b"%PDF-1.4 %%EOF"):
        answer = upload(shared_firm, comment(hidden), "a.jpg")
        assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_document"), hidden


def test_what_a_phone_puts_behind_a_picture_is_not_kept(firm: Firm) -> None:
    data = picture("JPEG")
    made = upload(firm, data + b"SEFT of a phone", "a.jpg").get_json()
    assert firm.call("master", "GET", f"{PATH}/{made['id']}/file").data == data


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that unpacks to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    shared_firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_args: Any) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", unpack)
    answer = upload(shared_firm, bomb(60_000, 60_000))
    assert (answer.status_code, answer.get_json()["code"]) == (422, "too_many_pixels")


def test_a_file_that_is_too_large(open_app: Any) -> None:
    firm = open_app(max_upload_bytes=2000)
    assert upload(firm, pdf(b"/A (" + b"x" * 1000 + b")"), "a.pdf").status_code == 201
    for size in (2001, 100_000):  # looked at by the service, by the gate
        answer = upload(firm, pdf(b"/A (" + b"x" * size + b")"), "a.pdf")
        assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")


def test_the_form_is_checked_like_any_body(shared_firm: Firm) -> None:
    def refused(**options: Any) -> tuple[int, str]:
        answer = shared_firm.call("master", "POST", PATH, **options)
        return answer.status_code, answer.get_json()["code"]

    assert refused(json={"kind": "other"}) == (415, "unsupported_media_type")
    assert refused(data={"kind": "other"}, content_type="multipart/form-data") == (422, "required")
    file = lambda: (io.BytesIO(picture()), "a.png")  # noqa: E731
    assert refused(data={"file": file()}) == (422, "required")
    assert refused(data={"kind": "nonsense", "file": file()}) == (422, "invalid_choice")
    assert refused(data={"kind": "other", "status": "x", "file": file()}) == (422, "unknown_field")
    assert refused(data={"kind": ["other", "selfie"], "file": file()}) == (422, "repeated")
    assert refused(data={"kind": "other", "picture": file()}) == (422, "unknown_field")
    assert refused(data={"kind": "other", "file": [file(), file()]}) == (422, "unknown_field")


def test_a_form_needs_the_pages_token(firm: Firm) -> None:
    form = {"kind": "other", "file": (io.BytesIO(picture()), "a.png")}
    answer = firm.call("client", "POST", PATH, data=form, csrf=False)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "csrf")


def test_somebody_elses_documents_do_not_exist(firm: Firm) -> None:
    made = upload(firm, picture()).get_json()
    for who, path in (
        ("key:other", f"{PATH}/{made['id']}"),
        ("key:other", f"{PATH}/{made['id']}/file"),
        ("key:other", f"/api/v1/clients/C-2/documents/{made['id']}"),
        ("trader", "/api/v1/clients/C-2/documents"),
        ("master", f"/api/v1/clients/C-2/documents/{made['id']}"),
        ("master", f"{PATH}/not-an-id"),
    ):
        assert firm.call(who, "GET", path).status_code == 404, (who, path)


def test_a_service_that_is_given_an_id_finds_the_callers_own_alone(firm: Firm) -> None:
    made = upload(firm, picture()).get_json()["id"]

    def find(client: str) -> Any:
        caller = Principal("user", new_id(), "x", Role.CLIENT, firm.ids[client])
        return firm.run(lambda session: documents.by_id(session, caller, made, READ).id)

    assert find("ana") == made
    with pytest.raises(NotFound):
        find("luis")


def test_what_is_removed_is_gone_and_what_proves_something_stays(firm: Firm) -> None:
    first, second = (upload(firm, picture(), who="client").get_json()["id"] for _ in range(2))
    assert firm.call("client", "DELETE", f"{PATH}/{first}").get_json()["id"] == first
    for path in (f"{PATH}/{first}", f"{PATH}/{first}/file"):
        assert firm.call("client", "GET", path).status_code == 404

    def known(session: Any) -> None:
        session.get(Client, firm.ids["ana"]).kyc_status = "approved"

    firm.run(known)
    assert firm.call("client", "DELETE", f"{PATH}/{second}").get_json()["code"] == "document_in_use"

    def prove(session: Any) -> None:
        row = session.get(ClientDocument, second)
        row.about_type, row.about_id = "deposit", new_id()

    firm.run(prove)
    assert firm.call("master", "DELETE", f"{PATH}/{second}").get_json()["code"] == "document_in_use"
    firm.number()
    told = firm.call("key:client", "GET", "/api/v1/events?types=client.document_added,client.document_removed")
    assert [event["type"].rpartition("_")[2] for event in told.get_json()["items"]] == ["added", "added", "removed"]


def test_it_is_on_record_who_of_the_firm_read_it(firm: Firm) -> None:
    made = upload(firm, picture()).get_json()["id"]
    for who in ("client", "operator"):
        firm.call(who, "GET", f"{PATH}/{made}/file")
    firm.number()
    read = firm.call("master", "GET", "/api/v1/admin/audit?action=document.read").get_json()["items"]
    assert [record["actor"] for record in read] == [f"user:{firm.ids['operator']}"]


def test_a_repeat_under_the_same_key_stores_nothing_twice(firm: Firm) -> None:
    data, headers = picture(), {"Idempotency-Key": "k", "Content-Type": "multipart/form-data; boundary=b"}
    form = (
        b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nother\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + data + b"\r\n--b--\r\n"
    )
    answers = [firm.call("master", "POST", PATH, data=form, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json() and answers[1].headers["Idempotency-Replayed"] == "true"
    assert firm.call("master", "GET", PATH).get_json()["total"] == 1


def test_files_that_no_document_has_are_swept_away(firm_on_each: Firm, clock: ManualClock) -> None:
    """A crash between file and row leaves such a file; a removed document leaves it later."""
    firm = firm_on_each
    kept, removed = (upload(firm, picture(size=(size, 9))).get_json()["id"] for size in (7, 8))
    parts = firm.app.extensions["services"]
    lost = parts.documents.keep("a.png", picture())
    firm.call("master", "DELETE", f"{PATH}/{removed}")
    storage = parts.documents.storage

    def there() -> int:
        return sum(path.is_file() for path in storage._folder.rglob("*"))

    def sweep(days: int) -> int:
        files = storage._folder.rglob("*")
        made = max(path.stat().st_mtime for path in files if path.is_file())
        now = clock.now().fromtimestamp(made, clock.now().tzinfo) + timedelta(days=days, minutes=30)
        chore = Sweep(parts.database, storage, timedelta(days=3))
        for _ in range(256):
            assert chore.step(now) is False
        return there()

    assert there() == 3
    assert sweep(0) == 3, "it may be one that is being stored"
    firm.run(lambda session: setattr(session.get(ClientDocument, removed), "removed_at", _today(storage, lost.key)))
    assert sweep(1) == 2
    assert sweep(5) == 1
    assert firm.call("master", "GET", f"{PATH}/{kept}/file").status_code == 200


def _today(storage: Any, key: str) -> Any:
    """When the files of this test were made, by the storage's clock."""
    return next(file.modified_at for file in storage.files(key[:2]) if file.key == key)
