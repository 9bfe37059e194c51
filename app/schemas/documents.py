"""Documents of clients: what comes with an uploaded file, and how a document is shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.domain.clients import DocumentKind

from .base import Request, Response, TimeOut
from .orders import PageQuery


class DocumentIn(Request):
    """The fields of the form, beside the file."""

    kind: DocumentKind = Field(description="What it shows")


class DocumentQuery(PageQuery):
    kind: DocumentKind | None = Field(None, description="Documents of this kind alone")


class DocumentOut(Response):
    id: str = Field(description="Id of the document")
    client_id: str = Field(description="Id of the client")
    kind: DocumentKind = Field(description="What it shows")
    filename: str = Field(description="What the file was called where it came from")
    content_type: Literal["image/jpeg", "image/png", "application/pdf"] = Field(description="Found by its content")
    size_bytes: int = Field(description="Size of the file in bytes")
    sha256: str = Field(description="Of the file, hexadecimal")
    about_type: str | None = Field(description="What it is the proof of, such as deposit; else null")
    about_id: str | None = Field(description="Id of that, else null")
    uploaded_by: str = Field(description="Who uploaded it: user:<id>, key:<id> or system")
    created_at: TimeOut = Field(description="When it was uploaded")
