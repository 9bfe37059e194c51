"""What a process has: the engine that runs beside its requests, while it leads, and no part of unknown type."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from app.services.container import LocalEngine, Services

nothing: Any = None


@dataclass
class Engine:
    running: bool

    def status(self) -> dict[str, Any]:
        return {}


def services(local: LocalEngine | None) -> Services:
    parts = [item.name for item in fields(Services) if item.default is item.default_factory is MISSING and item.init]
    return Services(**dict.fromkeys(parts, nothing), local=local)


def test_prices_come_in_where_the_engine_of_this_process_leads() -> None:
    assert services(None).leader is None
    engine = Engine(running=False)
    local = LocalEngine(engine, nothing)
    parts = services(local)
    assert parts.leader is None, "it stands by"
    engine.running = True
    assert parts.leader is local


def test_every_part_has_a_type() -> None:
    hints = get_type_hints(Services)
    assert {"settings", "bars", "local", "order_entry"} <= set(hints)
    assert [name for name, hint in hints.items() if hint is Any] == []
