"""``flask users``: people who sign in."""

from __future__ import annotations

import secrets
import sys
from datetime import datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM, Role
from app.services import access, passwords, totp, user_sessions, users

from .answers import prints_json, run, services

group = AppGroup("users", help="People who sign in.")


def _password(from_stdin: bool, generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(18)
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


@group.command("create")
@click.option("--email", required=True)
@click.option("--name", required=True)
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--client", "client_ref", help="Code of the client; for the client role.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate-password", is_flag=True, help="Make a password and print it.")
@prints_json
def create(
    email: str, name: str, role: str, client_ref: str | None, password_stdin: bool, generate_password: bool
) -> dict[str, Any]:
    """A new user."""
    password = _password(password_stdin, generate_password)
    password_hash = passwords.hash_password(email, password)  # slow: before the transaction

    def work(session: Session, now: datetime) -> dict[str, Any]:
        client = access.client(session, SYSTEM, client_ref, "read") if client_ref else None
        user = users.create(
            session,
            email=email,
            name=name,
            role=Role(role),
            password_hash=password_hash,
            principal=SYSTEM,
            now=now,
            client=client,
        )
        return users.show(user)

    shown = run(work)
    return {**shown, "password": password} if generate_password else shown


@group.command("list")
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Only users of this role.")
@click.option("--active/--disabled", default=None, help="Only those who may sign in, or who may not.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@prints_json
def list_users(role: str | None, active: bool | None, limit: int) -> dict[str, Any]:
    """The users, by name."""
    wanted = users.UserFilter(role=None if role is None else Role(role), active=active)

    def work(session: Session) -> dict[str, Any]:
        found, total = users.search(session, wanted, limit, 0)
        return {"items": [users.show(user) for user in found], "total": total}

    return services().database.read(work)


@group.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--one-time", is_flag=True, help="Make one that works for the next sign-in only, and print it.")
@prints_json
def password(email: str, password_stdin: bool, one_time: bool) -> dict[str, Any]:
    """Replace a password and end the sessions."""
    if one_time:
        plain, password_hash = passwords.one_time_password(email)
    else:
        plain, password_hash = "", passwords.hash_password(email, _password(password_stdin, False))

    def work(session: Session, now: datetime) -> dict[str, Any]:
        user = users.by_id(session, users.by_email(session, email).id, lock=True)
        ended = users.reset_password(session, user, password_hash, SYSTEM, now, one_time=one_time)
        return {**users.show(user), "sessions_ended": ended}

    shown = run(work)
    return {**shown, "one_time_password": plain} if one_time else shown


@group.command("disable")
@click.argument("email")
@prints_json
def disable(email: str) -> dict[str, Any]:
    """Keep a user out from now on and end the sessions."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        user = users.by_email(session, email)
        ended = users.disable(session, user, SYSTEM, now)
        return {**users.show(user), "sessions_ended": ended}

    return run(work)


@group.command("remove-second-step")
@click.argument("email")
@prints_json
def remove_second_step(email: str) -> dict[str, Any]:
    """Take the second step away from somebody who has lost it, and end the sessions."""

    def work(session: Session, now: datetime) -> dict[str, Any]:
        user = users.by_id(session, users.by_email(session, email).id, lock=True)
        totp.remove(session, user, SYSTEM, now, None)
        ended = user_sessions.end_of_user(session, user.id, now)
        return {**users.show(user), "sessions_ended": ended}

    return run(work)
