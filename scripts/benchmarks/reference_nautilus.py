"""NautilusTrader's OrderEmulator on the same frames: parsed by msgspec, exits queued where its engines would be.

Run in the reference environment: reference_nautilus.py ARMED TICKS; prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from decimal import Decimal
from typing import Any

import msgspec
import scenario
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.emulator import OrderEmulator
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.identifiers import InstrumentId, StrategyId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

ONE = Quantity.from_str("1.00")


def instrument(symbol: str) -> CurrencyPair:
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol(symbol), Venue("SIM")),
        raw_symbol=Symbol(symbol),
        base_currency=BTC,
        quote_currency=USD,
        price_precision=2,
        size_precision=2,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.01"),
        ts_event=0,
        ts_init=0,
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


def main() -> None:
    armed, ticks = int(sys.argv[1]), int(sys.argv[2])
    given = scenario.build(armed, ticks)
    trader, strategy = TraderId("BENCH-001"), StrategyId("S-001")
    clock = TestClock()
    bus, cache = MessageBus(trader_id=trader, clock=clock), Cache(database=None)
    exits: deque[Any] = deque()
    position = [0]
    for endpoint in ("RiskEngine.execute", "RiskEngine.process", "ExecEngine.process", "DataEngine.execute"):
        bus.register(endpoint=endpoint, handler=lambda message: None)
    bus.register(endpoint="ExecEngine.execute", handler=lambda command: exits.append((position[0], command)))
    portfolio = Portfolio(msgbus=bus, cache=cache, clock=clock)
    emulator = OrderEmulator(portfolio=portfolio, msgbus=bus, cache=cache, clock=clock)
    ids = {}
    for symbol in given.symbols:
        pair = instrument(symbol)
        cache.add_instrument(pair)
        ids[symbol] = pair.id
    emulator.start()
    factory = OrderFactory(trader_id=trader, strategy_id=strategy, clock=clock)
    keys = {}
    for key, symbol, stop in given.stops:
        order = factory.stop_market(
            ids[symbol],
            OrderSide.SELL,
            ONE,
            trigger_price=Price.from_str(str(scenario.cents(stop))),
            emulation_trigger=TriggerType.BID_ASK,
        )
        keys[order.client_order_id] = key
        cache.add_order(order, None)
        emulator.execute(
            SubmitOrder(trader_id=trader, strategy_id=strategy, order=order, command_id=UUID4(), ts_init=0)
        )
    parse = msgspec.json.Decoder().decode
    began = time.process_time()
    for number, frame in enumerate(given.frames):
        said = parse(frame)
        position[0] = number
        emulator.on_quote_tick(
            QuoteTick(ids[said["s"]], Price.from_str(said["b"]), Price.from_str(said["a"]), ONE, ONE, number, number)
        )
    seconds = time.process_time() - began
    fired = {(keys[command.order.client_order_id], number) for number, command in exits}
    print(
        json.dumps(
            {
                "ticks_per_second": ticks / seconds,
                "fired": len(exits),
                "right": fired == scenario.brute_force(given),
            }
        )
    )


if __name__ == "__main__":
    main()
