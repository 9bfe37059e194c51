"""Limits of a client's trading: how they are set and shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from .base import AmountOut, PositiveAmount, Request, Response, Text

SYMBOL = "The instrument it is for, in any known form; * for all that have no limit of their own"


class ClientLimitIn(Request):
    """The whole limit: what is left out is not limited."""

    symbol: Annotated[Text, Field(min_length=1, max_length=32)] = Field(description=SYMBOL)
    blocked: StrictBool = Field(False, description="true: the client may not buy or sell it at all")
    max_order_qty: PositiveAmount | None = Field(None, description="Largest quantity of one order, in base currency")
    max_notional_usd: PositiveAmount | None = Field(None, description="Largest value of one order, in USD")
    hours: Annotated[Text, Field(max_length=11)] | None = Field(
        None, description="When the client may trade, each day: HH:MM-HH:MM, which may span midnight"
    )
    time_zone: Annotated[Text, Field(max_length=64)] | None = Field(
        None, description="Of hours, as the IANA database names it, such as America/Lima"
    )

    @model_validator(mode="after")
    def _something(self) -> ClientLimitIn:
        if not self.blocked and (self.max_order_qty, self.max_notional_usd, self.hours) == (None,) * 3:
            raise PydanticCustomError("required", "at least one limit is needed; delete the limit to lift it")
        return self


class ClientLimitOut(Response):
    id: str = Field(description="Id of the limit")
    client_id: str = Field(description="Id of the client")
    symbol: str = Field(description="The instrument; * for all that have no limit of their own")
    blocked: bool = Field(description="true: the client may not buy or sell it at all")
    max_order_qty: AmountOut | None = Field(description="Largest quantity of one order, in base currency; null: any")
    max_notional_usd: AmountOut | None = Field(description="Largest value of one order, in USD; null: any")
    hours: str | None = Field(description="When the client may trade, HH:MM-HH:MM; null: always")
    time_zone: str | None = Field(description="Of hours")
