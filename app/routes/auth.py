"""Signing in and out."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_user, logout_user
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from app.core.errors import RateLimited, Unauthenticated
from app.services import user_sessions
from app.services.sign_in import open_session

from .application import no_transaction
from .identity import Caller, disconnect_sockets, own_path, person, remote_ip
from .request import now, services

blueprint = Blueprint("auth", __name__)
KEPT = ("language", "theme")  # what a browser keeps through sign-in and sign-out


class SignInForm(FlaskForm):  # type: ignore[misc]
    email = StringField()
    password = PasswordField()
    next = HiddenField()


def forget_session() -> None:
    """Empty the browser's session, and with it the CSRF token."""
    kept = {name: session[name] for name in KEPT if name in session}
    session.clear()
    session.update(kept)


@blueprint.get("/sign-in")
@no_transaction
def show_sign_in() -> ResponseReturnValue:
    target = own_path(request.args.get("next"))
    if person() is not None:
        return redirect(target, 303)
    return _form(SignInForm(formdata=None, data={"next": target}))


@blueprint.post("/sign-in")
@no_transaction
def sign_in() -> ResponseReturnValue:
    form = SignInForm()
    target = own_path(form.next.data or request.args.get("next"))
    email, password = form.email.data or "", form.password.data or ""
    if not email.strip() or not password:
        return _form(form, _("Enter your e-mail address and your password."), 422)
    agent = request.headers.get("User-Agent")
    try:
        found = open_session(services().database, email, password, remote_ip(), agent, now())
    except RateLimited as error:
        response = _form(
            form, _("Too many attempts. Try again in %(seconds)s seconds.", seconds=error.retry_after), 429
        )
        response.headers["Retry-After"] = str(error.retry_after)
        return response
    except Unauthenticated:
        return _form(form, _("The e-mail address or the password is wrong."), 401)
    _end_previous()
    forget_session()
    login_user(Caller(found.principal, found, found.token))
    return redirect(target, 303)


def _form(form: SignInForm, error: str | None = None, status: int = 200) -> Response:
    form.password.data = None
    response = make_response(render_template("auth/sign_in.html", form=form, error=error, next=form.next.data), status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _end_previous() -> None:
    """Whoever signs in again in the same browser leaves the session before."""
    previous = person()
    if previous is not None:
        moment, ip = now(), remote_ip()
        services().database.run(lambda db: user_sessions.sign_out(db, previous, moment, ip))
        disconnect_sockets(session=previous.session_id)


@blueprint.post("/sign-out")
@no_transaction
def sign_out() -> ResponseReturnValue:
    _end_previous()
    logout_user()
    forget_session()
    return redirect("/sign-in", 303)
