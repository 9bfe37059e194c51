"""What an example of the API reference is, and who sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CLIENT, FIRM, PERSON = "client", "system", "person"  # the demo's two keys, and its Master in a browser
OPERATOR = "operator"  # the demo's, in a browser
OFFICER = "officer"  # its person of the middle office in a browser


@dataclass(frozen=True, slots=True)
class Example:
    """``adds`` and ``changes`` are all that it may do: rows by table, columns by table.

    ``needs`` names what must be there first, where the path has an id: order, position, paused wallet, fault,
    approval, second step, failed mail, deposit, transfer, mismatch, and a withdrawal: open, approved or processing.
    ``at`` has the values of the path where they are not the usual ones; ``file`` is what is uploaded, beside a form.
    """

    name: str
    title: str
    body: Mapping[str, Any]
    who: str = CLIENT
    needs: str = ""
    at: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    status: int = 0  # of the answer; the operation's own when 0
    adds: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NOTHING: Final[dict[str, Any]] = {}
