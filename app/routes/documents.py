"""Documents: those of the client whose people have signed in; the firm's people find them at each client."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import Resource

from .access import principal
from .page import may, needs

blueprint = Blueprint("documents", __name__)


@blueprint.get("/documents")
@needs(Resource.DOCUMENTS)
def index() -> ResponseReturnValue:
    client_id = principal().client_id
    if client_id is None:
        return redirect("/clients", 303)
    return render_template("documents/index.html", client=client_id, edit=may(Resource.DOCUMENTS))
