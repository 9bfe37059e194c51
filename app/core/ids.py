"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A UUIDv7 as a lower-case string; strictly increasing within a process."""
    global _last
    with _lock:
        stamp = time.time_ns() // 1_000  # microseconds: 48 bits of milliseconds, 12 bits below them
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
    millis, micros = divmod(stamp, 1_000)
    sub_millis = micros * 4096 // 1_000
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = (millis << 80) | (0x7 << 76) | (sub_millis << 64) | (0b10 << 62) | random
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
