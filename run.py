"""The server: python run.py. Also what gunicorn loads, as run:application()."""

import os

os.environ.setdefault("ASYNC_MODE", "eventlet")
if os.environ["ASYNC_MODE"] == "eventlet":
    import warnings

    # known and decided: eventlet is one setting, and the day it retires costs one line
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    # patched before anything else is imported: locks and sockets made earlier would block all green threads
    import eventlet

    eventlet.monkey_patch()

import logging
import signal
import sys
from typing import Any

from flask import Flask

from app import create_app, start_engine, stop_engine
from app.core import blocking

if os.environ["ASYNC_MODE"] == "eventlet":
    from eventlet import tpool

    blocking.install(tpool.execute)  # password hashing must not stall everybody else


def application() -> Flask:
    """The application, for a WSGI server that starts the engine itself (see gunicorn_config.py)."""
    return create_app()


def main() -> None:
    app = create_app()
    settings, socketio = app.extensions["services"].settings, app.extensions["socketio"]

    def leave() -> None:
        stop_engine(app)
        logging.shutdown()
        os._exit(0)  # what is stored is stored, and nothing else is worth waiting for

    def on_signal(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        # not here: the signal may have interrupted the engine in the middle of a step
        socketio.start_background_task(leave)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    start_engine(app)
    sys.stdout.write(f"Cambista on http://{settings.host}:{settings.port}\n")
    sys.stdout.flush()
    options: dict[str, Any] = {"log_output": False}
    if settings.async_mode == "threading":
        options["allow_unsafe_werkzeug"] = True
    socketio.run(app, host=settings.host, port=settings.port, **options)


if __name__ == "__main__":
    main()
