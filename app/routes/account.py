"""A person's own things: sessions, keys, password, language, theme and number format."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import login_user
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, PasswordField, SelectField, SelectMultipleField, StringField
from wtforms.validators import NumberRange, Optional

from app.core import json
from app.core.errors import AppError, FieldError, Forbidden, Invalid, RateLimited
from app.core.permissions import Resource, Role, Scope
from app.services import access, actors, api_keys, clients, mails, sign_in, step_up, totp, user_sessions, users

from .access import needs_fresh_proof, principal
from .application import no_transaction
from .errors import wants_json
from .identity import (
    Caller,
    disconnect_sockets,
    own_path,
    person,
    person_required,
    remote_ip,
    session_limits,
    signed_in,
)
from .request import db, now, services
from .security import SETTING_UP

blueprint = Blueprint("account", __name__, url_prefix="/account")
SHOWN_KEYS = 200
ROTATION_HOURS = 24  # how long the old key goes on
SHOWN_CLIENTS = 1000
SHOWN_NAMES = 50
SCOPE_NAMES = {
    Scope.READ: _l("read"),
    Scope.TRADE: _l("trade"),
    Scope.FUNDING: _l("deposits and withdrawals"),
    Scope.CLIENTS: _l("clients"),
    Scope.OPERATIONS: _l("operations"),
    Scope.ADMIN: _l("administration"),
}
CLIENT_SCOPES = (Scope.READ, Scope.TRADE, Scope.FUNDING)


class KeyForm(FlaskForm):  # type: ignore[misc]
    """``client_id`` and ``system`` are for masters alone; the password proves that it is the person."""

    name = StringField()
    scopes = SelectMultipleField()
    client_id = SelectField(validate_choice=False)
    system = BooleanField()
    act_for_clients = BooleanField()
    allowed_ips = StringField()
    expires_days = IntegerField(validators=[Optional(), NumberRange(1, 3650)])
    current_password = PasswordField()
    code = StringField()


class PasswordForm(FlaskForm):  # type: ignore[misc]
    current_password = PasswordField()
    password = PasswordField()


# what comes first

_ALWAYS = {"account.set_language", "account.set_theme", "auth.sign_out"}
_BEFORE = {
    "password": _ALWAYS | {"account.show_password", "account.change_password"},
    "totp": _ALWAYS | SETTING_UP,
}
_FIRST = {
    "password": ("choose a password of your own first", "password_change_required", "/account/password"),
    "totp": ("set up the second step of signing in first", "totp_required", "/account/security"),
}


def require_what_comes_first() -> ResponseReturnValue | None:
    """Who signed in with a password that somebody else knows, or has to have a second step, gets nowhere before."""
    me = person()
    first = None if me is None else users.first_has_to(me.user, services().settings.staff_need_totp)
    if first is None or request.endpoint in _BEFORE[first]:
        return None
    view = current_app.view_functions.get(request.endpoint or "")
    described = getattr(view, "endpoint", None)
    if view is None or (request.endpoint or "").endswith("static") or (described is not None and described.public):
        return None
    sentence, code, path = _FIRST[first]
    if wants_json():
        raise Forbidden(sentence, code=code)
    return redirect(path, 303)


@blueprint.get("/password")
@person_required
def show_password() -> ResponseReturnValue:
    return render_template("account/password.html", password_form=PasswordForm(formdata=None))


# sessions


@blueprint.get("/sessions")
@person_required
def sessions() -> ResponseReturnValue:
    me = signed_in()
    rows = user_sessions.live(db(), me.user.id, now(), session_limits())
    return render_template(
        "account/sessions.html", sessions=rows, current_id=me.session_id, password_form=PasswordForm(formdata=None)
    )


@blueprint.post("/sessions/<session_id>/end")
@no_transaction
@person_required
def end_session(session_id: str) -> ResponseReturnValue:
    me, moment = signed_in(), now()
    services().database.run(lambda s: user_sessions.end_own(s, me.principal, session_id, moment))
    disconnect_sockets(session=session_id)
    flash(_("The session has ended."), "success")
    return redirect("/account/sessions", 303)


@blueprint.post("/sessions/end-others")
@no_transaction
@person_required
def end_other_sessions() -> ResponseReturnValue:
    me, moment, limits = signed_in(), now(), session_limits()

    def work(s: Any) -> list[str]:
        others = [row.id for row in user_sessions.live(s, me.user.id, moment, limits) if row.id != me.session_id]
        user_sessions.end_all(s, me.user.id, me.principal, moment, keep=me.session_id)
        return others

    for ended in services().database.run(work):
        disconnect_sockets(session=ended)
    flash(_("All other sessions have ended."), "success")
    return redirect("/account/sessions", 303)


@blueprint.post("/password")
@no_transaction
@person_required
def change_password() -> ResponseReturnValue:
    me, moment, form = signed_in(), now(), PasswordForm()
    given = (form.current_password.data or "", form.password.data or "")
    try:
        token, _ended = sign_in.change_password(services().database, me, *given, remote_ip(), moment)
    except (Invalid, RateLimited) as error:
        _show_errors(form, error)
        if me.user.must_change_password:
            return render_template("account/password.html", password_form=form, error=_sentence(error)), error.status
        rows = services().database.read(lambda s: user_sessions.live(s, me.user.id, moment, session_limits()))
        page = render_template(
            "account/sessions.html", sessions=rows, current_id=me.session_id, password_form=form, error=_sentence(error)
        )
        return page, error.status
    login_user(Caller(me.principal, me, token))
    disconnect_sockets(user=me.user.id)  # this browser's comes back by itself
    flash(_("The password is changed; all other sessions have ended."), "success")
    return redirect("/" if me.user.must_change_password else "/account/sessions", 303)


# keys


def _key_form(s: Any, *, filled: bool) -> KeyForm:
    form = KeyForm() if filled else KeyForm(formdata=None)
    master = principal().role is Role.MASTER
    form.scopes.choices = [(scope.value, str(SCOPE_NAMES[scope])) for scope in (Scope if master else CLIENT_SCOPES)]
    form.client_id.choices = []
    if master:
        listed = clients.choices(s, principal(), Resource.CLIENTS, SHOWN_CLIENTS)
        form.client_id.choices = [("", "")] + [
            (client["id"], f"{client['code']} {client['name']}") for client in listed
        ]
    return form


def _keys_page(s: Any, form: KeyForm, error: AppError | None = None) -> ResponseReturnValue:
    rows, total = api_keys.list_keys(s, principal(), SHOWN_KEYS, 0)
    page = render_template(
        "account/keys.html",
        scope_names=SCOPE_NAMES,
        keys=rows,
        total=total,
        form=form,
        now=now(),
        error=_sentence(error) if error else None,
        may_create=principal().role in (Role.MASTER, Role.CLIENT),
        master=principal().role is Role.MASTER,
        with_code=totp.is_on(signed_in().user),
    )
    return page, 200 if error is None else error.status


_FIELD_SENTENCES = {
    "wrong_password": _l("Is wrong."),
    "wrong_code": _l("Is wrong or was used already."),
    "password_length": _l("Must have 12 to 128 characters."),
    "password_common": _l("Is one of those tried first; choose another."),
    "password_contains_email": _l("Must not contain the name of the e-mail address."),
    "invalid_name": _l("Must have 1 to 100 characters that can be seen."),
    "required": _l("Is needed."),
    "invalid_network": _l("Must be addresses or networks."),
    "too_many": _l("Too many."),
    "in_the_past": _l("Must be in the future."),
    "client_or_system": _l("Choose a client, or a system account."),
    "system_only": _l("Is for system accounts."),
    "scope_not_for_clients": _l("A key of a client cannot reach the firm."),
}


def _field_sentence(item: FieldError) -> str:
    return str(_FIELD_SENTENCES.get(item.code, item.message))


def _sentence(error: AppError) -> str:
    """What was refused, in the reader's language."""
    if isinstance(error, RateLimited):
        return str(_("Too many attempts. Try again in %(seconds)s seconds.", seconds=error.retry_after))
    if error.code == "too_many_keys":
        return str(_("There are too many keys; revoke one first."))
    return " ".join(_field_sentence(item) for item in error.errors) or error.detail


def _show_errors(form: Any, error: AppError) -> None:
    for item in error.errors:
        if item.field in form:
            form[item.field].errors = (*form[item.field].errors, _field_sentence(item))


@blueprint.get("/keys")
@person_required
def keys() -> ResponseReturnValue:
    return _keys_page(db(), _key_form(db(), filled=False))


@blueprint.post("/keys")
@no_transaction
@person_required
def create_key() -> ResponseReturnValue:
    """Make a key, after the password again; the answer page is the one place that shows it."""
    me, moment, database = signed_in(), now(), services().database
    form = database.read(lambda s: _key_form(s, filled=True))

    def work(s: Any) -> tuple[Any, str]:
        made = api_keys.create(s, _key_request(s, form), me.principal, moment)
        _tell_of_key(s, made[0])
        return made

    try:
        if not form.validate():
            raise Invalid(_("Something in the form is not valid."))
        given = (form.current_password.data or "", form.code.data or "")
        step_up.prove(database, services().settings.secret_key, me, *given, remote_ip(), moment)
        key, secret = database.run(work)
    except (Invalid, RateLimited) as error:
        refused = error
        _show_errors(form, refused)
        form.current_password.data = form.code.data = None
        return database.read(lambda s: _keys_page(s, form, refused))
    services().wake_chores()
    return render_template("account/key_created.html", key=key, secret=secret), 201


def _tell_of_key(s: Any, key: Any) -> None:
    """Whoever holds the account learns of it, also when it was somebody else at their keyboard."""
    me = signed_in().user
    mails.queue_to_user(s, me, f"key:{key.id}", "security_notice", {"what": "key"}, now())


@blueprint.post("/keys/<key_id>/rotate")
@needs_fresh_proof
@no_transaction
@person_required
def rotate_key(key_id: str) -> ResponseReturnValue:
    """A new key like an old one, which goes on for a day: time to put the new one where the old one is."""
    me, moment = signed_in(), now()

    def work(s: Any) -> tuple[Any, str]:
        key = api_keys.find(s, me.principal, key_id)
        made = api_keys.rotate(s, key, ROTATION_HOURS, me.principal, moment)
        _tell_of_key(s, made[0])
        return made

    key, secret = services().database.run(work)
    services().wake_chores()
    return render_template("account/key_created.html", key=key, secret=secret, rotated=ROTATION_HOURS), 201


def _key_request(s: Any, form: KeyForm) -> api_keys.KeyRequest:
    me = signed_in()
    ref = me.principal.client_id or form.client_id.data or None
    system = bool(form.system.data)
    client = None
    if ref and not system:
        client = access.client(s, me.principal, ref, "read")
    days = form.expires_days.data
    return api_keys.KeyRequest(
        name=form.name.data or "",
        scopes=form.scopes.data or (),
        client=client,
        system=system,
        act_for_clients=bool(form.act_for_clients.data),
        allowed_ips=(form.allowed_ips.data or "").split(","),
        expires_at=None if days is None else now() + timedelta(days=days),
    )


@blueprint.post("/keys/<key_id>/revoke")
@no_transaction
@person_required
def revoke_key(key_id: str) -> ResponseReturnValue:
    me, moment = signed_in(), now()

    def work(s: Any) -> str:
        key = api_keys.find(s, me.principal, key_id)
        api_keys.revoke(s, key, me.principal, moment)
        return key.id

    disconnect_sockets(key=services().database.run(work))
    flash(_("The key is revoked."), "success")
    return redirect("/account/keys", 303)


# language, theme and number format


def _preference(name: str) -> ResponseReturnValue:
    """Remember a choice in the browser, and for a person who is signed in on every other one too."""
    data = json.loads(request.get_data()) if request.mimetype == "application/json" else request.form
    value = data.get(name) if hasattr(data, "get") else None
    if not isinstance(value, str):
        raise Invalid.field(name, "required", "must be named")
    users.check_preference(**{name: value})
    session[name] = value
    me = person()
    if me is not None:
        services().database.run(lambda s: users.set_preference(s, me.user.id, **{name: value}))
    if request.mimetype == "application/json":
        return "", 204
    return redirect(own_path(request.form.get("next")), 303)


@blueprint.post("/language")
@no_transaction
def set_language() -> ResponseReturnValue:
    return _preference("language")


@blueprint.post("/theme")
@no_transaction
def set_theme() -> ResponseReturnValue:
    return _preference("theme")


@blueprint.post("/number-format")
@no_transaction
def set_number_format() -> ResponseReturnValue:
    return _preference("number_format")


# names


@blueprint.get("/names")
@person_required
def names() -> ResponseReturnValue:
    """The names of those who did something, for what lists and events call ``user:<id>`` or ``key:<id>``."""
    asked = request.args.getlist("actor")[:SHOWN_NAMES]
    return {"names": actors.names(db(), signed_in().principal, asked)}
