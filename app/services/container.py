"""What create_app has put together, for those who are called by a framework and cannot be handed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.adapters.documents.base import Papers
from app.core.clock import Clock
from app.core.group_commit import GroupCommit
from app.core.settings import Settings
from app.core.transaction import Database
from app.domain.instruments import SymbolTable
from app.domain.order_requests import OrderRequest
from app.schemas.market import feed_json

from .access import EntryWallets
from .api_keys import RecentKeys
from .approvals import Approvals
from .bank_accounts import BankAccounts
from .bars import BarService
from .documents import Documents
from .feeds import FeedSupervisor
from .kyc_provider import KycAtProvider
from .orders import Orders, Outcome
from .payments import Payments
from .positions import Positions
from .quotes import QuoteBook
from .withdrawals import Withdrawals


class EngineStatus(Protocol):
    """What requests ask the engine of their own process."""

    @property
    def running(self) -> bool:
        """Whether it leads."""

    def status(self) -> dict[str, Any]:
        """Its figures, as the heartbeat has them."""


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """The engine of this process, and the feeds, which run while it leads."""

    engine: EngineStatus
    feeds: FeedSupervisor

    def feed_states(self) -> list[dict[str, Any]]:
        """How the feeds are, as the API shows them."""
        return [feed_json(status) for status in self.feeds.status()]


@dataclass(slots=True)
class Services:
    """One per process. ``local`` is set where an engine has been started beside the requests."""

    settings: Settings
    clock: Clock
    database: Database
    instruments: SymbolTable
    quotes: QuoteBook
    orders: Orders
    order_entry: GroupCommit[OrderRequest, Outcome]
    positions: Positions
    bars: BarService
    approvals: Approvals
    documents: Documents
    kyc: KycAtProvider
    bank_accounts: BankAccounts
    withdrawals: Withdrawals
    payments: Payments
    papers: Papers
    local: LocalEngine | None = None
    recent_keys: RecentKeys = field(init=False)
    entry_wallets: EntryWallets = field(default_factory=EntryWallets)
    wake: Callable[[], None] = lambda: None  # tells the engine, wherever it runs, that a commit has left it work

    wake_chores: Callable[[], None] = lambda: None  # the same for what is done outside, where the engine is here

    def __post_init__(self) -> None:
        self.recent_keys = RecentKeys(self.clock)

    @property
    def leader(self) -> LocalEngine | None:
        """The engine of this process while it leads: then prices come in here."""
        return self.local if self.local is not None and self.local.engine.running else None
