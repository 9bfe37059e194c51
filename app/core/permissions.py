"""Who may do what, as data: the access table of the product book, and the identity it is asked about."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from .errors import Forbidden


class Role(StrEnum):
    MASTER = "master"
    TRADER = "trader"
    OPERATOR = "operator"
    MIDDLE_OFFICE = "middle_office"
    CLIENT = "client"


class Scope(StrEnum):
    READ = "read"
    TRADE = "trade"
    FUNDING = "funding"
    CLIENTS = "clients"
    OPERATIONS = "operations"
    ADMIN = "admin"


class Resource(StrEnum):
    ORDERS = "orders"  # and positions, protection
    WALLETS = "wallets"  # and balances, movements
    CLIENTS = "clients"
    LIMITS = "limits"  # of a client, beside those of the wallets
    LEDGER = "ledger"
    MARKET = "market"
    MARKET_CONTROL = "market_control"
    SYSTEM = "system"
    API_KEYS = "api_keys"
    EVENTS = "events"
    AUDIT = "audit"
    USERS = "users"
    DOCUMENTS = "documents"  # of a client
    BANK_ACCOUNTS = "bank_accounts"  # where a client is paid
    KYC = "kyc"
    DEPOSITS = "deposits"
    WITHDRAWALS = "withdrawals"
    APPROVALS = "approvals"  # the inbox; to decide one needs CHECK for what it is about


class Reach(StrEnum):
    """Whose objects a right covers."""

    ALL = "all"
    ASSIGNED = "assigned"  # a trader's own clients
    OWN = "own"  # a client's own


READ, WRITE = "read", "write"
HANDLE = "handle"  # the firm's own part of it: match what came in, pay out, decide
CHECK = "check"  # be the second person
_ALL, _ASSIGNED, _OWN = Reach.ALL, Reach.ASSIGNED, Reach.OWN
_STAFF_READ = {Role.MASTER: {READ: _ALL}, Role.OPERATOR: {READ: _ALL}, Role.MIDDLE_OFFICE: {READ: _ALL}}
_EVERYBODY_READS = {role: {READ: _ALL} for role in Role}

# resource -> role -> right -> reach; what is not here is refused
ACCESS: Final[dict[Resource, dict[Role, dict[str, Reach]]]] = {
    Resource.ORDERS: {
        **_STAFF_READ,
        Role.TRADER: {READ: _ASSIGNED, WRITE: _ASSIGNED},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.WALLETS: {
        **_STAFF_READ,
        Role.MASTER: {READ: _ALL, WRITE: _ALL},
        Role.TRADER: {READ: _ASSIGNED},
        Role.CLIENT: {READ: _OWN},
    },
    Resource.CLIENTS: {
        Role.MASTER: {READ: _ALL, WRITE: _ALL},
        Role.TRADER: {READ: _ASSIGNED, WRITE: _ASSIGNED},
        Role.OPERATOR: {READ: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, WRITE: _ALL},
        Role.CLIENT: {READ: _OWN},
    },
    Resource.LIMITS: {
        Role.MASTER: {READ: _ALL, WRITE: _ALL, CHECK: _ALL},
        Role.TRADER: {READ: _ASSIGNED},
        Role.OPERATOR: {READ: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, WRITE: _ALL},
        Role.CLIENT: {READ: _OWN},
    },
    Resource.LEDGER: {**_STAFF_READ, Role.TRADER: {READ: _ASSIGNED}, Role.CLIENT: {READ: _OWN}},
    Resource.EVENTS: {**_STAFF_READ, Role.TRADER: {READ: _ASSIGNED}, Role.CLIENT: {READ: _OWN}},
    Resource.MARKET: _EVERYBODY_READS,
    Resource.MARKET_CONTROL: {Role.MASTER: {READ: _ALL, WRITE: _ALL}},
    Resource.SYSTEM: {
        Role.MASTER: {READ: _ALL, WRITE: _ALL},
        Role.OPERATOR: {READ: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL},
    },
    Resource.AUDIT: {Role.MASTER: {READ: _ALL}, Role.MIDDLE_OFFICE: {READ: _ALL}},
    Resource.USERS: {Role.MASTER: {READ: _ALL, WRITE: _ALL, CHECK: _ALL}},
    Resource.DOCUMENTS: {
        Role.MASTER: {READ: _ALL, WRITE: _ALL},
        Role.TRADER: {READ: _ASSIGNED, WRITE: _ASSIGNED},
        Role.OPERATOR: {READ: _ALL, WRITE: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, WRITE: _ALL},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.BANK_ACCOUNTS: {
        Role.MASTER: {READ: _ALL, CHECK: _ALL},
        Role.OPERATOR: {READ: _ALL, WRITE: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, CHECK: _ALL},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.KYC: {
        Role.MASTER: {READ: _ALL, CHECK: _ALL},
        Role.TRADER: {READ: _ASSIGNED},
        Role.OPERATOR: {READ: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, WRITE: _ALL, HANDLE: _ALL, CHECK: _ALL},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.DEPOSITS: {
        Role.MASTER: {READ: _ALL},
        Role.TRADER: {READ: _ASSIGNED},
        Role.OPERATOR: {READ: _ALL, HANDLE: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, CHECK: _ALL},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.WITHDRAWALS: {
        Role.MASTER: {READ: _ALL, CHECK: _ALL},
        Role.OPERATOR: {READ: _ALL, WRITE: _ALL, HANDLE: _ALL},
        Role.MIDDLE_OFFICE: {READ: _ALL, CHECK: _ALL},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
    Resource.APPROVALS: _STAFF_READ,
    Resource.API_KEYS: {
        Role.MASTER: {READ: _ALL, WRITE: _ALL},
        Role.TRADER: {READ: _OWN, WRITE: _OWN},
        Role.OPERATOR: {READ: _OWN, WRITE: _OWN},
        Role.MIDDLE_OFFICE: {READ: _OWN, WRITE: _OWN},
        Role.CLIENT: {READ: _OWN, WRITE: _OWN},
    },
}

# what a key's scope opens; resources missing here cannot be reached with a key at all
SCOPES: Final[dict[Resource, dict[str, Scope]]] = {
    Resource.ORDERS: {READ: Scope.READ, WRITE: Scope.TRADE},
    Resource.WALLETS: {READ: Scope.READ, WRITE: Scope.ADMIN},
    Resource.CLIENTS: {READ: Scope.READ, WRITE: Scope.CLIENTS},
    Resource.LIMITS: {READ: Scope.READ, WRITE: Scope.ADMIN},
    Resource.LEDGER: {READ: Scope.READ},
    Resource.EVENTS: {READ: Scope.READ},
    Resource.MARKET: {READ: Scope.READ},
    Resource.MARKET_CONTROL: {READ: Scope.ADMIN, WRITE: Scope.ADMIN},
    Resource.SYSTEM: {READ: Scope.ADMIN, WRITE: Scope.ADMIN},
    Resource.AUDIT: {READ: Scope.ADMIN},
    Resource.DOCUMENTS: {READ: Scope.READ, WRITE: Scope.CLIENTS},
    Resource.BANK_ACCOUNTS: {READ: Scope.READ},  # no key changes where a client is paid
    Resource.KYC: {READ: Scope.READ, WRITE: Scope.CLIENTS},
    Resource.DEPOSITS: {READ: Scope.READ, WRITE: Scope.FUNDING},
    Resource.WITHDRAWALS: {READ: Scope.READ, WRITE: Scope.FUNDING},
}


# writing these is acting for a client; a quote set by hand fires clients' stops
ACTING_FOR_CLIENTS: Final = frozenset(
    {
        Resource.ORDERS,
        Resource.WALLETS,
        Resource.MARKET_CONTROL,
        Resource.DOCUMENTS,
        Resource.KYC,
        Resource.DEPOSITS,
        Resource.WITHDRAWALS,
    }
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, taken from a session or a key and from nothing else.

    ``actor`` names it in audit records and orders: ``user:<id>``, ``key:<id>`` or ``system``.
    """

    kind: str  # user, key or system
    id: str
    label: str
    role: Role | None = None
    client_id: str | None = None
    scopes: frozenset[Scope] = field(default_factory=frozenset)
    act_for_clients: bool = False
    orders_per_second: int | None = None
    requests_per_second: int | None = None

    @property
    def actor(self) -> str:
        return self.kind if self.kind == "system" else f"{self.kind}:{self.id}"

    def reach(self, resource: Resource, right: str) -> Reach | None:
        """Whose objects this caller may read or write; None when nobody's."""
        if self.kind == "system":
            return Reach.ALL
        if self.kind == "key":
            scope = SCOPES.get(resource, {}).get(right)
            if scope is None or scope not in self.scopes:
                return None
            if self.client_id:
                return Reach.OWN
            if right == WRITE and resource in ACTING_FOR_CLIENTS and not self.act_for_clients:
                return None
            return Reach.ALL
        assert self.role is not None
        return ACCESS[resource].get(self.role, {}).get(right)

    def require(self, resource: Resource, right: str) -> Reach:
        """The same, raising ``Forbidden`` for None."""
        reach = self.reach(resource, right)
        if reach is None and self.kind == "key" and SCOPES.get(resource, {}).get(right) in self.scopes:
            raise Forbidden("this key may not act for clients", code="may_not_act_for_clients")
        if reach is None:
            raise Forbidden(f"this {'key' if self.kind == 'key' else 'user'} may not {right} {resource.value}")
        return reach


SYSTEM: Final = Principal(kind="system", id="system", label="system")
