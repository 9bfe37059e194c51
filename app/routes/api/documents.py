"""Documents of clients over JSON; the files themselves come in a form, and leave as attachments."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core.permissions import READ, WRITE, Resource
from app.models import ClientDocument
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import db, now, query, services, uploaded
from app.schemas.documents import DocumentIn, DocumentOut, DocumentQuery
from app.services import access, clients, documents

from . import blueprint, page

READING, WRITING = (Resource.DOCUMENTS, READ), (Resource.DOCUMENTS, WRITE)


@blueprint.get("/clients/<ref>/documents")
@endpoint(
    "Documents of a client, the newest first",
    tag="clients",
    query=DocumentQuery,
    response=DocumentOut,
    many=True,
    needs=READING,
)
def list_documents(ref: str) -> ResponseReturnValue:
    asked = query(DocumentQuery)
    client = access.client(db(), principal(), ref, READ, Resource.DOCUMENTS)
    found, total = documents.of_client(db(), client, asked.limit, asked.offset, asked.kind)
    return page([documents.show(row) for row in found], total, asked.limit, asked.offset)


@blueprint.post("/clients/<ref>/documents")
@endpoint(
    "Upload a document of a client",
    tag="clients",
    body=DocumentIn,
    file="JPEG, PNG or PDF, at most 10 MB and 40 million pixels unless set otherwise",
    response=DocumentOut,
    status=201,
    needs=WRITING,
    errors=("unsupported_document", "invalid_filename", "damaged_file", "too_many_pixels"),
    description="What the file is, is found by its content; its name must say the same. It is kept as it came, "
    "without what a camera has put behind the picture.",
)
@no_transaction
def add_document(ref: str) -> ResponseReturnValue:
    given, upload = uploaded(DocumentIn)
    who, moment, ip, parts = principal(), now(), request.remote_addr, services()
    parts.database.read(lambda session: access.client(session, who, ref, WRITE, Resource.DOCUMENTS))
    kept = parts.documents.keep(upload.name, upload.data)

    def work(session: Session) -> dict[str, Any]:
        client = access.client(session, who, ref, WRITE, Resource.DOCUMENTS)
        return documents.show(documents.store(session, client, given.kind, kept, who, moment, ip=ip))

    return parts.database.run(work), 201


@blueprint.get("/clients/<ref>/documents/<document_id>")
@endpoint("Get a document of a client, without its file", tag="clients", response=DocumentOut, needs=READING)
def get_document(ref: str, document_id: str) -> ResponseReturnValue:
    return documents.show(_document(db(), ref, document_id, READ))


@blueprint.get("/clients/<ref>/documents/<document_id>/file")
@endpoint(
    "Download the file of a document",
    tag="clients",
    needs=READING,
    media_type="application/octet-stream",
    description="Always as an attachment. That somebody of the firm read it is on record.",
)
@no_transaction
def download_document(ref: str, document_id: str) -> ResponseReturnValue:
    who, moment, ip, parts = principal(), now(), request.remote_addr, services()

    def work(session: Session) -> tuple[str, str]:
        row = _document(session, ref, document_id, READ)
        documents.note_read(session, row, who, moment, ip)
        return row.filename, row.storage_key

    filename, key = parts.database.run(work)
    return attachment(parts.documents.read(key), filename)


def attachment(data: bytes, filename: str) -> Response:
    """Bytes that a browser saves and never shows: not as a page of ours, whatever is in them."""
    ascii_name = "".join(char if char.isascii() and char not in '"\\' else "_" for char in filename)
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(filename, safe='')}"
    headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
    return Response(data, 200, headers, content_type="application/octet-stream")


@blueprint.delete("/clients/<ref>/documents/<document_id>")
@endpoint(
    "Remove a document of a client",
    tag="clients",
    response=DocumentOut,
    needs=WRITING,
    errors=("document_in_use",),
    description="Answers the document as it was. What proves something stays, and a client cannot take back the "
    "papers by which the firm has decided who they are.",
)
def remove_document(ref: str, document_id: str) -> ResponseReturnValue:
    row = _document(db(), ref, document_id, WRITE)
    clients.lock(db(), access.client(db(), principal(), ref, WRITE, Resource.DOCUMENTS))
    documents.remove(db(), row, principal(), now(), request.remote_addr)
    return documents.show(row)


def _document(session: Session, ref: str, document_id: str, right: str) -> ClientDocument:
    client = access.client(session, principal(), ref, right, Resource.DOCUMENTS)
    return documents.by_id(session, principal(), document_id, right, client)
