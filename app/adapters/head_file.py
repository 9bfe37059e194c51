"""A file to which heads of the audit trail are added, one JSON object a line, on the disk before it is said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core import json


class HeadFile:
    """Several processes may add to it; nothing in it is ever changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, head: Mapping[str, Any]) -> None:
        """Raises ``OSError``."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = (json.dumps(dict(head)) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
