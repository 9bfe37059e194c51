"""The access table, written here from the product book and not from the code."""

from __future__ import annotations

import pytest

from app.core.errors import Forbidden
from app.core.permissions import (
    ACCESS,
    CHECK,
    HANDLE,
    READ,
    SCOPES,
    SYSTEM,
    WRITE,
    Principal,
    Reach,
    Resource,
    Role,
    Scope,
)

# R, W, H (handle) or C (check), and whose: * everybody's, a the trader's assigned clients', o one's own
TABLE = """
                 master   trader   operator  middle_office  client   key_read key_write
orders           R*       Ra.Wa    R*        R*             Ro.Wo    read     trade
wallets          R*.W*    Ra       R*        R*             Ro       read     admin
clients          R*.W*    Ra.Wa    R*        R*.W*          Ro       read     clients
limits           R*.W*.C* Ra       R*        R*.W*          Ro       read     admin
ledger           R*       Ra       R*        R*             Ro       read     -
events           R*       Ra       R*        R*             Ro       read     -
market           R*       R*       R*        R*             R*       read     -
market_control   R*.W*    -        -         -              -        admin    admin
system           R*.W*    -        R*        R*             -        admin    admin
audit            R*       -        -         R*             -        admin    -
users            R*.W*.C* -        -         -              -        -        -
documents        R*.W*    Ra.Wa    R*.W*     R*.W*          Ro.Wo    read     clients
bank_accounts    R*.C*    -        R*.W*     R*.C*          Ro.Wo    read     -
kyc              R*.C*    Ra       R*        R*.W*.H*.C*    Ro.Wo    read     clients
deposits         R*       Ra       R*.H*     R*.C*          Ro.Wo    read     funding
withdrawals      R*.C*    -        R*.W*.H*  R*.C*          Ro.Wo    read     funding
approvals        R*       -        R*        R*             -        -        -
api_keys         R*.W*    Ro.Wo    Ro.Wo     Ro.Wo          Ro.Wo    -        -
"""
REACH = {"*": Reach.ALL, "a": Reach.ASSIGNED, "o": Reach.OWN}
RIGHTS = {READ: "R", WRITE: "W", HANDLE: "H", CHECK: "C"}
ROWS = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()[1:]}
COLUMNS = TABLE.split()[:7]
# what a key of the firm writes for clients: with the right to act for them alone
ACTING = {"orders", "wallets", "market_control", "documents", "kyc", "deposits", "withdrawals"}
CELLS = [(resource, column, right) for resource in ROWS for column in COLUMNS[:5] for right in RIGHTS]


def wanted(resource: str, column: str, right: str) -> Reach | None:
    cell = ROWS[resource][COLUMNS.index(column)]
    marks = {part[0]: part[1] for part in cell.split(".") if part != "-"}
    mark = marks.get(RIGHTS[right])
    return REACH[mark] if mark else None


def user(role: Role) -> Principal:
    return Principal("user", "u-1", "somebody", role=role, client_id="c-1" if role is Role.CLIENT else None)


def test_the_table_here_names_every_resource_and_role() -> None:
    assert set(ROWS) == {resource.value for resource in Resource} == {resource.value for resource in ACCESS}
    assert COLUMNS[:5] == [role.value for role in Role]


@pytest.mark.parametrize(("resource", "role", "right"), CELLS)
def test_every_cell_of_the_access_table(resource: str, role: str, right: str) -> None:
    reach = wanted(resource, role, right)
    principal = user(Role(role))
    assert principal.reach(Resource(resource), right) is reach
    if reach is None:
        with pytest.raises(Forbidden, match=f"user may not {right} {resource}") as caught:
            principal.require(Resource(resource), right)
        assert caught.value.status == 403
    else:
        assert principal.require(Resource(resource), right) is reach


@pytest.mark.parametrize("resource", list(Resource))
@pytest.mark.parametrize("right", [READ, WRITE])
@pytest.mark.parametrize("bound", [True, False], ids=["bound", "unbound"])
def test_a_key_opens_what_its_scope_opens_and_nothing_else(resource: Resource, right: str, bound: bool) -> None:
    named = ROWS[resource.value][5 if right == READ else 6]
    for scope in Scope:
        key = Principal("key", "k-1", "bot", client_id="c-1" if bound else None, scopes=frozenset({scope}))
        acting = right == WRITE and resource.value in ACTING
        opened = named == scope.value and (bound or not acting)
        assert key.reach(resource, right) is ((Reach.OWN if bound else Reach.ALL) if opened else None), scope
        if not opened:
            with pytest.raises(Forbidden, match=f"key may not (act|{right})"):
                key.require(resource, right)


def test_no_key_can_mint_keys() -> None:
    almighty = Principal("key", "k-1", "bot", scopes=frozenset(Scope), act_for_clients=True)
    assert almighty.reach(Resource.API_KEYS, READ) is None
    assert almighty.reach(Resource.API_KEYS, WRITE) is None
    assert Resource.API_KEYS not in SCOPES


@pytest.mark.parametrize("right", ["delete", "", "READ"])
def test_a_right_nobody_named_is_nobodys(right: str) -> None:
    for resource in Resource:
        assert all(user(role).reach(resource, right) is None for role in Role)
        assert Principal("key", "k", "k", scopes=frozenset(Scope)).reach(resource, right) is None


def test_the_system_itself_may_do_everything() -> None:
    assert all(SYSTEM.reach(resource, right) is Reach.ALL for resource in Resource for right in (READ, WRITE))


def test_actors_are_named_by_kind_and_id() -> None:
    assert [SYSTEM.actor, user(Role.MASTER).actor, Principal("key", "k-1", "bot").actor] == [
        "system",
        "user:u-1",
        "key:k-1",
    ]


def test_a_firms_key_trades_only_where_it_may_act_for_clients() -> None:
    key = Principal("key", "k-1", "bot", scopes=frozenset({Scope.TRADE}))
    assert key.reach(Resource.ORDERS, WRITE) is None
    acting = Principal("key", "k-1", "bot", scopes=frozenset({Scope.TRADE}), act_for_clients=True)
    assert acting.reach(Resource.ORDERS, WRITE) is Reach.ALL
