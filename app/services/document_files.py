"""What an uploaded file really is: found by its content, never by what its sender says.

Taken are pictures (JPEG, PNG) and PDF. A file that could pass for something else as well is refused.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from dataclasses import dataclass
from typing import Final

from PIL import Image, UnidentifiedImageError

from app.core.errors import Invalid, TooLarge, UnsupportedDocument
from app.domain.identifiers import is_visible

JPEG, PNG, PDF = "image/jpeg", "image/png", "application/pdf"
SUFFIXES: Final = {JPEG: (".jpg", ".jpeg"), PNG: (".png",), PDF: (".pdf",)}
MAX_NAME: Final = 200
_STARTS: Final = ((b"\xff\xd8\xff", JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"%PDF-", PDF))
# what a browser or another program would run or open, hidden in a file of another kind: long enough not to turn up
# in a picture's pixels by chance
_FOREIGN: Final = re.compile(rb"<script|<html|<svg[\s>]|<iframe|<!doctype|<\?php|.%PDF-", re.I | re.S)
_END_OF_ZIP: Final = b"PK\x05\x06"
_ZIP_LOOKS_BACK: Final = 65_557  # bytes from the end, where programs look for it
_ACTIVE_PDF: Final = re.compile(rb"/(?:JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|XFA)\b")
_STREAM: Final = re.compile(rb"(<<(?:(?!stream).){0,2000}?)stream\r?\n(.*?)endstream", re.S)
_ESCAPED: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_MAX_OBJECTS: Final = 4 << 20  # bytes of one stream of objects, unpacked
_INNER_SUFFIX: Final = re.compile(
    r"\.(?:php\d?|phtml|phar|aspx?|jspx?|cgi|pl|py|rb|sh|exe|com|dll|scr|bat|cmd|msi|ps1|vbs?|jar|js|mjs|hta|html?"
    r"|xhtml|svgz?|xml|swf|zip|rar|7z|docm?x?|xlsm?x?|jpe?g|png|pdf|lnk|apk)(?=\.)",
    re.I,
)
_UNSAFE_NAME: Final = re.compile("[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Image.MAX_IMAGE_PIXELS = None  # ours is asked below, before a single pixel is unpacked


@dataclass(frozen=True, slots=True)
class FileLimits:
    max_bytes: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """``name`` is for people; ``data`` what is to be stored."""

    name: str
    content_type: str
    data: bytes
    sha256: str


def inspect(name: str, data: bytes, limits: FileLimits) -> InspectedFile:
    """The file, if it is what it says and nothing besides.

    Unpacks pictures: run it off the event loop. Raises ``TooLarge``, ``UnsupportedDocument``, ``Invalid``.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(f"the file is larger than {limits.max_bytes} bytes")
    name = _checked_name(name)
    content_type = next((kind for start, kind in _STARTS if data.startswith(start)), None)
    if content_type is None:
        raise UnsupportedDocument("the file is neither JPEG, PNG nor PDF")
    _check_suffix(name, content_type)
    if content_type == PDF:
        visible = _checked_pdf(data)
    else:
        visible = data = _checked_picture(data, content_type, limits)
    if _FOREIGN.search(visible) or _END_OF_ZIP in data[-_ZIP_LOOKS_BACK:]:
        raise UnsupportedDocument("the file is of two kinds at once")
    return InspectedFile(name, content_type, data, hashlib.sha256(data).hexdigest())


def _checked_name(name: str) -> str:
    name = name.strip()
    unsafe = _UNSAFE_NAME.search(name) or "/" in name or "\\" in name or not is_visible(name)
    if unsafe or not 1 <= len(name) <= MAX_NAME:
        message = f"must have 1 to {MAX_NAME} characters, and no path"
        raise Invalid.field("file", "invalid_filename", message, name[:60])
    return name


def _check_suffix(name: str, content_type: str) -> None:
    """A name of another kind, or of two, is how a file gets itself opened by the wrong program."""
    if not name.lower().endswith(SUFFIXES[content_type]):
        raise UnsupportedDocument(f"the content is {content_type}, the name says something else")
    if _INNER_SUFFIX.search(name):
        raise UnsupportedDocument("the name has two extensions")


def _checked_picture(data: bytes, content_type: str, limits: FileLimits) -> bytes:
    """The picture alone, without what a phone or somebody else has put behind it."""
    data = _whole_jpeg(data) if content_type == JPEG else _whole_png(data)
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG" if content_type == JPEG else "PNG"]) as picture:
            if picture.width * picture.height > limits.max_pixels:
                message = f"must have at most {limits.max_pixels} pixels"
                raise Invalid.field("file", "too_many_pixels", message, f"{picture.width} x {picture.height}")
            picture.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise _damaged() from error
    return data


def _damaged() -> Invalid:
    return Invalid.field("file", "damaged_file", "is damaged, or not complete")


def _whole_jpeg(data: bytes) -> bytes:
    """Up to its end marker: cameras append previews and notes of their own, which nobody looks at."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            raise _damaged()
        marker = data[place + 1]
        if marker == 0xD9:
            return data[: place + 2]
        if marker == 0xFF:  # padding
            place += 1
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:
            place = _end_of_scan(data, place)
    if data[place : place + 2] == b"\xff\xd9":
        return data[: place + 2]
    raise _damaged()


def _end_of_scan(data: bytes, place: int) -> int:
    """Where the next marker stands: within a scan FF is followed by 00 or the number of a restart."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise _damaged()
        if data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2


def _whole_png(data: bytes) -> bytes:
    """Up to its last chunk; nothing may follow, no camera has a reason to."""
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"IEND":
            if end != len(data):
                raise UnsupportedDocument("the file goes on behind the picture")
            return data
        place = end
    raise _damaged()


def _checked_pdf(data: bytes) -> bytes:
    """What a reader of it is told to do: all but the contents of its streams, those that hold objects unpacked."""
    if not re.match(rb"%PDF-[12]\.\d", data) or b"%%EOF" not in data[-1024:]:
        raise _damaged()
    told = [_STREAM.sub(rb"\1", data)]
    for found in _STREAM.finditer(data):
        if b"/ObjStm" in found[1]:
            told.append(_unpacked(found[2]))
    said = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), b"\n".join(told))
    if _ACTIVE_PDF.search(said):
        raise UnsupportedDocument("the PDF has a program or another file in it")
    return said


def _unpacked(stream: bytes) -> bytes:
    """A stream of objects; what cannot be unpacked, no reader of it can either."""
    try:
        return zlib.decompressobj().decompress(stream, _MAX_OBJECTS)
    except zlib.error:
        return b""
