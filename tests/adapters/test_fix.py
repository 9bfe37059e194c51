"""Our messages against the FIX 4.4 data dictionary, and frames that must not be believed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from app.adapters.venues.client import FixClient

from app.adapters.venues import fix
from app.adapters.venues.base import Report, VenueOrder
from app.adapters.venues.simulated import Behaviour, SimulatedVenue
from app.core.transaction import Database
from app.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from app.domain.quotes import Quote
from app.services import market
from tests.data import shared_data

NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ORDER = VenueOrder("01a1-order", "wallet", "XAU/USD", Side.BUY, OrderType.LIMIT, D("1.5"), D("2000"),
                   TimeInForce.GTC, False, NOW)  # fmt: skip


class Dictionary:
    """The parts of FIX44.xml that say whether a message is well made."""

    def __init__(self) -> None:
        root = ET.parse(shared_data / "fix44" / "FIX44.xml").getroot()
        self.numbers = {f.get("name"): int(str(f.get("number"))) for f in root.iter("field") if f.get("number")}
        self.values = {
            int(str(f.get("number"))): {v.get("enum") for v in f.iter("value")}
            for f in root.find("fields") or []
            if f.find("value") is not None
        }
        self.components = {c.get("name"): c for c in root.find("components") or []}
        self.messages = {m.get("msgtype"): m for m in root.find("messages") or []}

    def fields(self, node: Any, required_only: bool) -> set[int]:
        found: set[int] = set()
        for item in node:
            if required_only and item.get("required") != "Y":
                continue
            if item.tag == "field":
                found.add(self.numbers[item.get("name")])
            elif item.tag == "component":
                found |= self.fields(self.components[item.get("name")], required_only)
            elif item.tag == "group" and not required_only:
                found.add(self.numbers[item.get("name")])
        return found


HEADER_AND_TRAILER = {8, 9, 35, 49, 56, 34, 52, 10}


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return Dictionary()


def check(dictionary: Dictionary, raw: bytes) -> fix.Fields:
    fields = fix.decode(raw)
    message = dictionary.messages[fields[35]]
    missing = dictionary.fields(message, required_only=True) - fields.keys()
    assert not missing, f"35={fields[35]} lacks {missing}"
    unknown = fields.keys() - dictionary.fields(message, required_only=False) - HEADER_AND_TRAILER
    assert not unknown, f"35={fields[35]} does not have {unknown}"
    for tag, value in fields.items():
        allowed = dictionary.values.get(tag)
        assert allowed is None or value in allowed, f"{tag}={value}"
    return fields


@pytest.fixture
def venue(sqlite_database: Database) -> SimulatedVenue:
    sqlite_database.run(market.seed_instruments)
    table = sqlite_database.read(market.load_instruments)
    behaviour = Behaviour(latency=timedelta(milliseconds=100), partial_rate=D(1), slippage_bps=D(0))
    return SimulatedVenue(behaviour, table.resolve, lambda s: table.form(s, "fix"), lambda q, n: False)


def quote(bid: str, ask: str) -> Quote:
    return Quote("XAU/USD", D(bid), D(ask), None, NOW, NOW, "test")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_every_message_of_a_whole_conversation_is_fix_4_4(dictionary: Dictionary, venue: SimulatedVenue) -> None:
    venue.on_quote(quote("1999", "2001"), NOW)
    out = [
        venue.new_order(ORDER, NOW),
        venue.replace(ORDER, 5, D("2"), D("2002"), NOW),
        venue.status(ORDER, NOW),
        venue.cancel(ORDER, 6, NOW),
        venue.cancel(ORDER, 7, NOW),
        venue.status(VenueOrder(**{**as_dict(ORDER), "id": "never-seen"}), NOW),
    ]
    for message in out:
        check(dictionary, message.raw)
    said: list[Report] = []
    for number, message in enumerate(out):
        venue.send([message], after(number))
        said += venue.reports(after(number + 0.15))
    # the replaced order meets the market: a first lot at once and, a latency later, the rest
    assert [report.kind for report in said] == [
        "new", "replaced", "fill", "fill", "status", "cancel_rejected", "cancel_rejected", "status",
    ]  # fmt: skip
    for report in said:
        check(dictionary, report.raw)
    fills = [report for report in said if report.kind == "fill"]
    assert [(fill.qty, fill.price, fill.maker) for fill in fills] == [
        (D("0.6"), D(2001), False),
        (D("1.4"), D(2001), False),
    ]
    assert said[-1].known is False


def as_dict(order: VenueOrder) -> dict[str, Any]:
    return {name: getattr(order, name) for name in VenueOrder.__slots__}


def test_a_new_order_says_what_the_order_says(dictionary: Dictionary) -> None:
    client = FixClient("SIMVENUE", lambda symbol: symbol.replace("/", ""))
    post_only = VenueOrder(**{**as_dict(ORDER), "post_only": True, "time_in_force": TimeInForce.DAY})
    fields = check(dictionary, client.new_order(post_only, NOW).raw)
    wanted = {11: "01a1-order", 1: "wallet", 55: "XAUUSD", 54: "1", 38: "1.5", 40: "2", 44: "2000", 59: "0", 18: "6",
              60: "20260105-14:30:00.000", 49: "CAMBISTA", 56: "SIMVENUE"}  # fmt: skip
    assert {tag: fields[tag] for tag in wanted} == wanted


def test_an_order_is_executed_once_however_often_it_arrives(venue: SimulatedVenue) -> None:
    venue.on_quote(quote("1999", "2000"), NOW)
    message = venue.new_order(ORDER, NOW)
    venue.send([message, message], NOW)
    kinds = [report.kind for report in venue.reports(after(1))]
    venue.send([message], after(1))
    kinds += [report.kind for report in venue.reports(after(2))]
    assert kinds == ["new", "fill", "fill"]


def test_the_same_seed_gives_the_same_fate(venue: SimulatedVenue) -> None:
    def fate(seed: int) -> list[str]:
        venue.behaviour = Behaviour(latency=timedelta(0), reject_rate=D("0.5"), seed=seed)
        venue.on_quote(quote("1999", "2000"), NOW)
        orders = [VenueOrder(**{**as_dict(ORDER), "id": f"{seed}-{n}"}) for n in range(40)]
        venue.send([venue.new_order(order, NOW) for order in orders], NOW)
        return ["rejected" if r.kind == "rejected" else "taken" for r in venue.reports(NOW) if r.kind != "fill"]

    first = fate(7)
    venue._done.clear()
    assert fate(7) == first
    assert 8 < first.count("rejected") < 32


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw: raw.replace(b"38=1.5", b"38=9.5"), "checksum"),
        (lambda raw: raw.replace(b"8=FIX.4.4", b"8=FIX.4.2"), "begin"),
        (lambda raw: raw[:-5], "checksum"),
        (lambda raw: rechecked(raw.replace(b"38=1.5", b"38=1.55")), "length"),
        (lambda raw: b"", "begin"),
        (lambda raw: raw + raw, "checksum"),
    ],
)
def test_a_damaged_frame_is_not_believed(spoil: Any, reason: str) -> None:
    raw = FixClient("SIMVENUE", lambda symbol: "XAUUSD").new_order(ORDER, NOW).raw
    with pytest.raises(fix.FixError, match=reason):
        fix.decode(spoil(raw))


def rechecked(raw: bytes) -> bytes:
    body = raw[: raw.rfind(b"10=")]
    return body + b"10=%03d\x01" % (sum(body) % 256)


def test_reports_about_nothing_are_refused() -> None:
    client = FixClient("SIMVENUE", lambda symbol: "XAUUSD")
    session = fix.FixSession("SIMVENUE", "CAMBISTA")
    for msg_type, body in (("8", [(150, "0")]), ("8", [(11, "x"), (150, "?")]), ("0", [(11, "x")]),
                           ("8", [(11, "x"), (150, "F"), (32, "many")])):  # fmt: skip
        with pytest.raises(fix.FixError):
            client.decode(session.encode(msg_type, body, NOW))


def test_status_words_of_the_venue_are_ours() -> None:
    client = FixClient("SIMVENUE", lambda symbol: "XAUUSD")
    session = fix.FixSession("SIMVENUE", "CAMBISTA")
    raw = session.encode("8", [(11, "x"), (150, "C"), (39, "C"), (58, "EXPIRED: end of the day")], NOW)
    report = client.decode(raw)
    assert (report.kind, report.status, report.reason_code, report.reason) == (
        "expired", OrderStatus.EXPIRED, "EXPIRED", "end of the day",
    )  # fmt: skip
