"""The audit trail over JSON."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import db, now, query, services
from app.schemas.audit import AuditExportQuery, AuditFilters, AuditOut, AuditQuery, AuditVerifyOut
from app.services import audit

from . import blueprint, csv, page, whole

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
    items, total = audit.search(db(), _wanted(asked), asked.limit, asked.offset)
    return page(items, total, asked.limit, asked.offset)


def _wanted(asked: AuditFilters) -> audit.AuditFilter:
    return audit.AuditFilter(asked.actor, asked.action, asked.object_type, asked.object_id, asked.from_, asked.to)


@blueprint.get("/admin/audit/export")
@endpoint(
    "Export the audit trail, newest first",
    tag="audit",
    query=AuditExportQuery,
    response=AuditOut,
    many=True,
    needs=READING,
    errors=("reversed_range", "too_many_records"),
    description="All that the filters let through, at most 50,000 records; that it was taken is recorded.",
)
@no_transaction
def export_audit() -> ResponseReturnValue:
    asked, caller, moment, ip = query(AuditExportQuery), principal(), now(), request.remote_addr
    items = services().database.run(lambda session: audit.export(session, _wanted(asked), caller, moment, ip=ip))
    if asked.format == "csv":
        return csv(audit.as_csv(items), "audit")
    headers = {"Content-Disposition": 'attachment; filename="audit.json"'}
    return whole(items), 200, headers


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
