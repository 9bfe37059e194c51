"""Text of any script on a canvas: which font has which letter, how wide it is, where its lines break."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

_FOLDER: Final = Path(__file__).with_name("fonts")
REGULAR, BOLD, WIDE = "CambistaSans", "CambistaSans-Bold", "CambistaWide"
_FILES: Final = {REGULAR: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf", WIDE: "DroidSansFallback.ttf"}
_NOWHERE: Final = "\u25a1"  # drawn for what no font has
Line = list[tuple[str, str]]  # runs of a font and the text in it


@cache
def _letters() -> dict[str, frozenset[int]]:
    """What each font has; the fonts are embedded, as far as they are used, in every file."""
    found = {}
    for name, file in _FILES.items():
        font = TTFont(name, _FOLDER / file)
        pdfmetrics.registerFont(font)
        found[name] = frozenset(font.face.charToGlyph)
    return found


@dataclass(frozen=True, slots=True)
class Style:
    """``size`` in points."""

    size: int
    bold: bool = False

    def runs(self, text: str) -> Line:
        """The text by font, in its order."""
        letters = _letters()
        own = BOLD if self.bold else REGULAR
        text = unicodedata.normalize("NFC", text)
        if letters[own].issuperset(map(ord, text)):
            return [(own, text)]
        line: Line = []
        for letter in text:
            code = ord(letter)
            font = next((name for name in (own, REGULAR, WIDE) if code in letters[name]), None)
            if font is None:
                font, letter = own, _NOWHERE
            if line and line[-1][0] == font:
                line[-1] = (font, line[-1][1] + letter)
            else:
                line.append((font, letter))
        return line

    def width(self, text: str) -> int:
        """In points, rounded up."""
        points = sum(pdfmetrics.stringWidth(part, font, self.size) for font, part in self.runs(text))
        return int(points) + 1

    def lines(self, text: str, width: int) -> list[str]:
        """The text in lines no wider than ``width`` points; a word that is wider breaks where it must."""
        found = [""]
        for word in _words(text):
            if self.width(found[-1] + word.rstrip()) <= width:
                found[-1] += word
                continue
            if found[-1]:
                found.append("")
            for letter in word:
                if found[-1] and self.width((found[-1] + letter).rstrip()) > width:
                    found.append("")
                found[-1] += letter
        return [line.rstrip() for line in found]


def _words(text: str) -> list[str]:
    """Words with the space behind them; ideographs are words of one letter."""
    words = [""]
    for letter in text:
        words[-1] += letter
        if letter.isspace() or unicodedata.east_asian_width(letter) in ("W", "F"):
            words.append("")
    return [word for word in words if word]


def draw(canvas: Any, style: Style, x: int, y: int, text: str, *, right: bool = False) -> None:
    """At the baseline ``y``, from ``x`` on or, with ``right``, up to it."""
    x = x - style.width(text) if right else x
    drawn = canvas.beginText(x, y)
    for font, part in style.runs(text):
        drawn.setFont(font, style.size)
        drawn.textOut(part)
    canvas.drawText(drawn)
