"""Where the recorded market data and the worked examples are: a folder beside the checkout."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
shared_data = Path(os.environ.get("SHARED_DATA", REPOSITORY.parent / "shared" / "data"))


def oracle(name: str) -> Any:
    """A file of worked examples, its numbers exact; skips the test's module where the folder is missing."""
    path = shared_data / "oracles" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here (SHARED_DATA names the folder)", allow_module_level=True)
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
