"""Keeps the symbol table of a process as the database has the instruments."""

from __future__ import annotations

import logging
import threading
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.core.errors import Unavailable
from app.core.transaction import Database
from app.domain.instruments import SymbolTable

from .market import load_instruments, seed_instruments

WATCH_SECONDS: Final = 5
log = logging.getLogger(__name__)


def load(database: Database, instruments: SymbolTable, *, seed: bool = True) -> bool:
    """Fill the symbol table that everybody holds; False where the database has no tables or cannot be read.

    With ``seed`` the instruments of the first catalogue that are missing are stored first.
    """
    try:
        if not sa.inspect(database.engine).has_table("instruments"):
            return False
        if seed:
            database.run(seed_instruments)
        loaded = database.read(load_instruments)
    except (DBAPIError, Unavailable):
        return False
    instruments.fill(loaded, loaded.scales)
    return True


def watch(database: Database, instruments: SymbolTable, stopping: threading.Event) -> None:
    """What is changed in the catalogue by one process is seen by all."""
    while not stopping.wait(WATCH_SECONDS):
        try:
            load(database, instruments, seed=False)
        except Exception:  # what is known stays as it is, and the next look may find it mended
            log.exception("the catalogue was not read")
