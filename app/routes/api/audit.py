"""The audit trail over JSON."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.routes.access import endpoint
from app.routes.request import db, query
from app.schemas.audit import AuditOut, AuditQuery, AuditVerifyOut
from app.services import audit

from . import blueprint, page

READING = (Resource.AUDIT, READ)


@blueprint.get("/admin/audit")
@endpoint(
    "The audit trail, newest first",
    tag="audit",
    query=AuditQuery,
    response=AuditOut,
    many=True,
    needs=READING,
    errors=("reversed_range",),
)
def list_audit() -> ResponseReturnValue:
    asked = query(AuditQuery)
    wanted = audit.AuditFilter(asked.actor, asked.action, asked.object_type, asked.object_id, asked.from_, asked.to)
    items, total = audit.search(db(), wanted, asked.limit, asked.offset)
    return page(items, total, asked.limit, asked.offset)


@blueprint.get("/admin/audit/verify")
@endpoint(
    "Check the chain of the audit trail",
    tag="audit",
    response=AuditVerifyOut,
    needs=READING,
    description="Reads every record: it takes as long as there are records.",
)
def verify_audit() -> ResponseReturnValue:
    return audit.report(db())
