"""Receipts and statements: what is asked of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Request

LANGUAGE = "Of the words; left out: the caller's, or what Accept-Language prefers"


class PaperQuery(Request):
    language: Literal["en", "es"] | None = Field(None, description=LANGUAGE)


class StatementQuery(PaperQuery):
    month: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")] = Field(
        description="YYYY-MM, by UTC; one that is over"
    )
