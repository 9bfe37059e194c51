"""A client's own verification; the firm's people see it among all else about the client."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.errors import Forbidden
from app.core.permissions import Resource

from .page import is_staff, may, needs

blueprint = Blueprint("kyc", __name__, url_prefix="/kyc")


@blueprint.get("")
@needs(Resource.KYC)
def index() -> ResponseReturnValue:
    if is_staff():
        raise Forbidden("this page is a client's own; the firm's people find it under the client")
    return render_template("kyc/index.html", start=may(Resource.KYC))
