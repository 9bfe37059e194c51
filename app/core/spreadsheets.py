"""CSV as spreadsheets take it: no cell of it is run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lines that end as RFC 4180 has them; None is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: Any) -> str:
    """Text no spreadsheet takes for a formula; amounts keep their sign."""
    shown = "" if value is None else str(value)
    if shown.startswith(_FORMULA) and not shown.removeprefix("-").replace(".", "", 1).isdigit():
        return "'" + shown
    return shown


def plain_text(cell: str) -> str:
    """What stood in a cell before ``csv_text`` defused it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
