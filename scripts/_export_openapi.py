"""The API document as files."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import config, create_app
from app.routes.api.openapi import document


def as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_yaml(document: dict[str, Any]) -> str:
    # through JSON: no anchors for what is shared, no types YAML would tag
    plain = json.loads(json.dumps(document))
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda self, data: True})
    return yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110)


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as empty:
        made = document(create_app(config.TestingConfig(database_url=f"sqlite:///{empty}/none.db")))
    folder.mkdir(exist_ok=True)
    (folder / "openapi.json").write_text(as_json(made), encoding="utf-8")
    (folder / "openapi.yaml").write_text(as_yaml(made), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/export_openapi", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"), help="where they go (default: docs)")
    main(parser.parse_args().folder)
