"""Orders up to the moment they are stored: entry, amendments, cancels. What happens afterwards is the engine's."""

from __future__ import annotations

from .amend import OrderAmendments
from .cancel import Canceler, OrderCancels, suspend
from .entry import OrderEntry, Outcome
from .factory import new_order


class Orders(OrderEntry, OrderAmendments, OrderCancels):
    """One for each process; all state is in the database."""


__all__ = ["Canceler", "Orders", "Outcome", "new_order", "suspend"]
