"""Connections are counted, those that say nothing end, and the clock decides when."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from app.core.clock import ManualClock
from app.core.connections import Connections, is_clear, neighbourhood


class Wire:
    def __init__(self) -> None:
        self.shut: list[int] = []

    def shutdown(self, how: int) -> None:
        self.shut.append(how)


def nothing(*_: Any) -> None: ...


def opened(clock: ManualClock, most: int = 3, per_address: int | None = 2) -> Connections:
    return Connections(clock, nothing, nothing, most=most, per_address=per_address)


def test_an_idle_connection_ends_when_its_time_is_over_and_not_before(clock: ManualClock) -> None:
    connections, wire = opened(clock), Wire()
    assert connections.admit(wire, "192.0.2.1")
    connections.idle(wire, 30)
    clock.advance(29.9)
    assert (connections.sweep(), wire.shut) == (0, [])
    clock.advance(0.2)
    assert (connections.sweep(), wire.shut, connections.count()) == (1, [socket.SHUT_RDWR], 0)
    assert not connections.heard(wire), "what came in the middle of it is no request"


def test_a_connection_that_has_spoken_may_take_its_time(clock: ManualClock) -> None:
    connections, wire = opened(clock), Wire()
    connections.admit(wire, "192.0.2.1")
    connections.idle(wire, 30)
    assert connections.heard(wire)
    clock.advance(1000)
    assert (connections.sweep(), wire.shut) == (0, [])


def test_a_body_that_does_not_come_is_cut_off_for_reading_alone(clock: ManualClock) -> None:
    connections, wire = opened(clock), Wire()
    with connections.reading(wire, 10):
        clock.advance(10)
        assert connections.sweep() == 1
    assert wire.shut == [socket.SHUT_RD]
    with connections.reading(wire, 10):
        pass
    clock.advance(100)
    assert connections.sweep() == 0


def test_one_address_may_have_so_many_and_others_are_not_touched(clock: ManualClock) -> None:
    connections, wires = opened(clock, most=100), [Wire() for _ in range(4)]
    assert [connections.admit(wire, "192.0.2.1") for wire in wires[:3]] == [True, True, False]
    assert connections.admit(wires[3], "192.0.2.2")
    connections.gone(wires[0])
    assert connections.admit(wires[2], "192.0.2.1")


def test_a_newcomer_takes_the_place_of_the_one_that_is_idle_longest(clock: ManualClock) -> None:
    connections, wires = opened(clock, per_address=None), [Wire() for _ in range(4)]
    for wire in wires[:3]:
        connections.admit(wire, "192.0.2.1")
    for wire in wires[1:3]:  # the first one is at work
        connections.idle(wire, 30)
    assert connections.admit(wires[3], "192.0.2.9")
    assert [bool(wire.shut) for wire in wires] == [False, True, False, False]
    assert connections.count() == 3
    connections.gone(wires[1])
    assert connections.count() == 3, "it is counted out once"


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_address(address: str, near: str) -> None:
    assert neighbourhood(address) == near


@pytest.mark.parametrize(
    ("request_line", "headers", "clear"),
    [
        (b"GET /health HTTP/1.1", [b"Host: here", b"X-Empty:", b"Content-Length: 3"], True),
        (b"M-SEARCH * HTTP/1.0", [], True),
        (b"get /health HTTP/1.1", [], False),
        (b"GET  /health HTTP/1.1", [], False),
        (b"GET /health", [], False),
        (b"POST / HTTP/1.1", [b"Transfer-Encoding : chunked"], False),
        (b"POST / HTTP/1.1", [b"X: 1", b" Transfer-Encoding: chunked"], False),
        (b"POST / HTTP/1.1", [b"X: 1\rTransfer-Encoding: chunked"], False),
        (b"POST / HTTP/1.1", [b"no header"], False),
        (b"POST / HTTP/1.1", [b"Content-Length: 3", b"content-length: 4"], False),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_not_clear(
    request_line: bytes, headers: list[bytes], clear: bool
) -> None:
    assert is_clear(request_line + b"\r\n", [*(line + b"\r\n" for line in headers), b"\r\n"]) is clear
