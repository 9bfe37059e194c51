"""Structured logs: JSON lines in production, readable ones elsewhere; secrets never reach them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_SECRET_NAMES = re.compile(r"password|secret|token|authorization|api_?key|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?i)((?:x-api-key|authorization|cookie|password|secret|token)\"?\s*[=:]\s*\"?(?:bearer\s+)?)[^\s\",;&}]+"
    r"|(\w+://[^:/\s]+:)[^@/\s]+(?=@)"
)
HIDDEN = "[hidden]"
# what ends a line, colours a terminal or turns the direction of writing; a traceback's own line ends are no forgery
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def redact(text: str) -> str:
    """Without the values of what looks like a secret, and without passwords in URLs."""
    return _SECRET_TEXT.sub(lambda found: (found.group(1) or found.group(2)) + HIDDEN, text)


def _redact_event(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str):
            event[name] = redact(value)
    return event


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _neutralize(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nobody outside writes lines of their own into the log, or colours."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = (_CONTROL_BUT_LINES if name == "exception" else _CONTROL).sub(_escape, value)
    return event


def _add_request_id(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event


def configure(level: str, *, production: bool) -> None:
    """Send everything logged through the standard library to standard error, one line each."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
        _redact_event,
        _neutralize,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Any = structlog.processors.JSONRenderer() if production else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.set_name("cambista")
    root = logging.getLogger()
    root.handlers = [kept for kept in root.handlers if kept.get_name() != "cambista"] + [handler]
    root.setLevel(level)
    logging.getLogger("werkzeug").setLevel("ERROR")  # it warns of itself; routes/metrics logs the requests
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger("flask-limiter").setLevel("WARNING")  # it tells of each request that is refused
    # they warn of what peers send, as often as it is sent; a server whose logger has no level gives it a handler
    for noisy in ("engineio", "engineio.server", "socketio", "socketio.server"):
        logging.getLogger(noisy).setLevel("ERROR")
