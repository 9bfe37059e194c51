"""What is pushed to whom over SocketIO. Everything was serialized before it was stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.core.quotes import quote_json
from app.domain.money import text
from app.domain.quotes import Quote

STAFF = "staff"  # everyone who may see all clients


def client_room(client_id: str) -> str:
    return f"client:{client_id}"


def trader_room(user_id: str) -> str:
    return f"trader:{user_id}"


def quotes_room(symbol: str) -> str:
    return f"quotes:{symbol}"


class SocketPublisher:
    """``trader_of`` tells which trader a client is assigned to."""

    def __init__(self, socketio: Any, trader_of: Callable[[str], str | None]) -> None:
        self._socketio, self._trader_of = socketio, trader_of

    def _rooms(self, client_id: str) -> list[str]:
        rooms = [client_room(client_id), STAFF]
        trader = self._trader_of(client_id)
        if trader is not None:
            rooms.append(trader_room(trader))
        return rooms

    def events(self, events: list[dict[str, Any]]) -> None:
        """Each event to its client's room, to staff, and to the client's trader; the firm's to staff."""
        for event in events:
            rooms = [STAFF] if event["stream"] == "firm" else self._rooms(event["stream"])
            self._socketio.emit(event["type"], event, to=rooms)
            if event["object_type"] == "order" and event["type"].startswith("order."):
                name = "ORDER_REJECT" if event["data"]["status"] == "REJECTED" else "ORDER_UPDATE"
                self._socketio.emit(name, event, to=rooms)

    def quotes(self, quotes: list[Quote]) -> None:
        for quote in quotes:
            pushed = {**quote_json(quote), "volume": text(quote.volume)}
            self._socketio.emit("quote", pushed, to=quotes_room(quote.symbol))

    def samples(self, samples: list[dict[str, Any]]) -> None:
        """Values of open positions; not stored as events, the next one replaces them."""
        for sample in samples:
            self._socketio.emit("position.sample", sample, to=self._rooms(sample["client_id"]))


class SilentPublisher:
    """Pushes nothing: for replays and commands, where nobody listens."""

    def events(self, events: list[dict[str, Any]]) -> None: ...
    def quotes(self, quotes: list[Quote]) -> None: ...
    def samples(self, samples: list[dict[str, Any]]) -> None: ...
