"""A person's own security: the second step of signing in, and proving again who one is."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from app.core import json
from app.core.errors import Conflict, Invalid, NotFound, RateLimited
from app.models import User
from app.services import invitations, step_up, totp, users

from .access import needs_fresh_proof
from .application import no_transaction
from .auth import too_many
from .identity import own_path, person_required, remote_ip, signed_in
from .request import db, now, services

blueprint = Blueprint("security", __name__, url_prefix="/account")
# open to whoever has to set up a second step before anything else
SETTING_UP: Final = {
    "security.show",
    "security.begin_totp",
    "security.totp_image",
    "security.confirm_totp",
    "security.show_proof",
    "security.give_proof",
}


class CodeForm(FlaskForm):  # type: ignore[misc]
    code = StringField()


class EmailForm(FlaskForm):  # type: ignore[misc]
    email = StringField()


class ConfirmForm(FlaskForm):  # type: ignore[misc]
    token = HiddenField()


class ProofForm(FlaskForm):  # type: ignore[misc]
    current_password = PasswordField()
    code = StringField()
    next = HiddenField()


@blueprint.get("/security")
@person_required
def show() -> ResponseReturnValue:
    return _page(users.by_id(db(), signed_in().user.id))


def _page(user: User, error: str | None = None, status: int = 200) -> ResponseReturnValue:
    """``pending``: the secret that the app is told, shown only to who has just proved to be the person."""
    fresh = step_up.is_fresh(signed_in(), now(), services().settings)
    page = render_template(
        "security/index.html",
        email=user.email,
        on=totp.is_on(user),
        since=user.totp_since,
        pending=totp.pending_secret(user, services().settings.secret_key) if fresh else None,
        required=services().settings.staff_need_totp and user.client_id is None,
        code_form=CodeForm(formdata=None),
        error=error,
    )
    return page, status


# the second step


def _with_user(work: Any) -> Any:
    """``work(session, user)`` in a transaction of its own, with the person's row locked."""
    me = signed_in()
    return services().database.run(lambda session: work(session, users.by_id(session, me.user.id, lock=True)))


@blueprint.post("/totp/begin")
@needs_fresh_proof
@no_transaction
@person_required
def begin_totp() -> ResponseReturnValue:
    _with_user(lambda _session, user: totp.begin(user, services().settings.secret_key))
    return redirect("/account/security", 303)


@blueprint.get("/totp/image.svg")
@needs_fresh_proof
@person_required
def totp_image() -> ResponseReturnValue:
    """The secret to be scanned, until a code of it was shown."""
    image = totp.qr_code(users.by_id(db(), signed_in().user.id), services().settings.secret_key)
    return Response(image, content_type="image/svg+xml")


@blueprint.post("/totp/confirm")
@needs_fresh_proof
@no_transaction
@person_required
def confirm_totp() -> ResponseReturnValue:
    me, moment, ip, key = signed_in(), now(), remote_ip(), services().settings.secret_key
    code = CodeForm().code.data or ""
    try:
        _with_user(lambda session, user: totp.confirm(session, user, key, code, me.principal, moment, ip))
    except Invalid:
        user = services().database.read(lambda session: users.by_id(session, me.user.id))
        return _page(
            user, _("The code is wrong. Wait for the next one, and look whether the telephone's time is right."), 422
        )
    services().wake_chores()
    flash(_("From now on signing in takes a code of your app."), "success")
    return redirect("/account/security", 303)


@blueprint.post("/totp/remove")
@needs_fresh_proof
@no_transaction
@person_required
def remove_totp() -> ResponseReturnValue:
    me, moment, ip = signed_in(), now(), remote_ip()
    _with_user(lambda session, user: totp.remove(session, user, me.principal, moment, ip))
    services().wake_chores()
    flash(_("Signing in takes the password alone again."), "success")
    return redirect("/account/security", 303)


# another address to sign in with


@blueprint.post("/email")
@needs_fresh_proof
@no_transaction
@person_required
def ask_for_email() -> ResponseReturnValue:
    me, moment, ip, key = signed_in(), now(), remote_ip(), services().settings.secret_key
    email = EmailForm().email.data or ""
    try:
        _with_user(lambda s, user: invitations.ask_for_email(s, user, email, key, me.principal, moment, ip))
    except (Invalid, Conflict) as error:
        sentences = {
            "invalid_email": _("This is no mail address."),
            "unchanged": _("This is your address already."),
            "too_many_mails": _("Too many mails were asked for. Try again in an hour."),
        }
        user = services().database.read(lambda session: users.by_id(session, me.user.id))
        return _page(user, str(sentences.get(error.code, error.detail)), error.status)
    services().wake_chores()
    flash(_("A mail is on its way to the new address. Use its link within one hour."), "success")
    return redirect("/account/security", 303)


@blueprint.get("/email/confirm")
@no_transaction
def show_email() -> ResponseReturnValue:
    """Whoever has the link reads mail there: nobody has to have signed in. Looking uses nothing up."""
    token, moment = request.args.get("token", ""), now()
    purposes = (invitations.EMAIL_CHANGE,)
    try:
        row, user = services().database.read(lambda s: invitations.holder(s, token, moment, purposes))
    except NotFound:
        return render_template("security/email.html", form=None), 404
    form = ConfirmForm(formdata=None, data={"token": token})
    return render_template("security/email.html", form=form, name=user.name, email=row.new_email)


@blueprint.post("/email/confirm")
@no_transaction
def confirm_email() -> ResponseReturnValue:
    token, moment, ip = ConfirmForm().token.data or "", now(), remote_ip()
    try:
        services().database.run(lambda s: invitations.confirm_email(s, token, moment, ip))
    except NotFound:
        return render_template("security/email.html", form=None), 404
    services().wake_chores()
    flash(_("The new address counts from now on."), "success")
    return redirect("/account/security", 303)


# proof


@blueprint.get("/prove")
@no_transaction
@person_required
def show_proof() -> ResponseReturnValue:
    return _proof_form(ProofForm(formdata=None, data={"next": own_path(request.args.get("next"))}))


@blueprint.post("/prove")
@no_transaction
@person_required
def give_proof() -> ResponseReturnValue:
    """From the page, or as JSON from a dialog of another one."""
    if request.mimetype == "application/json":
        given = json.loads(request.get_data())
        if not isinstance(given, dict):
            raise Invalid("the body must be a JSON object", code="invalid_type")
        _prove(str(given.get("current_password") or ""), str(given.get("code") or ""))
        return "", 204
    form = ProofForm()
    try:
        _prove(form.current_password.data or "", form.code.data or "")
    except RateLimited as error:
        answer = _proof_form(form, too_many(error), 429)
        answer.headers["Retry-After"] = str(error.retry_after)
        return answer
    except Invalid:
        return _proof_form(form, _wrong(), 422)
    return redirect(own_path(form.next.data), 303)


def _prove(password: str, code: str) -> None:
    parts = services()
    step_up.prove(parts.database, parts.settings.secret_key, signed_in(), password, code, remote_ip(), now())


def _wrong() -> str:
    if totp.is_on(signed_in().user):
        return str(_("The password or the code is wrong. A code works once: wait for the next one."))
    return str(_("The password is wrong."))


def _proof_form(form: ProofForm, error: str | None = None, status: int = 200) -> Response:
    form.current_password.data = form.code.data = None
    page = render_template("security/prove.html", form=form, error=error, with_code=totp.is_on(signed_in().user))
    return make_response(page, status)
