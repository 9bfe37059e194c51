"""Our messages against the FIX 4.4 data dictionary, frames that must not be believed, and a venue's faults."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from app.adapters.venues import fix
from app.adapters.venues.base import VenueOrder
from app.adapters.venues.fix_gateway import FixGateway, decode
from app.adapters.venues.simulated import LATE_BY, Behaviour, RestingOrder, SimulatedVenue
from app.core.clock import ManualClock
from app.core.transaction import Database
from app.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from app.domain.quotes import Quote
from app.domain.reports import (
    Accepted,
    Canceled,
    CancelRejected,
    Expired,
    Fill,
    OrderSnapshot,
    Rejected,
    Replaced,
    ReplaceRejected,
    Report,
    Sent,
)
from app.services import market
from tests.data import shared_data

NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ORDER = VenueOrder(
    "01a1-order", "wallet", "XAU/USD", Side.BUY, OrderType.LIMIT, D("1.5"), D("2000"), TimeInForce.GTC, False, NOW
)
LOTS = Behaviour(latency=timedelta(milliseconds=100), partial_rate=D(1), slippage_bps=D(0))


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


HEADER_AND_TRAILER = {8, 9, 35, 49, 56, 34, 52, 97, 10}


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


class Line:
    """A transport in a test's hand: what was sent, and what the far end is made to say."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.said: list[bytes] = []

    def send(self, raw: bytes) -> None:
        self.sent.append(raw)

    def receive(self) -> list[bytes]:
        said, self.said = self.said, []
        return said

    def seconds_until_due(self) -> float | None:
        return None


@dataclass
class Session:
    """A gateway, the simulated venue behind it, and all that was said."""

    clock: ManualClock
    venue: SimulatedVenue
    gateway: FixGateway
    heard: list[Report] = field(default_factory=list)

    def quote(self, bid: str, ask: str) -> None:
        now = self.clock.now()
        self.venue.on_quote(Quote("XAU/USD", D(bid), D(ask), None, now, now, "test"))

    def wait(self, seconds: float) -> list[Report]:
        """Let time pass in small steps; what came of it, without what was merely sent."""
        found: list[Report] = []
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            found += [report for report in self.gateway.reports() if not isinstance(report, Sent)]
        self.heard += found
        return found

    def behave(self, **changes: Any) -> None:
        self.venue.behaviour = replace(self.venue.behaviour, **changes)


@pytest.fixture
def session(sqlite_database: Database, clock: ManualClock) -> Session:
    sqlite_database.run(market.seed_instruments)
    table = sqlite_database.read(market.load_instruments)
    form: Callable[[str], str] = lambda symbol: table.form(symbol, "fix")  # noqa: E731
    venue = SimulatedVenue(LOTS, clock, table.resolve, form, lambda quote, now: False)
    gateway = FixGateway("SIM", venue, form, clock, answers_within=timedelta(seconds=5), works_alone=False)
    return Session(clock, venue, gateway)


def a_gateway(line: Line) -> FixGateway:
    clock = ManualClock(NOW)
    return FixGateway(
        "SIM",
        line,
        lambda symbol: symbol.replace("/", ""),
        clock,
        answers_within=timedelta(seconds=5),
        works_alone=True,
    )


def kinds(reports: list[Report]) -> list[type[Report]]:
    return [type(report) for report in reports]


def test_every_message_of_a_whole_conversation_is_fix_4_4(dictionary: Dictionary, session: Session) -> None:
    session.quote("1999", "2001")
    gateway, name = session.gateway, ORDER.id
    requests: list[Callable[[], None]] = [
        lambda: gateway.submit(ORDER, name),
        lambda: gateway.replace(ORDER, f"{name}/r1", D(2), D(2002)),
        lambda: gateway.query(ORDER, f"{name}/q2"),
        lambda: gateway.cancel(ORDER, f"{name}/c3"),
        lambda: gateway.replace(ORDER, f"{name}/r4", D(3), D(2002)),
        lambda: gateway.query(replace(ORDER, id="never-seen"), "never-seen/q1"),
        lambda: gateway.cancel(replace(ORDER, id="never-seen"), "never-seen/c2"),
    ]
    said: list[Report] = []
    for request in requests:
        request()
        for _ in range(6):
            said += gateway.reports()
            session.clock.advance(0.05)
    for report in said:
        check(dictionary, report.message)
    # the replaced order meets the market: a first lot at once and, a latency later, the rest; a query has
    # both told again and then how the order is
    answers = [report for report in said if not isinstance(report, Sent)]
    assert kinds(answers) == [
        Accepted,
        Replaced,
        Fill,
        Fill,
        Fill,
        Fill,
        OrderSnapshot,
        CancelRejected,
        ReplaceRejected,
        OrderSnapshot,
        CancelRejected,
    ]
    fills = [report for report in answers if isinstance(report, Fill)]
    lots = [(D("0.6"), D(2001), False, D("1.4")), (D("1.4"), D(2001), False, D(0))]
    assert [(fill.qty, fill.price, fill.maker, fill.leaves_qty) for fill in fills] == lots * 2
    assert [fill.trade_id for fill in fills[:2]] == [fill.trade_id for fill in fills[2:]]
    assert [b"\x0197=Y\x01" in fill.message for fill in fills] == [False, False, True, True], "PossResend"
    assert [report.cl_ord_id for report in answers if not isinstance(report, Fill)] == [
        name,
        f"{name}/r1",
        f"{name}/q2",
        f"{name}/c3",
        f"{name}/r4",
        "never-seen/q1",
        "never-seen/c2",
    ]
    assert {report.order_id for report in answers[:-2]} == {name}
    known = [report for report in answers if isinstance(report, OrderSnapshot)]
    assert [(one.known, one.status, one.cum_qty) for one in known] == [
        (True, OrderStatus.FILLED, D(2)),
        (False, OrderStatus.REJECTED, D(0)),
    ]
    assert [one.known for one in answers if isinstance(one, CancelRejected)] == [True, False]
    assert [type(one) for one in said if isinstance(one, Sent)] == [Sent] * len(requests)


def test_a_message_the_venue_does_not_support_is_refused_as_the_dictionary_says(
    dictionary: Dictionary, session: Session
) -> None:
    session.venue.send(fix.FixSession("CAMBISTA", "SIMVENUE").encode("B", [(11, "x"), (148, "news")], NOW))
    session.clock.advance(0.1)
    raw = session.venue.receive()[0]
    assert check(dictionary, raw)[372] == "B"


def test_a_new_order_says_what_the_order_says(dictionary: Dictionary) -> None:
    line = Line()
    a_gateway(line).submit(replace(ORDER, post_only=True, time_in_force=TimeInForce.DAY), ORDER.id)
    fields = check(dictionary, line.sent[0])
    wanted = {
        11: "01a1-order",
        1: "wallet",
        55: "XAUUSD",
        54: "1",
        38: "1.5",
        40: "2",
        44: "2000",
        59: "0",
        18: "6",
        60: "20260105-14:30:00.000",
        49: "CAMBISTA",
        56: "SIMVENUE",
        34: "1",
    }
    assert {tag: fields[tag] for tag in wanted} == wanted
    assert 97 not in fields


def test_sequence_numbers_are_given_as_messages_leave() -> None:
    line = Line()
    gateway = a_gateway(line)
    gateway.submit(ORDER, ORDER.id)
    gateway.query(ORDER, f"{ORDER.id}/q1")
    assert [fix.decode(raw)[34] for raw in line.sent] == ["1", "2"]
    assert gateway.seconds_until_due() == 0, "that they left is a report too"
    assert kinds(gateway.reports()) == [Sent, Sent]
    assert gateway.seconds_until_due() is None


def test_an_order_is_executed_once_however_often_it_arrives(session: Session) -> None:
    session.quote("1999", "2000")
    session.gateway.submit(ORDER, ORDER.id)
    session.gateway.submit(ORDER, ORDER.id)
    assert kinds(session.wait(1)) == [Accepted, Fill, Fill]
    session.gateway.submit(ORDER, ORDER.id)
    assert session.wait(1) == []


def test_the_same_seed_gives_the_same_fate(session: Session) -> None:
    def fate(seed: int) -> list[type[Report]]:
        session.venue.restore([])
        session.venue.behaviour = Behaviour(latency=timedelta(0), reject_rate=D("0.5"), seed=seed)
        session.quote("1999", "2000")
        for number in range(40):
            session.gateway.submit(replace(ORDER, id=f"{number}"), f"{number}")
        return [type(report) for report in session.wait(0.1) if not isinstance(report, Fill)]

    first = fate(7)
    assert fate(7) == first
    assert fate(8) != first
    assert 8 < first.count(Rejected) < 32


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
    line = Line()
    a_gateway(line).submit(ORDER, ORDER.id)
    with pytest.raises(fix.FixError, match=reason):
        fix.decode(spoil(line.sent[0]))


def rechecked(raw: bytes) -> bytes:
    body = raw[: raw.rfind(b"10=")]
    return body + b"10=%03d\x01" % (sum(body) % 256)


def from_venue(msg_type: str, *body: tuple[int, str | None]) -> bytes:
    return fix.FixSession("SIMVENUE", "CAMBISTA").encode(msg_type, body, NOW)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(from_venue("8", (150, "0")), id="about no order"),
        pytest.param(from_venue("8", (11, "x"), (150, "?")), id="unknown ExecType"),
        pytest.param(from_venue("0", (11, "x")), id="unexpected type"),
        pytest.param(from_venue("8", (11, "x"), (150, "F"), (17, "1"), (32, "many")), id="no number"),
        pytest.param(from_venue("8", (11, "x"), (150, "F"), (17, "1"), (32, "NaN"), (31, "1")), id="not a number"),
        pytest.param(
            from_venue("8", (11, "x"), (150, "F"), (32, "1"), (31, "1"), (151, "0")), id="a fill nobody can tell apart"
        ),
        pytest.param(from_venue("8", (11, "x"), (150, "0"), (60, "yesterday")), id="no time"),
        pytest.param(from_venue("j", (379, "x/q1"), (372, "H"), (380, "3")), id="a query it does not support"),
        pytest.param(b"8=FIX.4.4\x019=5\x0135=8\x0110=000\x01", id="damaged"),
    ],
)
def test_reports_about_nothing_are_counted_and_dropped_and_those_behind_them_arrive(raw: bytes) -> None:
    line = Line()
    gateway = a_gateway(line)
    good = from_venue("8", (11, "x"), (37, "V-1"), (150, "0"))
    line.said = [good, raw, good]
    assert kinds(gateway.reports()) == [Accepted, Accepted]
    assert gateway.unreadable == 1
    with pytest.raises(fix.FixError):
        decode(raw)


def test_status_words_of_the_venue_are_ours() -> None:
    expired = decode(from_venue("8", (11, "x"), (150, "C"), (39, "C"), (14, "0.5"), (58, "EXPIRED: end of the day")))
    assert isinstance(expired, Expired)
    assert (expired.order_id, expired.cum_qty, expired.reason) == ("x", D("0.5"), "end of the day")
    rejected = decode(from_venue("8", (11, "x"), (150, "8"), (39, "8"), (58, "STALE_QUOTE: no fresh quote")))
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.reason) == ("STALE_QUOTE", "no fresh quote")
    for word, status in (
        ("0", "OPEN"),
        ("1", "PARTIALLY_FILLED"),
        ("2", "FILLED"),
        ("4", "CANCELED"),
        ("8", "REJECTED"),
        ("C", "EXPIRED"),
        ("E", None),
    ):
        told = decode(from_venue("8", (11, "x"), (790, "x/q1"), (150, "I"), (39, word), (38, "1"), (14, "0")))
        assert isinstance(told, OrderSnapshot)
        assert (told.status, told.order_id, told.cl_ord_id) == (status, "x", "x/q1")


@pytest.mark.parametrize(
    ("refused", "kind"),
    [("D", Rejected), ("F", CancelRejected), ("G", ReplaceRejected)],
    ids=["new", "cancel", "amend"],
)
def test_a_business_reject_is_about_the_request_and_not_about_the_order(refused: str, kind: type[Report]) -> None:
    """A venue that does not take a cancel still works the order: its hold must not be given back."""
    name = "x" if refused == "D" else "x/1"
    report = decode(from_venue("j", (45, "9"), (372, refused), (379, name), (380, "3"), (58, "not supported")))
    assert type(report) is kind
    assert (report.order_id, report.cl_ord_id) == ("x", name)
    assert getattr(report, "known", True)


# -- the venue's faults --------------------------------------------------------------------------------------


def test_a_lost_acknowledgement_is_lost_and_a_fill_is_not(session: Session) -> None:
    session.behave(lost_ack_rate=D(1))
    session.quote("1999", "2000")
    session.gateway.submit(ORDER, ORDER.id)
    resting = replace(ORDER, id="resting", price=D(1500))
    session.gateway.submit(resting, resting.id)
    assert kinds(session.wait(2)) == [Fill, Fill]
    session.gateway.cancel(resting, "resting/c1")
    assert session.wait(2) == [], "neither that it rests nor that it is canceled"
    session.gateway.query(resting, "resting/q2")
    [told] = session.wait(1)
    assert isinstance(told, OrderSnapshot) and told.status is OrderStatus.CANCELED, "a query is answered"


def test_duplicates_say_the_same_under_the_same_trade_id(session: Session) -> None:
    session.behave(duplicate_rate=D(1))
    session.quote("1999", "2000")
    session.gateway.submit(ORDER, ORDER.id)
    heard = session.wait(4)
    assert sorted(kind.__name__ for kind in kinds(heard)) == ["Accepted"] * 2 + ["Fill"] * 4
    fills = [report for report in heard if isinstance(report, Fill)]
    assert len({fill.trade_id for fill in fills}) == 2
    assert len({(fill.trade_id, fill.qty, fill.message) for fill in fills}) == 2


def test_late_reports_arrive_behind_later_ones(session: Session) -> None:
    session.behave(late_rate=D("0.5"), seed=3)
    session.quote("1999", "2000")
    for number in range(10):
        session.gateway.submit(replace(ORDER, id=f"{number}"), f"{number}")
    session.wait(LATE_BY.total_seconds() + 1)
    assert len(session.heard) == 30, "none is lost"
    overtaken = 0
    for number in range(10):
        own = [type(report) for report in session.heard if report.order_id == f"{number}"]
        assert sorted(own, key=str) == [Accepted, Fill, Fill]
        overtaken += own != [Accepted, Fill, Fill]
    assert 0 < overtaken < 10


def test_while_the_line_is_down_nothing_passes_and_afterwards_everything_does(session: Session) -> None:
    session.quote("1999", "2001")
    session.gateway.submit(ORDER, ORDER.id)
    session.wait(0.3)
    session.behave(disconnected=True)
    session.gateway.cancel(replace(ORDER, id="other"), "other/c1")
    session.quote("1999", "2000")  # it fills meanwhile, and nobody hears of it
    assert session.wait(2) == []
    session.behave(disconnected=False)
    assert kinds(session.wait(1)) == [Fill, Fill, CancelRejected]


def test_a_query_tells_every_fill_again_under_its_own_trade_id(session: Session) -> None:
    session.quote("1999", "2000")
    session.gateway.submit(ORDER, ORDER.id)
    first = [report for report in session.wait(1) if isinstance(report, Fill)]
    for number in (1, 2):
        session.gateway.query(ORDER, f"{ORDER.id}/q{number}")
        *again, told = session.wait(0.5)
        assert [(one.trade_id, one.qty, one.price) for one in again if isinstance(one, Fill)] == [
            (one.trade_id, one.qty, one.price) for one in first
        ]
        assert isinstance(told, OrderSnapshot) and told.cl_ord_id == f"{ORDER.id}/q{number}"


def test_a_venue_that_is_told_what_rests_executes_only_what_is_left(session: Session) -> None:
    session.venue.restore([RestingOrder(ORDER, D("0.6"), D(1200), 1)])
    session.gateway.cancel(replace(ORDER, id="forgotten"), "forgotten/c1")
    session.quote("1999", "2000")
    heard = session.wait(1)
    assert sorted(kind.__name__ for kind in kinds(heard)) == ["CancelRejected", "Fill"]
    [fill] = [report for report in heard if isinstance(report, Fill)]
    assert (fill.qty, fill.leaves_qty, fill.trade_id) == (D("0.9"), D(0), f"{ORDER.id}.2")


def test_the_venues_time_is_monotonic(session: Session) -> None:
    """The machine's clock is set back five minutes: what was due is due all the same."""
    session.quote("1999", "2000")
    session.gateway.submit(ORDER, ORDER.id)
    session.clock.set_back(300)
    assert kinds(session.wait(1)) == [Accepted, Fill, Fill]
    session.gateway.cancel(ORDER, f"{ORDER.id}/c1")
    assert kinds(session.wait(1)) == [CancelRejected]


def test_a_replaced_order_that_rests_is_canceled_whole(session: Session) -> None:
    session.quote("1999", "2001")
    session.gateway.submit(ORDER, ORDER.id)
    session.gateway.replace(ORDER, f"{ORDER.id}/r1", D(3), D(1990))
    session.gateway.cancel(ORDER, f"{ORDER.id}/c2")
    accepted, changed, ended = session.wait(1)
    assert isinstance(accepted, Accepted)
    assert isinstance(changed, Replaced) and (changed.qty, changed.price) == (D(3), D(1990))
    assert isinstance(ended, Canceled) and ended.cum_qty == 0
