"""gunicorn -c gunicorn_config.py: one green worker per process; more processes need sticky sessions and Redis."""

import os
import warnings

warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
os.environ.setdefault("ASYNC_MODE", "eventlet")

wsgi_app = "run:application()"  # loaded in the worker, which has patched before
bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '5000')}"
worker_class = "eventlet"
workers = 1
# idle connections are closed, and the head of a request is awaited so long; what comes from one address is the proxy's
worker_connections = int(os.environ.get("MAX_CONNECTIONS") or 2000)
timeout = 60
graceful_timeout = 15
keepalive = int(os.environ.get("IDLE_TIMEOUT_SECONDS") or 30)
control_socket_disable = True  # on Python 3.13 SIGTERM would otherwise leave a worker behind, with an engine
preload_app = False  # the engine must live in the worker, not in the master


def post_worker_init(worker):
    from app import background

    background.start(worker.wsgi)


def worker_exit(server, worker):
    from app import background

    if getattr(worker, "wsgi", None) is not None:
        background.stop(worker.wsgi)
