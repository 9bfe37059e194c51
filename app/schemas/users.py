"""People who sign in: requests and answers of those who look after them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool

from app.core.permissions import Role

from .base import Named, Patch, QueryBool, Request, Response, Text, TimeOut, without_default
from .orders import PageQuery

UserName = Annotated[Named, Field(min_length=1, max_length=200)]


class UserIn(Request):
    email: Text = Field(min_length=3, max_length=254, description="Signs in with it; unique, kept in small letters")
    name: UserName = Field(description="As colleagues see it, 1 to 200 characters")
    role: Role = Field(description="What the user may do; client needs client_id")
    client_id: Text | None = Field(
        None, max_length=64, description="Code or id of the client a user of the client role speaks for; else left out"
    )


class UserPatch(Patch):
    """What is left out stays as it is."""

    name: UserName = Field("", json_schema_extra=without_default, description="1 to 200 characters")
    role: Role = Field(
        Role.TRADER,
        json_schema_extra=without_default,
        description="Not client, and not of a client's user; not one's own; the last active Master stays one",
    )
    active: StrictBool = Field(
        True,
        json_schema_extra=without_default,
        description="false keeps the user out and ends every session at once; not of oneself or the last active Master",
    )


class UserQuery(PageQuery):
    q: Annotated[str, Field(max_length=100, description="Part of name or e-mail address")] | None = None
    role: Role | None = Field(None, description="Only users of this role")
    active: QueryBool | None = Field(None, description="true: who may sign in; false: who is disabled")


class UserOut(Response):
    id: str = Field(description="Id of the user")
    email: str = Field(description="The address the user signs in with")
    name: str = Field(description="As colleagues see it")
    role: Role = Field(description="What the user may do")
    client_id: str | None = Field(description="Id of the client a user of the client role speaks for, else null")
    active: bool = Field(description="false: disabled, cannot sign in")
    must_change_password: bool = Field(
        description="true: has a one-time password, and nothing is open before it is replaced"
    )
    totp: bool = Field(description="true: signs in with a code of an authenticator app as a second step")
    approval_id: str | None = Field(
        description="Id of the proposal about role or enabling that waits for a second Master; null: none"
    )
    version: int = Field(ge=1, description="Grows by one with each change; the ETag is made of it")
    created_at: TimeOut = Field(description="When the user was created")
    last_sign_in_at: TimeOut | None = Field(description="When the user last signed in; null: never")


class UserWithPasswordOut(UserOut):
    one_time_password: str | None = Field(
        description="To be handed over; shown this once and kept as a hash alone: null when an Idempotency-Key "
        "repeats the answer. The user has to choose another one at the first sign-in"
    )


class UserSessionOut(Response):
    id: str = Field(description="Id of the session")
    created_at: TimeOut = Field(description="When the user signed in there")
    seen_at: TimeOut = Field(description="When it was last used, to the minute")
    ip: str | None = Field(description="The address it was opened from")
    user_agent: str | None = Field(description="What the browser calls itself, at most 200 characters")


class SessionsEndedOut(Response):
    ended: int = Field(ge=0, description="How many sessions this ended")
