"""The web interface: its blueprints, its languages, and what every template is given."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Flask, g, request, session
from flask_babel import Babel, get_locale, gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.core.errors import AppError
from app.core.permissions import READ, Principal, Resource, Role
from app.services import approvals as waiting_approvals
from app.services import events, users
from app.services.user_sessions import SignedIn

from . import (
    account,
    approvals,
    audit,
    auth,
    clients,
    dashboard,
    deposits,
    desk,
    documents,
    invitations,
    journal,
    kyc,
    orders,
    papers,
    portfolio,
    positions,
    security,
    system,
    wallets,
    withdrawals,
)
from . import users as user_pages
from .identity import identify, person
from .request import services

MODULES = (
    "i18n.js",
    "dom.js",
    "api.js",
    "live.js",
    "format.js",
    "decimal.js",
    "labels.js",
    "toast.js",
    "../vendor/socket.io-client/socket.io.esm.min.js",
)

# label, address, icon, resource
_NAVIGATION: tuple[tuple[Any, str, str, Resource | None], ...] = (
    (_l("Overview"), "/", "speedometer2", None),
    (_l("Trade"), "/desk", "graph-up-arrow", Resource.ORDERS),
    (_l("Orders"), "/orders", "list-ul", Resource.ORDERS),
    (_l("Positions"), "/positions", "briefcase", Resource.ORDERS),
    (_l("Portfolio"), "/portfolio", "pie-chart", Resource.WALLETS),
    (_l("Wallets"), "/wallets", "wallet2", Resource.WALLETS),
    (_l("Deposits"), "/deposits", "download", Resource.DEPOSITS),
    (_l("Withdrawals"), "/withdrawals", "box-arrow-right", Resource.WITHDRAWALS),
    (_l("Verification"), "/kyc", "person-circle", Resource.KYC),
    (_l("Documents"), "/documents", "inbox", Resource.DOCUMENTS),
    (_l("Clients"), "/clients", "people", Resource.CLIENTS),
    (_l("Approvals"), "/approvals", "check2-circle", Resource.APPROVALS),
    (_l("Journal"), "/journal", "journal-text", Resource.LEDGER),
    (_l("System"), "/system", "hdd-network", Resource.SYSTEM),
    (_l("Users"), "/users", "person-circle", Resource.USERS),
    (_l("Audit"), "/audit", "shield-check", Resource.AUDIT),
)
_ROLES = {
    Role.MASTER: _l("Master"),
    Role.TRADER: _l("Trader"),
    Role.OPERATOR: _l("Operator"),
    Role.MIDDLE_OFFICE: _l("Middle office"),
    Role.CLIENT: _l("Client"),
}
_PROBLEMS = {
    400: _l("The request could not be read"),
    401: _l("Please sign in"),
    403: _l("You may not see this"),
    404: _l("There is no such page"),
    405: _l("There is no such page"),
    409: _l("This conflicts with the current state"),
    413: _l("Too large"),
    422: _l("Something in the request is not valid"),
    429: _l("Too many requests"),
    500: _l("Something went wrong on our side"),
    503: _l("Temporarily unavailable"),
}
# what a person can do about it; the sentences of the API are for programs
_HINTS = {
    403: _l("Your role does not include this page. Ask the firm's management if you need it."),
    404: _l("The address is wrong, or what was there is not yours to see."),
    429: _l("Wait a moment, then try again."),
    500: _l("It has been noted. Try again; if it stays, tell us the number below."),
    503: _l("Try again in a moment."),
}


def register(app: Flask) -> None:
    Babel(app, default_locale="en", locale_selector=choose_language)
    pages = (
        auth,
        invitations,
        account,
        security,
        dashboard,
        desk,
        clients,
        documents,
        wallets,
        withdrawals,
        deposits,
        orders,
        positions,
        portfolio,
        journal,
        kyc,
        system,
        user_pages,
        papers,
        approvals,
        audit,
    )
    for module in pages:
        app.register_blueprint(module.blueprint)
    app.before_request(account.require_what_comes_first)
    app.context_processor(_context)


def _person() -> SignedIn | None:
    if request.routing_exception is not None and "principal" not in g:
        with suppress(AppError):  # an address that does not exist: nobody has asked yet who is calling
            g.principal = identify()
    return person()


def choose_language() -> str:
    """The person's choice, then the browser's memory of one, then what the browser asks for."""
    me = _person()
    chosen = (me.user.language if me is not None else None) or session.get("language")
    if chosen in users.LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(users.LANGUAGES) or "en"


def _context() -> dict[str, Any]:
    me = _person()
    caller: Principal | None = None if me is None else me.principal
    theme = (None if me is None else me.user.theme) or session.get("theme")
    return {
        "me": caller,
        "current_user": current_user,
        "ui": {
            "language": str(get_locale() or "en"),
            "name": "" if me is None else me.user.name,
            "theme": theme if theme in users.THEMES else None,
            "number_format": _number_format(None if me is None else me.user.number_format),
            "nav": [] if me is None or caller is None or _has_to_do_first(me) else _navigation(caller),
            "second_step": me is not None and me.user.totp_since is not None,
            "roles": _ROLES,
            "role": "" if caller is None or caller.role is None else _ROLES[caller.role],
            "modules": MODULES,
            "cursor": _cursor(),
            "problem": _problem_title,
            "problem_hint": _problem_hint,
        },
    }


def _has_to_do_first(me: SignedIn) -> bool:
    return users.first_has_to(me.user, services().settings.staff_need_totp) is not None


def _number_format(choice: str | None) -> str:
    """The person's choice, then the browser's memory of one; Peru writes 1,234.56."""
    chosen = choice or session.get("number_format")
    return chosen if chosen in users.NUMBER_FORMATS else users.NUMBER_FORMATS[0]


def _cursor() -> int | None:
    """Up to where the page's own data is complete: live updates go on from there."""
    stored = g.get("db")
    return None if stored is None else events.last_ordinal(stored)


def _navigation(caller: Principal) -> list[dict[str, Any]]:
    waiting = {"/approvals": _waiting(caller)}
    return [
        {"label": label, "href": href, "icon": icon, "active": _is_here(href), "waiting": waiting.get(href)}
        for label, href, icon, resource in _NAVIGATION
        if _is_open(caller, resource)
    ]


def _waiting(caller: Principal) -> int | None:
    """How many proposals the caller may decide now; None: has no inbox, or the page no transaction."""
    stored = g.get("db")
    inbox = stored is not None and caller.reach(Resource.APPROVALS, READ) is not None
    return waiting_approvals.count_waiting(stored, caller) if inbox else None


def _is_open(caller: Principal, resource: Resource | None) -> bool:
    if resource is Resource.CLIENTS and caller.client_id is not None:
        return False
    if resource in (Resource.KYC, Resource.DOCUMENTS) and caller.client_id is None:  # on each client's page
        return False
    return resource is None or caller.reach(resource, READ) is not None


def _is_here(href: str) -> bool:
    return request.path == href if href == "/" else request.path == href or request.path.startswith(href + "/")


def _problem_hint(error: AppError) -> str:
    if error.code == "https_required":
        return str(gettext("Use https; a key that was sent over plain HTTP should be revoked."))
    known = _HINTS.get(error.status)
    if known is not None:
        return str(known)
    return error.detail if error.detail != error.title else ""


def _problem_title(error: AppError) -> str:
    known = _PROBLEMS.get(error.status)
    return str(known) if known is not None else HTTPStatus(error.status).phrase
