"""What create_app has put together, for those who are called by a framework and cannot be handed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.core.clock import Clock
from app.core.group_commit import GroupCommit
from app.core.transaction import Database
from app.domain.instruments import SymbolTable
from app.domain.order_requests import OrderRequest
from app.schemas.market import feed_json

from .access import EntryWallets
from .api_keys import RecentKeys
from .orders import Orders
from .positions import Positions
from .quotes import QuoteBook


@dataclass(slots=True)
class Services:
    """One per process. ``engine`` and ``feeds`` are None in a process that runs none."""

    settings: Any
    clock: Clock
    database: Database
    instruments: SymbolTable
    quotes: QuoteBook
    orders: Orders
    order_entry: GroupCommit[OrderRequest, Any]
    positions: Positions
    bars: Any
    feeds: Any = None
    engine: Any = None
    stopping: Any = None  # set when what runs beside the requests has to end; None: nothing was started
    venue: Any = None  # the simulated venue beside the engine
    recent_keys: RecentKeys = field(init=False)
    entry_wallets: EntryWallets = field(default_factory=EntryWallets)
    wake: Callable[[], None] = lambda: None  # tells the engine, wherever it runs, that a commit has left it work

    def __post_init__(self) -> None:
        self.recent_keys = RecentKeys(self.clock)

    @property
    def runs_feeds(self) -> bool:
        """Whether prices come in here: feeds run where the engine leads."""
        return self.feeds is not None and (self.engine is None or self.engine.running)

    def feed_states(self) -> list[dict[str, Any]]:
        """How the feeds of this process are, as the API shows them."""
        return [feed_json(status) for status in self.feeds.status()] if self.feeds is not None else []
