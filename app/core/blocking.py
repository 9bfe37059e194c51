"""Work that would hold up an event loop: password hashing, large documents.

The default calls plainly, which is right for threads. An entry point whose server runs on green threads
installs a runner that uses real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Runner = Callable[..., Any]


def _plain(work: Callable[..., T], *args: Any) -> T:
    return work(*args)


_runner: Runner = _plain


def install(runner: Runner | None) -> None:
    """Use ``runner(work, *args)`` from now on; None goes back to the plain call."""
    global _runner
    _runner = runner or _plain


def run_blocking(work: Callable[..., T], *args: Any) -> T:
    """The result of ``work(*args)``, off the event loop where there is one. Never call it in a transaction."""
    result: T = _runner(work, *args)
    return result
