"""Verification of clients over JSON: begin it, how it stands, the provider's webhook, the firm's decision."""

from __future__ import annotations

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.errors import Malformed, Unauthenticated
from app.core.permissions import HANDLE, READ, WRITE, Resource
from app.core.transaction import after_commit
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import body, db, named_client, now, query, services, whole_body
from app.schemas.kyc import (
    ClientKycOut,
    GateDecisionOut,
    GateQuery,
    KycDecidedOut,
    KycDecisionIn,
    KycOut,
    KycQuery,
    KycStartedOut,
    KycStartIn,
    WebhookOut,
)
from app.services import access, gate, kyc

from . import blueprint, page

READING = (Resource.KYC, READ)


@blueprint.post("/kyc/start")
@endpoint(
    "Begin the verification of a client",
    tag="kyc",
    body=KycStartIn,
    response=KycStartedOut,
    status=201,
    also={200: KycStartedOut},
    needs=(Resource.KYC, WRITE),
    errors=("required", "client_inactive", "kyc_rejected", "kyc_level_skipped", "already_verified"),
    description="A pending verification is answered instead of a new one, with 200 and a fresh way to go on.",
)
@no_transaction
def start_kyc() -> ResponseReturnValue:
    given, who, moment, ip = body(KycStartIn), principal(), now(), request.remote_addr
    parts = services()
    at_provider, named = parts.kyc, named_client(given.client_id)

    def begin(session: Session) -> tuple[str, bool, bool]:
        client = access.acting_client(session, who, named, Resource.KYC)
        verification, new = kyc.start(session, client, given.level, at_provider.provider.name, who, moment, ip)
        return (
            verification.id,
            new,
            verification.session_id is None and verification.provider == at_provider.provider.name,
        )

    verification_id, new, unopened = parts.database.run(begin)
    if unopened:
        at_provider.open(parts.database, verification_id, moment)
    way = at_provider.access(parts.database, verification_id, moment)
    shown = parts.database.read(lambda session: kyc.show(kyc.by_id(session, verification_id)))
    told = None if way is None else {"url": way.url, "token": way.token, "expires_at": iso(way.expires_at)}
    return {"verification": shown, "access": told}, 201 if new else 200


@blueprint.get("/kyc/status")
@endpoint(
    "How a client is verified, what is left of the limits, and what is missing",
    tag="kyc",
    query=KycQuery,
    response=KycOut,
    needs=READING,
    errors=("required",),
)
def kyc_status() -> ResponseReturnValue:
    client = access.named_client(db(), principal(), named_client(query(KycQuery).client_id), Resource.KYC)
    collects = services().kyc.provider.collects_documents
    return kyc.overview(db(), client, now(), collects_documents=collects)


@blueprint.post("/kyc/webhook")
@endpoint(
    "For the provider: what it reports of an applicant",
    tag="kyc",
    response=WebhookOut,
    public=True,
    errors=("malformed",),
    description="X-Payload-Digest carries the HMAC of the raw body, X-Payload-Digest-Alg its algorithm. Stored "
    "once and worked off later; what comes again is answered the same and changes nothing.",
)
def kyc_webhook() -> ResponseReturnValue:
    raw, parts = whole_body(), services()
    if not parts.kyc.provider.is_authentic(dict(request.headers), raw):
        raise Unauthenticated
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the body is no UTF-8") from error
    if parts.kyc.receive(db(), text, _type_of(text), now()):
        after_commit(db(), parts.wake_chores)
    return {"received": True}


kyc_webhook.csrf_exempt = True  # type: ignore[attr-defined]  # no browser sends it, and its digest vouches for it


def _type_of(text: str) -> str:
    """What the body calls itself; whatever is signed is stored."""
    try:
        told: Any = json.loads(text)
    except Malformed:
        return "unreadable"
    type_ = told.get("type") if isinstance(told, dict) else None
    return type_ if isinstance(type_, str) else "unknown"


@blueprint.get("/clients/<ref>/kyc")
@endpoint(
    "How a client is verified, with what the provider told the firm",
    tag="kyc",
    response=ClientKycOut,
    needs=READING,
    description="A client's own callers are told the same without provider_data.",
)
def client_kyc(ref: str) -> ResponseReturnValue:
    client = access.client(db(), principal(), ref, READ, Resource.KYC)
    collects = services().kyc.provider.collects_documents
    shown = kyc.overview(db(), client, now(), collects_documents=collects)
    own = principal().client_id is not None
    return {**shown, "verifications": [kyc.show_to(row, own=own) for row in kyc.history(db(), client.id)]}


@blueprint.post("/clients/<ref>/kyc/decide")
@endpoint(
    "Decide on the verification of a client",
    tag="kyc",
    body=KycDecisionIn,
    response=KycDecidedOut,
    also={202: KycDecidedOut},
    needs=(Resource.KYC, HANDLE),
    session_only=True,
    errors=("approval_pending",),
    description="On the pending one, or on none. A rejection, and an approval for level 1, hold at once. An approval "
    "for level 2, or of a client who was rejected, is proposed to a second person and answered with 202.",
)
def decide_kyc(ref: str) -> ResponseReturnValue:
    given = body(KycDecisionIn)
    client = access.client(db(), principal(), ref, HANDLE, Resource.KYC)
    verification, approval = kyc.decide(
        db(),
        client,
        given.approve,
        given.level,
        given.reason,
        services().kyc.valid_for,
        principal(),
        now(),
        request.remote_addr,
    )
    shown = {"verification": kyc.show_to(verification), "approval_id": None if approval is None else approval.id}
    return shown, 200 if approval is None else 202


@blueprint.get("/clients/<ref>/gate")
@endpoint(
    "What the gate answered about a client, the newest first",
    tag="kyc",
    query=GateQuery,
    response=GateDecisionOut,
    many=True,
    needs=READING,
)
def list_gate_decisions(ref: str) -> ResponseReturnValue:
    asked = query(GateQuery)
    client = access.client(db(), principal(), ref, READ, Resource.KYC)
    found, total = gate.search(db(), client.id, asked.limit, asked.offset)
    return page([gate.show(decision) for decision in found], total, asked.limit, asked.offset)
