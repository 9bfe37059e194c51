"""Mail that leaves the firm, as those who look after the server see it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Response, TimeOut
from .orders import PageQuery

MailStatus = Literal["waiting", "sent", "failed"]


class MailQuery(PageQuery):
    status: MailStatus | None = Field(None, description="Only mails in this state")


class MailOut(Response):
    """Without what it says, which is its recipient's."""

    id: str = Field(description="Id of the mail; its Message-ID begins with it")
    template: str = Field(description="Which mail it is, such as invitation")
    language: str = Field(description="en or es")
    recipient: str = Field(description="The address it goes to")
    sender: str = Field(description="Which of the firm's addresses it comes from: notices or confirmations")
    status: MailStatus = Field(description="waiting, sent, or failed: given up")
    attempts: int = Field(ge=0, description="How often it was handed to the server")
    last_error: str | None = Field(description="What the server said last; null: nothing bad")
    created_at: TimeOut = Field(description="When it was queued")
    next_attempt_at: TimeOut | None = Field(description="When it is tried next; null: sent or given up")
    sent_at: TimeOut | None = Field(description="When the server took it, else null")
