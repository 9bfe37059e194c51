"""Whom a caller may act for, below the routes."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.core.errors import AppError, Forbidden, Invalid, NotFound
from app.core.permissions import Principal, Role, Scope
from app.services import access
from tests.firm import Firm

TRADE = frozenset({Scope.READ, Scope.TRADE})


def entry_wallet(firm: Firm, principal: Principal, ref: str | None, wallet: str | None) -> str | type[AppError]:
    def work(session: Session) -> str:
        return access.entry_wallet(session, principal, ref, wallet)

    try:
        return firm.database.read(work)
    except AppError as error:
        return type(error)


def test_where_an_order_may_go(small_firm: Firm) -> None:
    firm = small_firm
    (ana, of_ana), (luis, of_luis) = firm.client("C-1"), firm.client("C-2")
    acting = Principal("key", "k", "k", scopes=TRADE, act_for_clients=True)
    idle = Principal("key", "k", "k", scopes=TRADE)
    own = Principal("key", "k", "k", scopes=TRADE, client_id=ana)
    master = Principal("user", "u", "u", role=Role.MASTER)
    for principal, ref, wallet, wanted in (
        (acting, "C-1", None, of_ana),
        (acting, ana, of_ana, of_ana),
        (acting, "C-1", of_luis, NotFound),
        (acting, "C-2", of_luis, of_luis),
        (acting, None, of_ana, Invalid),
        (idle, "C-1", None, Forbidden),
        (idle, None, of_ana, Forbidden),
        (idle, None, None, Forbidden),
        (master, "C-1", None, Forbidden),
        (own, None, None, of_ana),
        (own, "C-1", of_ana, of_ana),
        (own, None, of_luis, NotFound),
        (own, luis, None, NotFound),
        (own, "C-2", of_luis, NotFound),
    ):
        assert entry_wallet(firm, principal, ref, wallet) == wanted, (principal, ref, wallet)


@pytest.mark.parametrize("client_ref", ["C-1", None])
def test_without_that_right_a_key_is_told_so(small_firm: Firm, client_ref: str | None) -> None:
    small_firm.client("C-1")
    idle = Principal("key", "k", "k", scopes=TRADE)
    with pytest.raises(Forbidden) as refused:
        small_firm.database.read(lambda s: access.acting_client(s, idle, client_ref))
    assert refused.value.code == "may_not_act_for_clients"
