"""The inbox of what waits for a second person."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from app.core.permissions import READ, Resource
from app.domain.approvals import ApprovalKind, ApprovalStatus
from app.services.approvals import RESOURCES

from .page import may, needs

blueprint = Blueprint("approvals", __name__, url_prefix="/approvals")
KINDS = {
    ApprovalKind.WITHDRAWAL: _l("Withdrawals"),
    ApprovalKind.BANK_ACCOUNT: _l("Bank accounts"),
    ApprovalKind.CLIENT_LIMIT: _l("Limits of clients"),
    ApprovalKind.KYC_DECISION: _l("KYC decisions"),
    ApprovalKind.STAFF: _l("Staff and roles"),
    ApprovalKind.DEPOSIT: _l("Bank transfers"),
}
STATUSES = {
    ApprovalStatus.PENDING: _l("Waiting"),
    ApprovalStatus.APPROVED: _l("Approved, not yet carried out"),
    ApprovalStatus.EXECUTED: _l("Carried out"),
    ApprovalStatus.FAILED: _l("Could not be carried out"),
    ApprovalStatus.REJECTED: _l("Rejected"),
    ApprovalStatus.EXPIRED: _l("Expired"),
    ApprovalStatus.VOIDED: _l("Void"),
}


@blueprint.get("")
@needs(Resource.APPROVALS)
def index() -> ResponseReturnValue:
    readable = [(kind.value, KINDS[kind]) for kind, resource in RESOURCES.items() if may(resource, READ)]
    return render_template(
        "approvals/index.html", kinds=readable, statuses=[(status.value, name) for status, name in STATUSES.items()]
    )
