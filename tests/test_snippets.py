"""What the README and the bot's guide print runs as printed."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.browser.server import Server, start
from tests.data import REPOSITORY

DEMO = "http://127.0.0.1:5000"
FILLED = re.compile(r"order\.filled .*FILLED")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(tmp_path_factory, MARKET_FEED="simulated")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    keys = json.loads((server.log.parent / "demo_keys.json").read_text())
    return str(keys["client"])


def snippets(file: str, language: str, server: Server) -> list[str]:
    """The blocks of a document, at the server's address and without their indentation."""
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    found = []
    for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        lines = [line[len(indent) :] for line in block.splitlines()]
        address = server.url.removeprefix("http://")
        found.append("\n".join(lines).replace("127.0.0.1:5000", address))
    assert found
    return found


def is_installed_for_users(name: str) -> bool:
    locked = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    return re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE) is not None


@pytest.mark.parametrize("file", ["README.md", "docs/bots.md"])
def test_the_socket_snippet_runs_with_what_is_installed(server: Server, key: str, tmp_path: Path, file: str) -> None:
    (source,) = snippets(file, "python", server)
    for module in re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE):
        assert module in sys.stdlib_module_names or is_installed_for_users(module.replace("_", "-")), module
    script = tmp_path / "live.py"
    script.write_text(source, encoding="utf-8")
    environment = {**os.environ, "KEY": key}
    buy = {"symbol": "ETH/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1"}
    seen = ""
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE) as live:
        try:
            assert live.stdout is not None
            for _ in range(20):  # the first orders may be sent before it has connected
                answer = requests.post(server.url + "/api/v1/orders", json=buy, headers={"X-API-Key": key}, timeout=20)
                assert answer.status_code == 201
                patience = time.monotonic() + 3  # other messages come all the time
                while not FILLED.search(seen) and time.monotonic() < patience:
                    if not select.select([live.stdout], [], [], 0.5)[0]:
                        continue
                    heard = os.read(live.stdout.fileno(), 65536).decode()
                    assert heard, f"it ended: {seen}"
                    seen += heard
                if FILLED.search(seen):
                    break
        finally:
            live.kill()
    assert FILLED.search(seen), seen


@pytest.mark.parametrize("file", ["README.md", "docs/bots.md"])
def test_the_curl_calls_run(server: Server, key: str, file: str) -> None:
    blocks = [block for block in snippets(file, "sh", server) if "curl" in block]
    text = "\n".join(block for block in blocks).replace("KEY=ck_...", f"KEY={key}").replace("curl ", "curl -sS --fail ")
    done = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"status":"NEW"' in done.stdout or '"status":"FILLED"' in done.stdout
