"""What people and programs tell things apart by."""

from __future__ import annotations

import unicodedata
from typing import Final

# letters and marks by category that are drawn as nothing: Hangul fillers, the combining grapheme joiner, Khmer vowels
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_JOINERS: Final = frozenset("\u200c\u200d")  # needed inside Persian and Indic words


def is_visible(text: str) -> bool:
    """Whether a name can be seen: a letter or a digit in it, and nothing invisible besides joiners."""
    if any(_is_hidden(char) for char in text):
        return False
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def _is_hidden(char: str) -> bool:
    if char in _BLANK:
        return True
    return unicodedata.category(char) in ("Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp") and char not in _JOINERS


__all__ = ["is_visible"]
