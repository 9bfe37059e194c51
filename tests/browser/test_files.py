"""Catalogs complete and as the sources are; vendored files as they were fetched; no inline script or style."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC, TEMPLATES = ROOT / "app" / "static", ROOT / "app" / "templates"


def test_everything_shown_is_translated() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/translations", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", [STATIC / "vendor", ROOT / "tests" / "browser" / "vendor"], ids=["app", "tests"])
def test_vendored_files_are_the_ones_fetched_and_carry_their_licence(folder: Path) -> None:
    known = json.loads((folder / "VERSIONS.json").read_text())
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(known)
    for package, entry in known.items():
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / package).iterdir()}
        assert files == entry["files"], package
        assert "LICENSE" in files
        assert entry["version"] and entry["license"]


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_templates_have_no_inline_script_or_style(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']|javascript:|\|\s*safe", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


def test_scripts_build_no_html_from_strings_and_stay_short() -> None:
    for path in sorted((STATIC / "js").rglob("*.js")):
        if path.parent.name == "catalog":
            continue
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"parseFloat", text), path
        assert len(text.splitlines()) < 300, path
