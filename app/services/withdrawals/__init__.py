"""Money that clients take out: held when it is asked for, agreed to by others, paid by an operator or given back.

The house's people pay outside and say so here with the bank's reference. Whoever asked for a withdrawal or agreed to
it does not pay it.
"""

from __future__ import annotations

from .records import WithdrawalFilter, checkers, search, show
from .workflow import Review, Withdrawals

__all__ = ["Review", "WithdrawalFilter", "Withdrawals", "checkers", "search", "show"]
