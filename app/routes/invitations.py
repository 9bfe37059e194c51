"""Choosing a password by a link that was mailed: an invitation, or a password that was forgotten."""

from __future__ import annotations

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from app.core.errors import Invalid, NotFound, RateLimited
from app.services import invitations
from app.services.passwords import PASSWORD_MAX, PASSWORD_MIN

from .application import no_transaction
from .auth import too_many
from .identity import disconnect_sockets, remote_ip
from .request import now, services

blueprint = Blueprint("invitations", __name__, url_prefix="/password")


class ForgottenForm(FlaskForm):  # type: ignore[misc]
    email = StringField()


class ChoiceForm(FlaskForm):  # type: ignore[misc]
    token = HiddenField()
    password = PasswordField()
    again = PasswordField()


@blueprint.get("/forgotten")
@no_transaction
def show_forgotten() -> ResponseReturnValue:
    return _forgotten(ForgottenForm(formdata=None))


@blueprint.post("/forgotten")
@no_transaction
def forgotten() -> ResponseReturnValue:
    """The same answer whether there is such a person or not."""
    form, parts = ForgottenForm(), services()
    email = (form.email.data or "").strip()
    if not email:
        return _forgotten(form, error=_("Enter your e-mail address."), status=422)
    try:
        invitations.forgot(parts.database, parts.settings.secret_key, email, remote_ip(), now())
    except RateLimited as error:
        answer = _forgotten(form, error=too_many(error), status=429)
        answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    parts.wake_chores()
    return _forgotten(form, asked=True)


def _forgotten(form: ForgottenForm, *, asked: bool = False, error: str | None = None, status: int = 200) -> Response:
    return make_response(render_template("invitations/forgotten.html", form=form, asked=asked, error=error), status)


@blueprint.get("/choose")
@no_transaction
def show_choice() -> ResponseReturnValue:
    """Looking uses nothing up: mail programs look too."""
    token, moment = request.args.get("token", ""), now()
    try:
        _row, user = services().database.read(lambda session: invitations.holder(session, token, moment))
    except NotFound:
        return _choice(None, status=404)
    return _choice(ChoiceForm(formdata=None, data={"token": token}), email=user.email)


@blueprint.post("/choose")
@no_transaction
def choose() -> ResponseReturnValue:
    form, moment = ChoiceForm(), now()
    token, password = form.token.data or "", form.password.data or ""
    try:
        if password != (form.again.data or ""):
            raise Invalid.field("again", "passwords_differ", "is not the same password")
        user_id = invitations.choose_password(services().database, token, password, remote_ip(), moment)
    except NotFound:
        return _choice(None, status=404)
    except Invalid as error:
        try:
            _row, user = services().database.read(lambda session: invitations.holder(session, token, moment))
        except NotFound:
            return _choice(None, status=404)
        return _choice(form, email=user.email, error=_sentence(error), status=error.status)
    disconnect_sockets(user=user_id)
    services().wake_chores()
    flash(_("Your password is chosen. Sign in with it."), "success")
    return redirect("/sign-in", 303)


def _sentence(error: Invalid) -> str:
    sentences = {
        "passwords_differ": _("The two passwords are not the same."),
        "password_length": _(
            "The password must have %(least)s to %(most)s characters.", least=PASSWORD_MIN, most=PASSWORD_MAX
        ),
        "password_common": _("This password is one of those tried first; choose another."),
        "password_contains_email": _("The password must not contain the name of the e-mail address."),
    }
    return str(sentences.get(error.code, error.detail))


def _choice(form: ChoiceForm | None, *, email: str = "", error: str | None = None, status: int = 200) -> Response:
    page = render_template("invitations/choose.html", form=form, email=email, error=error)
    return make_response(page, status)
