"""Signing in and out."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_user, logout_user
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from app.core.errors import RateLimited, Unauthenticated
from app.services import user_sessions
from app.services.sign_in import CodeNeeded, Halfway, SignInAgain, finish_with_code, open_session
from app.services.user_sessions import SignedIn

from .application import no_transaction
from .identity import Caller, disconnect_sockets, own_path, person, remote_ip
from .request import now, services

blueprint = Blueprint("auth", __name__)
HALFWAY = "halfway"
KEPT = ("language", "theme")  # what a browser keeps through sign-in and sign-out


class SignInForm(FlaskForm):  # type: ignore[misc]
    email = StringField()
    password = PasswordField()
    next = HiddenField()


class CodeForm(FlaskForm):  # type: ignore[misc]
    code = StringField()
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
    except CodeNeeded as halfway:
        _end_previous()
        forget_session()
        session[HALFWAY] = [halfway.user_id, halfway.version, now().isoformat()]  # in the signed cookie
        return redirect("/sign-in/code" if target == "/" else f"/sign-in/code?{urlencode({'next': target})}", 303)
    except RateLimited as error:
        return _wait(_form(form, too_many(error), 429), error)
    except Unauthenticated:
        return _form(form, _("The e-mail address or the password is wrong."), 401)
    return _enter(found, target)


def _enter(found: SignedIn, target: str) -> ResponseReturnValue:
    _end_previous()
    forget_session()
    login_user(Caller(found.principal, found, found.token))
    return redirect(target, 303)


def too_many(error: RateLimited) -> str:
    return str(_("Too many attempts. Try again in %(seconds)s seconds.", seconds=error.retry_after))


def _wait(response: Response, error: RateLimited) -> Response:
    response.headers["Retry-After"] = str(error.retry_after)
    return response


def _form(form: SignInForm, error: str | None = None, status: int = 200) -> Response:
    form.password.data = None
    return make_response(render_template("auth/sign_in.html", form=form, error=error, next=form.next.data), status)


# the second step


@blueprint.get("/sign-in/code")
@no_transaction
def show_code() -> ResponseReturnValue:
    if _halfway() is None:
        return redirect("/sign-in", 303)
    return _code_form(CodeForm(formdata=None, data={"next": own_path(request.args.get("next"))}))


@blueprint.post("/sign-in/code")
@no_transaction
def give_code() -> ResponseReturnValue:
    form, halfway = CodeForm(), _halfway()
    target = own_path(form.next.data or request.args.get("next"))
    if halfway is None:
        return redirect("/sign-in", 303)
    parts, agent = services(), request.headers.get("User-Agent")
    try:
        found = finish_with_code(
            parts.database, parts.settings.secret_key, halfway, form.code.data or "", remote_ip(), agent, now()
        )
    except RateLimited as error:
        return _wait(_code_form(form, too_many(error), 429), error)
    except SignInAgain:
        session.pop(HALFWAY, None)
        flash(_("That took too long, or your access has changed. Sign in again."), "error")
        return redirect("/sign-in", 303)
    except Unauthenticated:
        return _code_form(form, _("The code is wrong or was used already. Wait for the next one."), 401)
    return _enter(found, target)


def _halfway() -> Halfway | None:
    """Whose password was right in this browser."""
    kept = session.get(HALFWAY)
    return None if kept is None else Halfway(kept[0], kept[1], datetime.fromisoformat(kept[2]))


def _code_form(form: CodeForm, error: str | None = None, status: int = 200) -> Response:
    form.code.data = None
    return make_response(render_template("auth/code.html", form=form, error=error), status)


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
