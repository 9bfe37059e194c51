"""The settings as files, made from their descriptions."""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.core.settings import ROOT, Description, descriptions, text

EXAMPLE_HEAD = """\
# Every setting, with its default; written by scripts/export_settings. Nothing needs to be set for development. Copy
# what you change into the environment of the process; the server reads no file by itself.
"""
TABLE_HEAD = """\
# Settings

Environment variables, read once at the start; a value that is not allowed ends the process with a sentence that names
it. Nothing needs to be set for development. What is secret is never shown or logged.

This page and [.env.example](../.env.example) are written by `scripts/export_settings` from `app/core/settings.py`.
"""


def sections() -> list[tuple[str, list[Description]]]:
    return [(section, list(items)) for section, items in groupby(descriptions().values(), lambda item: item.section)]


def as_example() -> str:
    blocks = [EXAMPLE_HEAD]
    for section, items in sections():
        lines = [f"# -- {section} --"]
        for item in items:
            values = "" if item.kind is text else f" ({item.kind.values})"
            lines += textwrap.wrap(item.comment + values, 118, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"{item.variable}={item.default}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def as_table() -> str:
    blocks = [TABLE_HEAD]
    for section, items in sections():
        rows = [f"## {section}", "", "| setting | values | default | what it does |", "|---|---|---|---|"]
        for item in items:
            values = f"{item.kind.values}; secret" if item.secret else item.kind.values
            default = f"`{item.default}`" if item.default else ""
            rows.append(f"| `{item.variable}` | {values} | {default} | {item.comment} |")
        blocks.append("\n".join(rows) + "\n")
    return "\n".join(blocks)


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(as_example(), encoding="utf-8")
    (ROOT / "docs" / "settings.md").write_text(as_table(), encoding="utf-8")
