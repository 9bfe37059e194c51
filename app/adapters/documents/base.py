"""What papers are made of, whatever draws them. Every text is in the reader's language already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Section:
    """A table: ``heads`` and ``rows`` of as many cells; the last two columns are numbers and end at the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """Where anybody can see that a paper is genuine: ``url`` is also drawn as a QR code."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Paper:
    """A receipt or a statement. ``facts`` are pairs of a name and a value; ``total`` stands out under them."""

    firm: str
    title: str
    language: str
    facts: tuple[tuple[str, str], ...]
    verification: Verification
    total: tuple[str, str] | None = None
    sections: tuple[Section, ...] = ()


class Papers(Protocol):
    """Draws papers."""

    def draw(self, paper: Paper) -> bytes:
        """The whole file. It is work for the processor alone: off the event loop, and in no transaction."""
