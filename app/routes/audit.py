"""The audit trail: search, before and after, verify."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import Resource
from app.services import audit

from .page import needs
from .request import db

blueprint = Blueprint("audit", __name__, url_prefix="/audit")


@blueprint.get("")
@needs(Resource.AUDIT)
def index() -> ResponseReturnValue:
    return render_template("audit/index.html", actions=audit.actions(db()))
