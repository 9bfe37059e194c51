"""What all pages share: who may see them, and the choices their forms offer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.core.permissions import READ, WRITE, Principal, Resource
from app.domain.instruments import Instrument
from app.domain.money import text
from app.services import actors, clients

from .access import principal
from .identity import person_required
from .request import db, services

SHOWN_CLIENTS = 500
# of the first catalogue; what a firm names itself stands as it is
_INSTRUMENTS = {
    "Bitcoin / Tether": _l("Bitcoin / Tether"),
    "Ethereum / Tether": _l("Ethereum / Tether"),
    "Solana / Tether": _l("Solana / Tether"),
    "Euro / US dollar": _l("Euro / US dollar"),
    "Pound sterling / US dollar": _l("Pound sterling / US dollar"),
    "US dollar / Japanese yen": _l("US dollar / Japanese yen"),
    "US dollar / Peruvian sol": _l("US dollar / Peruvian sol"),
    "Gold, troy ounce / US dollar": _l("Gold, troy ounce / US dollar"),
}


def needs(resource: Resource, right: str = READ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A page for people who hold this right; others are sent to sign in, or refused."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            principal().require(resource, right)
            return view(*args, **kwargs)

        guarded.page = (resource, right)  # type: ignore[attr-defined]
        return person_required(guarded)

    return mark


def may(resource: Resource, right: str = WRITE, caller: Principal | None = None) -> bool:
    return (caller or principal()).reach(resource, right) is not None


def is_staff() -> bool:
    return principal().client_id is None


def client_choices(resource: Resource = Resource.ORDERS) -> list[dict[str, Any]]:
    """The clients whose objects the caller may read, for a picker: by code, at most ``SHOWN_CLIENTS``."""
    return clients.choices(db(), principal(), resource, SHOWN_CLIENTS)


_OURS = {"system": _l("System"), "engine": _l("Engine")}


def actor_name(actor: str) -> str:
    """Who did something, for people to read."""
    if ":" not in actor:
        return str(_OURS.get(actor, actor))
    known = actors.name(db(), principal(), actor)
    if known is None:
        return str(_("a program") if actor.startswith("key:") else _("somebody else"))
    return str(_("the key %(name)s", name=known)) if actor.startswith("key:") else known


def instrument_choices() -> list[dict[str, Any]]:
    return [_instrument(instrument) for instrument in services().instruments]


def _instrument(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "name": str(_INSTRUMENTS.get(instrument.name, instrument.name)),
        "base": instrument.base,
        "quote": instrument.quote,
        "tick_size": text(instrument.tick_size),
        "lot_size": text(instrument.lot_size),
        "min_notional": text(instrument.min_notional),
        "market": instrument.market.value,
    }
