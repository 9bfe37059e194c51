"""What every command shares: its transaction, its JSON answer, its JSON refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast

import click
from flask import current_app
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.core import json
from app.core.errors import AppError
from app.services.container import Services

T = TypeVar("T")


def services() -> Services:
    return cast(Services, current_app.extensions["services"])


def run(work: Callable[[Session, datetime], T]) -> T:
    """``work(session, now)`` in one transaction."""
    now = services().clock.now()
    return services().database.run(lambda session: work(session, now))


def _refuse(problem: dict[str, Any]) -> SystemExit:
    click.echo(json.dumps(problem), err=True)
    return SystemExit(1)


def prints_json(command: Callable[..., Any]) -> Callable[..., None]:
    """Print what the command returns; end with status 1 and a problem on stderr when it is refused."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            result = command(*args, **kwargs)
        except AppError as error:
            raise _refuse(
                {
                    **error.extra,
                    "title": error.title,
                    "status": error.status,
                    "detail": error.detail,
                    "code": error.code,
                    "errors": [item.to_json() for item in error.errors],
                }
            ) from error
        except DBAPIError as error:
            raise _refuse(
                {
                    "title": "The database refused",
                    "status": 500,
                    "code": "database_error",
                    "detail": f"{str(error.orig).strip()} (is it upgraded? flask db upgrade)",
                    "errors": [],
                }
            ) from error
        if result is not None:
            click.echo(json.dumps(result))

    return wrapper
