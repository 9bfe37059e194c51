"""A real SMTP server on loopback that keeps what it takes, and refuses, puts off or hangs where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


class Post:
    """What the server does with an address, and what it has taken."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.refused: dict[str, str] = {}  # address -> answer to RCPT
        self.answer = "250 taken"  # to a whole message
        self.seconds = 0.0  # before that
        self.connections = 0

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: Any) -> Any:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.answer.startswith("250"):
            message = message_from_bytes(envelope.content, policy=default)
            message["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
            self.taken.append(message)  # type: ignore[arg-type]
        return self.answer

    def to(self) -> list[str]:
        return [str(message["X-Envelope-To"]) for message in self.taken]


@contextmanager
def serving(post: Post, port: int) -> Iterator[None]:
    controller = Controller(post, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
