"""Mail into a folder, a file a letter, for machines without a mail server: any mail program opens them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from .base import Letter, Refused, ServerAway


class FolderMailer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def connect(self) -> Iterator[FolderMailer]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ServerAway(str(error)) from error
        yield self

    def send(self, letter: Letter) -> None:
        """The same letter overwrites itself."""
        message = EmailMessage(policy=SMTP)
        try:
            message["From"], message["To"], message["Subject"] = letter.sender, letter.recipient, letter.subject
        except ValueError as error:
            raise Refused("its address or subject has line ends") from error
        message["Message-ID"] = letter.message_id
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        name = letter.message_id.strip("<>").partition("@")[0]
        path, draft = self._folder / f"{name}.eml", self._folder / f".{name}"
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(message.as_bytes())
            draft.replace(path)
        except OSError as error:
            raise ServerAway(str(error)) from error
