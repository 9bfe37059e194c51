"""Papers as PDF: A4, fonts embedded, a QR code on the first page, page numbers."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode
from reportlab.lib.colors import HexColor
from reportlab.pdfgen.canvas import Canvas

from .base import Paper, Section
from .lettering import Style, draw

WIDTH, HEIGHT, MARGIN = 595, 842, 48
RIGHT, BOTTOM = WIDTH - MARGIN, MARGIN + 24
CODE_SIZE = 104
NAMES_WIDTH = 150
BRAND, INK, MUTED, RULE = HexColor(0x0B6E69), HexColor(0x17202E), HexColor(0x566275), HexColor(0xD9DFE7)
FIRM, TITLE, HEAD = Style(12, bold=True), Style(20, bold=True), Style(11, bold=True)
PLAIN, STRONG, SMALL, SMALL_HEAD = Style(10), Style(10, bold=True), Style(8), Style(8, bold=True)
TOTAL: Final = Style(14, bold=True)


class PdfPapers:
    """Each call makes a canvas of its own: several threads may draw at once."""

    def draw(self, paper: Paper) -> bytes:
        return _Drawing(paper).finish()


class _Drawing:
    """One paper, drawn from the top; ``y`` is the baseline of what comes next."""

    def __init__(self, paper: Paper) -> None:
        self.paper, self.file = paper, BytesIO()
        self.canvas: Any = Canvas(self.file, pagesize=(WIDTH, HEIGHT), lang=paper.language)
        self.canvas.setTitle(paper.title)
        self.canvas.setAuthor(paper.firm)
        self.canvas.setCreator("Cambista")
        self.pages = 0
        self.y = HEIGHT - MARGIN

    def finish(self) -> bytes:
        self._begin_page()
        self._title()
        self._facts()
        self._total()
        for section in self.paper.sections:
            self._section(section)
        self._end_page()
        self.canvas.save()
        return self.file.getvalue()

    def _text(self, style: Style, x: int, text: str, color: Any = INK, *, right: bool = False) -> None:
        self.canvas.setFillColor(color)
        draw(self.canvas, style, x, self.y, text, right=right)

    def _rule(self, color: Any = RULE) -> None:
        self.canvas.setStrokeColor(color)
        self.canvas.line(MARGIN, self.y, RIGHT, self.y)

    # -- pages -------------------------------------------------------------------------------------------

    def _begin_page(self) -> None:
        self.pages += 1
        self.canvas.setFillColor(BRAND)
        self.canvas.rect(0, HEIGHT - 8, WIDTH, 8, stroke=0, fill=1)
        self.y = HEIGHT - MARGIN
        for line in FIRM.lines(self.paper.firm, RIGHT - MARGIN):
            self._text(FIRM, MARGIN, line, BRAND)
            self.y -= 16
        self.y -= 6

    def _end_page(self) -> None:
        self.y = MARGIN - 12
        title = SMALL.lines(self.paper.title, RIGHT - MARGIN - 60)[0]
        self._text(SMALL, MARGIN, title, MUTED)
        self._text(SMALL, RIGHT, str(self.pages), MUTED, right=True)
        self.canvas.showPage()

    def _room(self, points: int) -> bool:
        """Begin a new page where fewer than ``points`` are left; returns whether one was begun."""
        if self.y - points >= BOTTOM:
            return False
        self._end_page()
        self._begin_page()
        return True

    # -- what stands on them -----------------------------------------------------------------------------

    def _title(self) -> None:
        top = self.y
        for line in TITLE.lines(self.paper.title, RIGHT - MARGIN - CODE_SIZE - 24):
            self.y -= 22
            self._text(TITLE, MARGIN, line)
        self.y -= 18
        for line in SMALL.lines(self.paper.verification.text, RIGHT - MARGIN - CODE_SIZE - 24):
            self._text(SMALL, MARGIN, line, MUTED)
            self.y -= 11
        for line in SMALL.lines(self.paper.verification.url, RIGHT - MARGIN - CODE_SIZE - 24):
            self._text(SMALL, MARGIN, line, BRAND)
            self.y -= 11
        self.canvas.linkURL(self.paper.verification.url, (MARGIN, self.y + 8, RIGHT - CODE_SIZE, self.y + 22))
        self._code(RIGHT - CODE_SIZE, top - CODE_SIZE)
        self.y = min(self.y, top - CODE_SIZE) - 12
        self._rule()
        self.y -= 22

    def _code(self, x: int, y: int) -> None:
        """The QR code; neighbours in a row are one rectangle."""
        made = QRCode(error_correction=ERROR_CORRECT_M, border=0, mask_pattern=4)  # trying all masks takes longest
        made.add_data(self.paper.verification.url)
        made.make()
        matrix = made.get_matrix()
        unit = CODE_SIZE / len(matrix)
        self.canvas.setFillColor(INK)
        for row, modules in enumerate(matrix):
            start = 0
            while start < len(modules):
                end = start
                while end < len(modules) and modules[end]:
                    end += 1
                if end > start:
                    top = y + CODE_SIZE - (row + 1) * unit
                    self.canvas.rect(x + start * unit, top, (end - start) * unit, unit, stroke=0, fill=1)
                start = end + 1

    def _facts(self) -> None:
        for name, value in self.paper.facts:
            names, values = PLAIN.lines(name, NAMES_WIDTH - 12), PLAIN.lines(value, RIGHT - MARGIN - NAMES_WIDTH)
            self._room(14 * max(len(names), len(values)))
            top = self.y
            for line in names:
                self._text(PLAIN, MARGIN, line, MUTED)
                self.y -= 14
            after, self.y = self.y, top
            for line in values:
                self._text(PLAIN, MARGIN + NAMES_WIDTH, line)
                self.y -= 14
            self.y = min(self.y, after) - 5

    def _total(self) -> None:
        if self.paper.total is None:
            return
        name, value = self.paper.total
        self._room(40)
        self.y += 4
        self._rule(BRAND)
        self.y -= 22
        self._text(TOTAL, MARGIN, name)
        self._text(TOTAL, RIGHT, value, right=True)
        self.y -= 24

    def _section(self, section: Section) -> None:
        columns = _Columns(section)
        self._room(60)
        self.y -= 10
        for line in HEAD.lines(section.title, RIGHT - MARGIN):
            self._text(HEAD, MARGIN, line, BRAND)
            self.y -= 16
        self._heads(section, columns)
        for cells in section.rows:
            wrapped = [SMALL.lines(cell, columns.widths[at] - 8) for at, cell in enumerate(cells)]
            if self._room(11 * max(len(lines) for lines in wrapped)):
                self._heads(section, columns)
            self._row(columns, wrapped, SMALL, INK)
        self.y -= 8

    def _heads(self, section: Section, columns: _Columns) -> None:
        wrapped = [SMALL_HEAD.lines(head, columns.widths[at] - 8) for at, head in enumerate(section.heads)]
        self._row(columns, wrapped, SMALL_HEAD, MUTED)
        self.y += 8
        self._rule()
        self.y -= 12

    def _row(self, columns: _Columns, wrapped: list[list[str]], style: Style, color: Any) -> None:
        top = lowest = self.y
        for at, lines in enumerate(wrapped):
            self.y = top
            for line in lines:
                self._text(style, columns.anchors[at], line, color, right=columns.is_number[at])
                self.y -= 11
            lowest = min(lowest, self.y)
        self.y = lowest - 2


class _Columns:
    """Where the columns of a table stand: each as wide as its widest cell, but the second, which takes the rest."""

    def __init__(self, section: Section) -> None:
        count = len(section.heads)
        self.is_number = [at >= count - 2 for at in range(count)]
        cells = [section.heads, *section.rows]
        self.widths = [max(SMALL_HEAD.width(row[at]) for row in cells) + 12 for at in range(count)]
        self.widths[1] = RIGHT - MARGIN - sum(self.widths) + self.widths[1]
        self.anchors, left = [], MARGIN
        for at, width in enumerate(self.widths):
            self.anchors.append(left + width if self.is_number[at] else left)
            left += width
