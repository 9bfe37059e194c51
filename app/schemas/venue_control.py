"""How the simulated venue behaves, as it is told and shown."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, model_validator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from app.domain.money import InvalidAmount, parse_decimal, text

from .base import DECIMAL_PATTERN, AmountOut, Request, Response, TimeOut

MOST_MS = 600_000
MOST_BPS = 10_000


def _up_to(most: int) -> Callable[[Any], Decimal]:
    def check(value: Any) -> Decimal:
        try:
            number = parse_decimal(value)
        except InvalidAmount as error:
            raise PydanticCustomError("invalid_amount", str(error)) from error
        if not 0 <= number <= most:
            raise PydanticCustomError("amount_out_of_range", "must lie between 0 and {most}", {"most": most})
        return number

    return check


def _written(most: int) -> WithJsonSchema:
    number = {"type": "number", "minimum": 0, "maximum": most}
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": DECIMAL_PATTERN, "examples": ["0.1"]}, number]})


Rate = Annotated[Decimal, BeforeValidator(_up_to(1)), _written(1)]
BasisPoints = Annotated[Decimal, BeforeValidator(_up_to(MOST_BPS)), _written(MOST_BPS)]
Milliseconds = Annotated[int, Field(ge=0, le=MOST_MS, strict=True)]

LATENCY = f"How long the venue takes to look at a request, in milliseconds, 0 to {MOST_MS:,}"
REJECTED = "Probability from 0 to 1 that a new order is rejected"
PARTIAL = "Probability from 0 to 1 that an order fills in two parts"
SLIPPAGE = f"How much worse than the quote a market order fills, in basis points, 0 to {MOST_BPS:,}"
LOST = "Probability from 0 to 1 that a message other than a fill is never said"
DUPLICATE = "Probability from 0 to 1 that a message is said twice"
LATE = "Probability from 0 to 1 that a message comes a second later, after those behind it"
DISCONNECTED = "true: nothing passes either way until it is false again"


def _left_out() -> Any:
    return Field(default_factory=lambda: None)


class VenueChange(Request):
    """Only what is to change; the rest stays."""

    latency_ms: Annotated[Milliseconds, Field(description=LATENCY)] = _left_out()
    reject_rate: Annotated[Rate, Field(description=REJECTED)] = _left_out()
    partial_rate: Annotated[Rate, Field(description=PARTIAL)] = _left_out()
    slippage_bps: Annotated[BasisPoints, Field(description=SLIPPAGE)] = _left_out()
    lost_ack_rate: Annotated[Rate, Field(description=LOST)] = _left_out()
    duplicate_rate: Annotated[Rate, Field(description=DUPLICATE)] = _left_out()
    late_rate: Annotated[Rate, Field(description=LATE)] = _left_out()
    disconnected: Annotated[StrictBool, Field(description=DISCONNECTED)] = _left_out()

    @model_validator(mode="after")
    def _something(self) -> VenueChange:
        if not self.model_fields_set:
            raise PydanticCustomError("required", "say what is to change")
        return self

    def changes(self) -> dict[str, str | int | bool]:
        """What was named, as the venue takes it: amounts as strings."""
        named = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        return {name: text(value) if isinstance(value, Decimal) else value for name, value in named.items()}


class VenueBehaviourOut(Response):
    latency_ms: int = Field(ge=0, le=MOST_MS, description=LATENCY)
    reject_rate: AmountOut = Field(description=REJECTED)
    partial_rate: AmountOut = Field(description=PARTIAL)
    slippage_bps: AmountOut = Field(description=SLIPPAGE)
    lost_ack_rate: AmountOut = Field(description=LOST)
    duplicate_rate: AmountOut = Field(description=DUPLICATE)
    late_rate: AmountOut = Field(description=LATE)
    disconnected: bool = Field(description=DISCONNECTED)


class VenueChangeOut(Response):
    changes: dict[str, str | int | bool] = Field(description="The fields that were named, with their new values")
    asked_at: TimeOut = Field(description="When it was asked for")


class VenueOut(Response):
    venue: str = Field(description="SIM, the simulated venue", examples=["SIM"])
    changeable: bool = Field(description="false in production")
    behaviour: VenueBehaviourOut | None = Field(
        description="As the engine that leads said at the time of at; null when none has said anything"
    )
    at: TimeOut | None = Field(description="When the engine said so; null with behaviour")
    waiting: list[VenueChangeOut] = Field(
        description="Changes that no engine has taken yet, oldest first, at most 100; empty within a second"
    )
    last_error: str | None = Field(description="Why the newest change could not be made, else null")
