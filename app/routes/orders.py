"""Orders: the list, and one with its history."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.domain.orders import OrderStatus
from app.services import access

from .access import principal
from .page import actor_name, client_choices, instrument_choices, is_staff, may, needs
from .request import db, services

blueprint = Blueprint("orders", __name__, url_prefix="/orders")


@blueprint.get("")
@needs(Resource.ORDERS)
def index() -> ResponseReturnValue:
    return render_template(
        "orders/index.html",
        clients=client_choices(),
        instruments=instrument_choices(),
        staff=is_staff(),
        statuses=[status.value for status in OrderStatus],
    )


@blueprint.get("/<order_id>")
@needs(Resource.ORDERS)
def detail(order_id: str) -> ResponseReturnValue:
    order = access.order(db(), principal(), order_id, READ)
    return render_template(
        "orders/detail.html",
        order=services().orders.show(order),
        client=access.client_of(db(), order),
        wallet=access.wallet_of(db(), order),
        instruments=instrument_choices(),
        staff=is_staff(),
        trade=may(Resource.ORDERS),
        created_by=actor_name(order.created_by),
    )
