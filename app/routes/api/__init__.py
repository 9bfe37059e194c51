"""The JSON API, one module per area on one blueprint."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response

from app.core import json
from app.core.pagination import Page
from app.services.access import is_uuid

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


def page(items: list[Any], total: int, limit: int, offset: int) -> dict[str, Any]:
    return Page(items, total, limit, offset).to_json()


def whole(items: list[Any]) -> dict[str, Any]:
    """A list that is never long enough to page."""
    return Page(items, len(items), max(len(items), 1), 0).to_json()


def csv(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text, 200, headers, content_type="text/csv; charset=utf-8")


def register(app: Flask) -> None:
    from . import (
        approvals,
        audit,
        bank_accounts,
        client_import,
        client_limits,
        clients,
        deposits,
        documents,
        events,
        faults,
        keys,
        kyc,
        ledger,
        mails,
        market,
        openapi,
        orders,
        papers,
        portfolio,
        positions,
        stripe,
        system,
        users,
        venue_control,
        wallets,
        withdrawals,
    )

    areas = (
        approvals,
        audit,
        bank_accounts,
        client_import,
        client_limits,
        clients,
        documents,
        deposits,
        events,
        faults,
        keys,
        kyc,
        ledger,
        mails,
        market,
        orders,
        papers,
        portfolio,
        positions,
        stripe,
        system,
        users,
        venue_control,
        wallets,
        withdrawals,
    )
    assert all(areas)
    if not blueprint._got_registered_once:
        openapi.add_routes(blueprint)
    app.register_blueprint(blueprint)
    app.add_url_rule("/api/docs", "api_docs", openapi.docs)
    app.add_url_rule("/api/docs/errors", "api_errors", openapi.error_index)
    app.add_url_rule("/api/docs/errors/<code>", "api_error", openapi.error_page)


__all__ = ["blueprint", "csv", "is_uuid", "json", "page", "register", "whole"]
