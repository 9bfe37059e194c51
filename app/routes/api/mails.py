"""Mail that waits, was sent or was given up, for those who look after the server."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.core.transaction import after_commit
from app.routes.access import endpoint, principal
from app.routes.request import body, db, now, query, services
from app.schemas.mails import MailOut, MailQuery
from app.schemas.system import Empty
from app.services import mails

from . import blueprint, page

READING, DECIDING = (Resource.SYSTEM, READ), (Resource.SYSTEM, WRITE)


@blueprint.get("/admin/mails")
@endpoint("Mails, newest first", tag="admin", query=MailQuery, response=MailOut, many=True, needs=READING)
def list_mails() -> ResponseReturnValue:
    asked = query(MailQuery)
    found, total = mails.listed(db(), asked.status, asked.limit, asked.offset)
    return page([mails.show(mail) for mail in found], total, asked.limit, asked.offset)


@blueprint.post("/admin/mails/<mail_id>/send-again")
@endpoint(
    "Try a mail once more that was given up",
    tag="admin",
    body=Empty,
    response=MailOut,
    needs=DECIDING,
    errors=("unchanged",),
)
def send_mail_again(mail_id: str) -> ResponseReturnValue:
    body(Empty)
    mail = mails.send_again(db(), mail_id, principal(), now(), request.remote_addr)
    after_commit(db(), services().wake_chores)
    return mails.show(mail)
