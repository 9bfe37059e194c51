"""Tables, one file per area. Importing the package registers all of them."""

from .approvals import APPROVAL_IS_OPEN, Approval, ApprovalTier, ApprovalVote
from .audit import AuditRecord
from .base import exact_sum, table_of
from .clients import Client, ClientBankAccount, ClientDocument, ClientLimit, RelatedPerson
from .deposits import DEPOSIT_IS_OPEN, Deposit, DepositMismatch
from .engine import REQUEST_IS_UNANSWERED, EngineCommand, EngineFault, EngineHeartbeat, EngineLease, VenueRequest
from .events import Event, EventStream
from .gate import GateDecision
from .idempotency import IdempotencyRecord
from .kyc import VERIFICATION_IS_APPROVED, VERIFICATION_IS_PENDING, KycLimit, Verification
from .ledger import ChartAccount, JournalEntry, LedgerAccount, Posting
from .mails import Mail
from .market import Bar, Currency, InstrumentRow
from .orders import ORDER_IS_LIVE, ORDER_TO_SEND, Execution, FixMessage, Order
from .positions import POSITION_TO_ATTEND, Position, PositionUpdate, Signal
from .provider_events import ProviderEvent
from .users import ApiKey, SignInAttempt, User, UserSession, UserToken
from .wallets import Wallet
from .withdrawals import WITHDRAWAL_HOLDS, Withdrawal

__all__ = [
    "APPROVAL_IS_OPEN",
    "DEPOSIT_IS_OPEN",
    "ORDER_IS_LIVE",
    "ORDER_TO_SEND",
    "POSITION_TO_ATTEND",
    "REQUEST_IS_UNANSWERED",
    "WITHDRAWAL_HOLDS",
    "ApiKey",
    "Approval",
    "ApprovalTier",
    "ApprovalVote",
    "AuditRecord",
    "Bar",
    "ChartAccount",
    "Client",
    "ClientBankAccount",
    "ClientDocument",
    "ClientLimit",
    "Currency",
    "Deposit",
    "DepositMismatch",
    "EngineCommand",
    "EngineFault",
    "EngineHeartbeat",
    "EngineLease",
    "Event",
    "EventStream",
    "Execution",
    "FixMessage",
    "GateDecision",
    "IdempotencyRecord",
    "InstrumentRow",
    "JournalEntry",
    "KycLimit",
    "LedgerAccount",
    "Mail",
    "Order",
    "Position",
    "PositionUpdate",
    "Posting",
    "ProviderEvent",
    "RelatedPerson",
    "SignInAttempt",
    "Signal",
    "User",
    "UserSession",
    "UserToken",
    "VenueRequest",
    "VERIFICATION_IS_APPROVED",
    "VERIFICATION_IS_PENDING",
    "Verification",
    "Wallet",
    "Withdrawal",
    "exact_sum",
    "table_of",
]
