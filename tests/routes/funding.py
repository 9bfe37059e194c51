"""A firm whose card payments go to the stand-in for Stripe, and what tests do there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.models import Client, ProviderEvent
from app.services import ledger, market
from app.services.container import Services
from app.services.reconcile import reconcile
from tests.stubs.stripe import GOOD_CARD, SECRET_KEY, WEBHOOK_SECRET, Stripe, sign

if TYPE_CHECKING:
    from .conftest import Firm

WEBHOOK = "/api/v1/stripe/webhook"


def settings(account: Stripe) -> dict[str, Any]:
    return {
        "stripe_secret_key": SECRET_KEY,
        "stripe_webhook_secret": WEBHOOK_SECRET,
        "stripe_api_base": account.base_url,
        "public_url": "http://desk.test",
    }


@dataclass
class Funding:
    """``stripe`` keeps its webhooks; a test delivers them when it likes."""

    firm: Firm
    stripe: Stripe
    delivered: int = field(default=0)

    def __post_init__(self) -> None:
        """Everybody may pay in as much as they like: what stops them is the gate's own tests' matter."""
        verified = {"kyc_status": "approved", "kyc_level": 2}
        self.parts.database.run(lambda session: session.execute(sa.update(Client).values(verified)))

    @property
    def parts(self) -> Services:
        parts: Services = self.firm.app.extensions["services"]
        return parts

    def declare(self, who: str = "client", **body: Any) -> dict[str, Any]:
        wanted = {"method": "card", "amount": "100.50", "currency": "USD", **body}
        answer = self.firm.call(who, "POST", "/api/v1/deposits", json=wanted)
        assert answer.status_code == 201, answer.get_json()
        shown: dict[str, Any] = answer.get_json()
        return shown

    def deposit(self, deposit_id: str, who: str = "client") -> dict[str, Any]:
        shown: dict[str, Any] = self.firm.call(who, "GET", f"/api/v1/deposits/{deposit_id}").get_json()
        return shown

    def act(self, deposit_id: str, verb: str, who: str, **body: Any) -> TestResponse:
        return self.firm.call(who, "POST", f"/api/v1/deposits/{deposit_id}/{verb}", json=body)

    def pay(self, deposit: dict[str, Any], card: str = GOOD_CARD) -> None:
        self.stripe.pay(deposit["provider_reference"], card)

    def deliver(self, event: dict[str, Any], at: float | None = None) -> TestResponse:
        """One webhook as Stripe sends it."""
        body = json.dumps(event)
        moment = self.firm.clock.now().timestamp() if at is None else at
        return self.post(body, sign(body, moment))

    def post(self, body: str, signature: str | None) -> TestResponse:
        headers = {} if signature is None else {"Stripe-Signature": signature}
        return self.firm.app.test_client().post(WEBHOOK, data=body, content_type="application/json", headers=headers)

    def deliver_all(self) -> None:
        """Everything Stripe has not been heard of yet, then the chore."""
        for event in self.stripe.events[self.delivered :]:
            assert self.deliver(event).status_code == 200
            self.firm.clock.advance(0.01)  # they come one after the other
        self.delivered = len(self.stripe.events)
        self.work_off()

    def work_off(self) -> None:
        while self.parts.payments.work_off(self.parts.database, self.firm.clock.now()):
            pass

    def wait(self, **passed: float) -> None:
        """Time passes, with what the chores do in it."""
        self.firm.clock.advance(timedelta(**passed).total_seconds())
        self.parts.payments.sweep(self.parts.database, self.firm.clock.now())
        self.work_off()

    def balance(self, currency: str = "USD", kind: str = "available", wallet: str = "ana:wallet") -> Decimal:
        found = self.firm.run(lambda session: ledger.balances(session, self.firm.ids[wallet]))
        return Decimal(found[currency][kind]) if currency in found else Decimal(0)

    def entries(self, deposit_id: str) -> list[str]:
        """The kinds of the journal's entries about a deposit."""
        path = f"/api/v1/journal/entries?about_id={deposit_id}"
        return [entry["kind"] for entry in self.firm.call("master", "GET", path).get_json()["items"]]

    def mismatches(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.firm.call("operator", "GET", "/api/v1/deposits/mismatches").get_json()[
            "items"
        ]
        return found

    def alerts(self) -> list[str]:
        """Codes of the alerts that the firm's people have seen."""
        self.firm.number()
        path = "/api/v1/events?types=alert.deposit&limit=100"
        return [event["data"]["code"] for event in self.firm.call("master", "GET", path).get_json()["items"]]

    def reconciled(self) -> None:
        """Assert that every invariant holds, and that no report failed on the way."""
        failed = sa.select(ProviderEvent.outcome).where(ProviderEvent.outcome.startswith("failed"))
        assert self.firm.run(lambda session: list(session.scalars(failed))) == []
        instruments = self.firm.run(market.load_instruments)
        report = self.firm.run(lambda session: reconcile(session, instruments))
        assert report["ok"], report["breaks"]
