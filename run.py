"""The server: python run.py. Also what gunicorn loads, as run:application()."""

import gc
import os

gc.disable()  # what is loaded now stays: looking through it again and again is a seventh of the start
os.environ.setdefault("ASYNC_MODE", "eventlet")
if os.environ["ASYNC_MODE"] == "eventlet":
    import warnings

    # known and decided: eventlet is one setting, and the day it retires costs one line
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    # patched before anything else is imported: locks and sockets made earlier would block all green threads
    import eventlet

    eventlet.monkey_patch()

import logging
import resource
import signal
import sys
from typing import Any

from flask import Flask

from app import background, create_app
from app.core import blocking
from app.core.connections import Connections, TimedHandler

FILES_KEPT = 200  # open files that are no connections: database, logs, feeds

if os.environ["ASYNC_MODE"] == "eventlet":
    from eventlet import tpool, wsgi

    blocking.install(tpool.execute)  # password hashing must not stall everybody else


def application() -> Flask:
    """The application, for a WSGI server that starts the engine itself (see gunicorn_config.py)."""
    app = create_app()
    gc.freeze()  # nor does a later collection look through it
    gc.enable()
    return app


def main() -> None:
    app = application()
    settings, socketio = app.extensions["services"].settings, app.extensions["socketio"]

    def leave() -> None:
        background.stop(app)
        logging.shutdown()
        os._exit(0)  # what is stored is stored, and nothing else is worth waiting for

    def on_signal(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        # not here: the signal may have interrupted the engine in the middle of a step
        socketio.start_background_task(leave)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    background.start(app)
    if settings.engine == "only":
        sys.stdout.write("Cambista: the engine\n")
        sys.stdout.flush()
        while True:  # ended by a signal
            socketio.sleep(60)
    sys.stdout.write(f"Cambista on http://{settings.host}:{settings.port}\n")
    sys.stdout.flush()
    options = server_options(settings.async_mode, app.extensions["connections"], settings.idle_timeout_seconds)
    socketio.run(app, host=settings.host, port=settings.port, log_output=False, **options)


def server_options(async_mode: str, connections: Connections, idle_seconds: int) -> dict[str, Any]:
    """What bounds the server's connections, for the server that the async mode means."""
    connections.most = min(connections.most, open_files() - FILES_KEPT)
    bounds = {"connections": connections, "idle_seconds": idle_seconds}
    if async_mode == "threading":
        from werkzeug.serving import WSGIRequestHandler

        handler = type("Handler", (TimedHandler, WSGIRequestHandler), bounds)
        return {"allow_unsafe_werkzeug": True, "request_handler": handler}
    return {
        "protocol": type("Protocol", (TimedHandler, wsgi.HttpProtocol), bounds),
        "max_size": connections.most + FILES_KEPT,  # more than are let in: the refused need a moment to go
        "socket_timeout": 2 * idle_seconds,  # for a peer that does not read its answer
    }


def open_files() -> int:
    """How many files the process may have open, after asking for as many as it may ask for."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most if most != resource.RLIM_INFINITY else 1 << 20


if __name__ == "__main__":
    main()
