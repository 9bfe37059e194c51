"""Flask's extensions. What holds state per application is built by a function, the rest is bound by create_app."""

from __future__ import annotations

from typing import Any

from flask_socketio import SocketIO
from flask_wtf.csrf import CSRFProtect

from app.config import Settings
from app.core import json as core_json
from app.core.errors import Malformed

csrf = CSRFProtect()  # never checks by itself: the edge does, for what a cookie vouches for


class EventJson:
    """JSON for SocketIO: decimals as strings here and in an outside message queue alike."""

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        return core_json.dumps(value)

    @staticmethod
    def loads(data: str | bytes, **_options: Any) -> Any:
        try:
            return core_json.loads(data)
        except Malformed as error:
            # packets need not be JSON ("probe" is one), and ValueError is how the protocol is told so
            raise ValueError(str(error)) from error


def build_socketio(settings: Settings, bus: Any = None) -> SocketIO:
    """``bus`` carries pushes between processes; None where there is but one."""
    return SocketIO(
        async_mode=settings.async_mode,
        json=EventJson,
        manage_session=False,
        cors_allowed_origins=None,  # the same origin alone
        max_http_buffer_size=64 * 1024,
        ping_interval=20,
        ping_timeout=20,
        **({} if bus is None else {"client_manager": bus}),
    )
