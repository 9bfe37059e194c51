"""How much of a wallet's money may leave the house: what is available, less what risk rules keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.deposits import DepositStatus, DisputeStatus
from app.domain.ledger import HOUSE, AccountKind, EntryKind
from app.domain.money import ZERO, text
from app.domain.withdrawals import BANK_CURRENCIES
from app.models import (
    WITHDRAWAL_HOLDS,
    Deposit,
    JournalEntry,
    LedgerAccount,
    Posting,
    Withdrawal,
    exact_sum,
    table_of,
)

from .wallets import PLAY_MONEY

accounts, postings, entries = table_of(LedgerAccount), table_of(Posting), table_of(JournalEntry)
Sums = dict[tuple[str, str], Decimal]  # by wallet and currency


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one wallet in one currency. ``owed``, ``disputed`` and ``play_money`` are what the house keeps back."""

    wallet_id: str
    currency: str
    available: Decimal = ZERO
    held_by_orders: Decimal = ZERO
    held_by_withdrawals: Decimal = ZERO
    owed: Decimal = ZERO  # by the client to the house
    disputed: Decimal = ZERO  # deposits that whoever paid them has asked back
    play_money: Decimal = ZERO  # that the wallet was opened with

    @property
    def uncovered(self) -> Decimal:
        """What is available less what is kept back; below zero where more is kept than there is."""
        return self.available - self.owed - self.disputed - self.play_money

    @property
    def withdrawable(self) -> Decimal:
        return max(self.uncovered, ZERO)

    def show(self) -> dict[str, Any]:
        return {
            "wallet_id": self.wallet_id,
            "currency": self.currency,
            "withdrawable": text(self.withdrawable),
            "available": text(self.available),
            "owed": text(self.owed),
            "disputed": text(self.disputed),
            "play_money": text(self.play_money),
            "held_by_orders": text(self.held_by_orders),
            "held_by_withdrawals": text(self.held_by_withdrawals),
        }


class WithdrawableBalance:
    """``keeps_play_money``: what wallets were opened with cannot leave, as in production."""

    def __init__(self, keeps_play_money: bool) -> None:
        self.keeps_play_money = keeps_play_money

    def of_wallet(self, session: Session, wallet_id: str, currency: str) -> Parts:
        found = {parts.currency: parts for parts in self.of_wallets(session, [wallet_id])}
        return found.get(currency, Parts(wallet_id, currency))

    def of_wallets(self, session: Session, wallet_ids: Iterable[str]) -> list[Parts]:
        """Every currency that banks know and a wallet ever had, by wallet and currency."""
        ids = list(wallet_ids)
        balances = self._balances(session, ids)
        withdrawing, owed = self._withdrawing(session, ids), self._owed(session, ids)
        disputed = self._disputed(session, ids)
        play_money = self._play_money(session, ids) if self.keeps_play_money else {}
        return [
            Parts(
                wallet_id=key[0],
                currency=key[1],
                available=kinds.get(AccountKind.AVAILABLE, ZERO),
                held_by_orders=kinds.get(AccountKind.HELD, ZERO) - withdrawing.get(key, ZERO),
                held_by_withdrawals=withdrawing.get(key, ZERO),
                owed=owed.get(key, ZERO),
                disputed=disputed.get(key, ZERO),
                play_money=play_money.get(key, ZERO),
            )
            for key, kinds in sorted(balances.items())
        ]

    def _balances(self, session: Session, ids: list[str]) -> dict[tuple[str, str], dict[AccountKind, Decimal]]:
        query = sa.select(accounts.c.owner, accounts.c.currency, accounts.c.kind, accounts.c.balance).where(
            accounts.c.wallet_id.in_(ids), accounts.c.currency.in_(BANK_CURRENCIES)
        )
        found: dict[tuple[str, str], dict[AccountKind, Decimal]] = defaultdict(dict)
        for row in session.execute(query):
            found[row.owner, row.currency][AccountKind(row.kind)] = row.balance
        return found

    def _withdrawing(self, session: Session, ids: list[str]) -> Sums:
        query = (
            sa.select(Withdrawal.wallet_id, Withdrawal.currency, exact_sum(Withdrawal.amount).label("total"))
            .where(Withdrawal.wallet_id.in_(ids), WITHDRAWAL_HOLDS)
            .group_by(Withdrawal.wallet_id, Withdrawal.currency)
        )
        return {(row.wallet_id, row.currency): row.total for row in session.execute(query)}

    def _owed(self, session: Session, ids: list[str]) -> Sums:
        """The house's receivables, which are debits: negative as posted."""
        owners = {f"{HOUSE}:{wallet_id}": wallet_id for wallet_id in ids}
        query = (
            sa.select(accounts.c.owner, accounts.c.currency, exact_sum(postings.c.amount).label("total"))
            .join(postings, postings.c.account_id == accounts.c.id)
            .where(accounts.c.owner.in_(owners), accounts.c.kind == AccountKind.RECEIVABLE.value)
            .group_by(accounts.c.owner, accounts.c.currency)
        )
        return {(owners[row.owner], row.currency): max(-row.total, ZERO) for row in session.execute(query)}

    def _disputed(self, session: Session, ids: list[str]) -> Sums:
        query = (
            sa.select(
                Deposit.wallet_id,
                Deposit.currency,
                exact_sum(Deposit.confirmed_amount).label("paid"),
                exact_sum(Deposit.refunded_amount).label("refunded"),
            )
            .where(
                Deposit.wallet_id.in_(ids),
                Deposit.dispute_status == DisputeStatus.OPEN.value,
                Deposit.status == DepositStatus.COMPLETED.value,
            )
            .group_by(Deposit.wallet_id, Deposit.currency)
        )
        return {(row.wallet_id, row.currency): row.paid - row.refunded for row in session.execute(query)}

    def _play_money(self, session: Session, ids: list[str]) -> Sums:
        query = (
            sa.select(entries.c.about_id, accounts.c.currency, exact_sum(postings.c.amount).label("total"))
            .join(postings, postings.c.entry_id == entries.c.id)
            .join(accounts, accounts.c.id == postings.c.account_id)
            .where(
                entries.c.about_type == "wallet",
                entries.c.about_id.in_(ids),
                entries.c.kind == EntryKind.DEPOSIT.value,
                accounts.c.owner == PLAY_MONEY,
            )
            .group_by(entries.c.about_id, accounts.c.currency)
        )
        return {(row.about_id, row.currency): -row.total for row in session.execute(query)}
