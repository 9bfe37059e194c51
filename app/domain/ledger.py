"""Double entry: the kinds of accounts that are posted to, balanced entries, and what each trading event posts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from .money import ZERO, Scales, decimals


class AccountKind(StrEnum):
    """What an account is for; the chart of accounts says under which code, and by which rules."""

    AVAILABLE = "available"
    HELD = "held"
    FEES = "fees"
    CLEARING = "clearing"
    EXTERNAL = "external"
    ROUNDING = "rounding"
    RECEIVABLE = "receivable"
    TAX = "tax"  # collected for the tax office


class NormalSide(StrEnum):
    """Where a balance is positive: debit for what the firm owns or spends, credit for what it owes or earns."""

    DEBIT = "debit"
    CREDIT = "credit"


class EntryKind(StrEnum):
    DEPOSIT = "deposit"
    HOLD = "hold"
    RELEASE = "release"
    TRADE = "trade"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    REVERSAL = "reversal"


class Unbalanced(Exception):
    """An entry whose postings do not sum to zero in every currency, or has fewer than two of them."""


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Names an account before its row is known. ``owner`` is a wallet id, or a house account's name."""

    owner: str
    currency: str
    kind: AccountKind


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One line of an entry: a credit where the amount is positive, a debit where it is negative."""

    account: AccountRef
    amount: Decimal


HOUSE = "house"


def check_balanced(lines: Iterable[PostingLine], scales: Scales) -> None:
    """Raise ``Unbalanced`` unless there are two lines or more, each of a legal scale, summing to zero."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    count = 0
    for line in lines:
        currency = line.account.currency
        scale = scales.get(currency)
        if scale is None:
            raise Unbalanced(f"{currency} is no currency of the firm")
        if decimals(line.amount) > scale:
            raise Unbalanced(f"{line.amount} has more decimals than {currency} allows")
        sums[currency] += line.amount
        count += 1
    if count < 2:
        raise Unbalanced("an entry needs at least two postings")
    for currency, total in sums.items():
        if total:
            raise Unbalanced(f"postings in {currency} sum to {total}, not to zero")


def _wallet(wallet_id: str, currency: str, kind: AccountKind) -> AccountRef:
    return AccountRef(wallet_id, currency, kind)


def deposit_lines(wallet_id: str, currency: str, amount: Decimal, origin: str) -> list[PostingLine]:
    """Money from outside, named by ``origin``, into a wallet's available balance."""
    return [
        PostingLine(AccountRef(origin, currency, AccountKind.EXTERNAL), -amount),
        PostingLine(_wallet(wallet_id, currency, AccountKind.AVAILABLE), amount),
    ]


def refund_lines(wallet_id: str, currency: str, amount: Decimal, origin: str, owed: Decimal) -> list[PostingLine]:
    """A deposit goes back to where it came from, named by ``origin``.

    ``owed`` of it is no longer in the wallet: the house pays it and has it to receive from the client.
    """
    lines = [
        PostingLine(_wallet(wallet_id, currency, AccountKind.AVAILABLE), -(amount - owed)),
        PostingLine(receivable(wallet_id, currency), -owed),
        PostingLine(AccountRef(origin, currency, AccountKind.EXTERNAL), amount),
    ]
    return [line for line in lines if line.amount]


def withdrawal_lines(
    wallet_id: str, currency: str, amount: Decimal, fee: Decimal, tax: Decimal, origin: str
) -> list[PostingLine]:
    """A withdrawal was paid from what was held for it; its fee and its tax stay with the house, which owes the tax."""
    lines = [
        PostingLine(_wallet(wallet_id, currency, AccountKind.HELD), -amount),
        PostingLine(AccountRef(origin, currency, AccountKind.EXTERNAL), amount - fee - tax),
        PostingLine(AccountRef(HOUSE, currency, AccountKind.FEES), fee),
        PostingLine(AccountRef(HOUSE, currency, AccountKind.TAX), tax),
    ]
    return [line for line in lines if line.amount]


def hold_lines(wallet_id: str, currency: str, amount: Decimal) -> list[PostingLine]:
    """Available to held; a negative amount releases."""
    return [
        PostingLine(_wallet(wallet_id, currency, AccountKind.AVAILABLE), -amount),
        PostingLine(_wallet(wallet_id, currency, AccountKind.HELD), amount),
    ]


def receivable(wallet_id: str, currency: str) -> AccountRef:
    """What a wallet's client owes the house; a house account, negative while something is owed."""
    return AccountRef(f"{HOUSE}:{wallet_id}", currency, AccountKind.RECEIVABLE)


def trade_lines(
    wallet_id: str,
    base: str,
    quote: str,
    *,
    buy: bool,
    qty: Decimal,
    value: Decimal,
    fee: Decimal,
    from_hold: Decimal,
    freed: Decimal,
    rounding: Decimal = ZERO,
    owed: Decimal = ZERO,
) -> list[PostingLine]:
    """One fill of a cash wallet.

    ``value`` and ``fee`` are in the quote currency. ``from_hold`` of the spent asset (quote for a buy,
    base for a sell) was held and pays first, the rest comes from available; ``freed`` goes back from
    held to available in the same entry because this fill needed less than was set aside. ``rounding`` is
    what the house adds to a buy where roundings left the hold short; ``owed`` of the spent asset is paid
    by the house and becomes a receivable from the wallet's client.
    """
    spent_currency, spent = (quote, value + fee) if buy else (base, qty)
    available, held = AccountKind.AVAILABLE, AccountKind.HELD
    lines = [
        PostingLine(_wallet(wallet_id, spent_currency, held), -(from_hold + freed)),
        PostingLine(_wallet(wallet_id, spent_currency, available), -(spent - from_hold - owed) + freed),
        PostingLine(receivable(wallet_id, spent_currency), -owed),
        PostingLine(AccountRef(HOUSE, base, AccountKind.CLEARING), -qty if buy else qty),
        PostingLine(AccountRef(HOUSE, quote, AccountKind.CLEARING), value + rounding if buy else -value),
        PostingLine(AccountRef(HOUSE, quote, AccountKind.ROUNDING), -rounding),
        PostingLine(AccountRef(HOUSE, quote, AccountKind.FEES), fee),
    ]
    if buy:
        lines.append(PostingLine(_wallet(wallet_id, base, available), qty))
    else:
        lines.append(PostingLine(_wallet(wallet_id, quote, available), value - fee))
    return [line for line in lines if line.amount]
