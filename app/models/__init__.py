"""Tables, one file per area. Importing the package registers all of them."""

from .audit import AuditRecord
from .base import exact_sum, table_of
from .clients import Client, ClientLimit
from .engine import REQUEST_IS_UNANSWERED, EngineCommand, EngineFault, EngineHeartbeat, EngineLease, VenueRequest
from .events import Event, EventStream
from .idempotency import IdempotencyRecord
from .ledger import ChartAccount, JournalEntry, LedgerAccount, Posting
from .market import Bar, Currency, InstrumentRow
from .orders import ORDER_IS_LIVE, ORDER_TO_SEND, Execution, FixMessage, Order
from .positions import POSITION_TO_ATTEND, Position, PositionUpdate, Signal
from .users import ApiKey, SignInAttempt, User, UserSession
from .wallets import Wallet

__all__ = [
    "ORDER_IS_LIVE",
    "ORDER_TO_SEND",
    "POSITION_TO_ATTEND",
    "REQUEST_IS_UNANSWERED",
    "ApiKey",
    "AuditRecord",
    "Bar",
    "ChartAccount",
    "Client",
    "ClientLimit",
    "Currency",
    "EngineCommand",
    "EngineFault",
    "EngineHeartbeat",
    "EngineLease",
    "Event",
    "EventStream",
    "Execution",
    "FixMessage",
    "IdempotencyRecord",
    "InstrumentRow",
    "JournalEntry",
    "LedgerAccount",
    "Order",
    "Position",
    "PositionUpdate",
    "Posting",
    "SignInAttempt",
    "Signal",
    "User",
    "UserSession",
    "VenueRequest",
    "Wallet",
    "exact_sum",
    "table_of",
]
