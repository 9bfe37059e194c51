"""What is logged is logged once, in our form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.data import REPOSITORY

SCRIPT = """
import logging
from app import create_app
from app.config import TestingConfig
create_app(TestingConfig(database_url="sqlite:///FOLDER/none.db"))
print([name for name in ("engineio.server", "socketio.server") if logging.getLogger(name).handlers])
"""


def test_the_socket_servers_have_no_handler_of_their_own(tmp_path: Path) -> None:
    script = SCRIPT.replace("FOLDER", str(tmp_path))
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "ASYNC_MODE": "threading"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
