"""A stand-in for Sumsub's API, as strict as its documentation: signed requests in, signed webhooks out.

It has a page per applicant on which a browser plays both the client, who hands in documents, and the reviewer.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import itertools
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

import requests
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

APP_TOKEN, SECRET_KEY, WEBHOOK_SECRET = "sbx:stub.token", "stub-secret-key", "stub-webhook-secret"
LEVELS = ("basic-kyc-level", "enhanced-kyc-level")
SKEW_SECONDS = 60
DIGESTS = {"HMAC_SHA1_HEX": hashlib.sha1, "HMAC_SHA256_HEX": hashlib.sha256, "HMAC_SHA512_HEX": hashlib.sha512}
RED = {
    "moderationComment": "Please send a sharper picture of the document.",
    "clientComment": "Blurred.",
    "reviewAnswer": "RED",
}
# what a button does: the webhook's type, the review's status, its result
ACTS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "submit": ("applicantPending", "pending", None),
    "approve": ("applicantReviewed", "completed", {"reviewAnswer": "GREEN"}),
    "reject": (
        "applicantReviewed",
        "completed",
        {
            **RED,
            "moderationComment": "We could not verify your profile.",
            "clientComment": "Suspected fraudulent account.",
            "rejectLabels": ["FORGERY"],
            "reviewRejectType": "FINAL",
        },
    ),
    "retry": (
        "applicantReviewed",
        "completed",
        {**RED, "rejectLabels": ["UNSATISFACTORY_PHOTOS"], "reviewRejectType": "RETRY"},
    ),
    "hold": ("applicantOnHold", "onHold", None),
    "reset": ("applicantReset", "init", None),
}
APPLICANT_FIELDS = {"externalUserId", "type", "email", "phone", "fixedInfo", "lang", "metadata"}
TOKEN_FIELDS = {"userId", "levelName", "ttlInSecs", "applicantIdentifiers", "redirect"}


@dataclass
class Person:
    id: str
    external_user_id: str
    level: str
    body: dict[str, Any]
    created: datetime
    review: dict[str, Any] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status, self.description = status, description


class SumsubStub:
    """``webhook_url`` gets the webhooks; without one they are only kept in ``sent``, as raw body and headers."""

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        algorithm: str = "HMAC_SHA256_HEX",
        now: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        self.webhook_url, self.algorithm, self._now = webhook_url, algorithm, now
        self.people: dict[str, Person] = {}
        self.tokens: dict[str, str] = {}
        self.sent: list[tuple[bytes, dict[str, str]]] = []
        self.requests: list[str] = []
        self.down = False  # answers 503 to everything
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._server = make_server("127.0.0.1", port, self._application, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> SumsubStub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def run(self) -> None:
        self._server.serve_forever()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- what it does --------------------------------------------------------------------------------------

    def act(self, applicant_id: str, name: str) -> bytes:
        """What happens to an applicant; returns the raw body of the webhook that tells it."""
        type_, status, result = ACTS[name]
        with self._lock:
            person = self.people[applicant_id]
            person.review = {"reviewStatus": status, **({} if result is None else {"reviewResult": result})}
            if status == "completed":
                person.review["reviewDate"] = self._time().strftime("%Y-%m-%d %H:%M:%S+0000")
        return self._report(person, type_)

    def only(self) -> Person:
        """The one applicant there is."""
        (person,) = self.people.values()
        return person

    def headers(self, body: bytes) -> dict[str, str]:
        digest = hmac.new(WEBHOOK_SECRET.encode(), body, DIGESTS[self.algorithm]).hexdigest()
        return {
            "Content-Type": "application/json",
            "X-Payload-Digest": digest,
            "X-Payload-Digest-Alg": self.algorithm,
        }

    def _report(self, person: Person, type_: str) -> bytes:
        told = {
            "applicantId": person.id,
            "inspectionId": person.id[:-1] + "0",
            "applicantType": person.body.get("type", "individual"),
            "correlationId": secrets.token_hex(16),
            "levelName": person.level,
            "externalUserId": person.external_user_id,
            "type": type_,
            "sandboxMode": "true",
            **{name: value for name, value in person.review.items() if name != "reviewDate"},
            "createdAtMs": self._time().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
            "clientId": "stub",
        }
        body = json.dumps(told, separators=(",", ":")).encode()
        headers = self.headers(body)
        self.sent.append((body, headers))
        if self.webhook_url is not None:
            requests.post(self.webhook_url, data=body, headers=headers, timeout=5)
        return body

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    # -- HTTP ----------------------------------------------------------------------------------------------

    RULES = Map(
        [
            Rule("/resources/applicants", endpoint="create", methods=["POST"]),
            Rule("/resources/applicants/-;externalUserId=<user>/one", endpoint="find", methods=["GET"]),
            Rule("/resources/applicants/<applicant_id>/one", endpoint="read", methods=["GET"]),
            Rule("/resources/applicants/<applicant_id>/status", endpoint="status", methods=["GET"]),
            Rule("/resources/accessTokens/sdk", endpoint="token", methods=["POST"]),
            Rule("/resources/sdkIntegrations/levels/-/websdkLink", endpoint="link", methods=["POST"]),
            Rule("/websdk/p/<token>", endpoint="page", methods=["GET"]),
            Rule("/websdk/p/<token>/<name>", endpoint="press", methods=["POST"]),
        ]
    )

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        try:
            if self.down:
                raise Refusal(503, "Service unavailable")
            name, values = self.RULES.bind_to_environ(environ).match()
            if name not in ("page", "press"):
                self._check_signature(request)
                self.requests.append(f"{request.method} {_raw_path(environ)}")
            answer = getattr(self, f"_{name}")(request, **values)
        except Refusal as refusal:
            told = {"description": refusal.description, "code": refusal.status, "correlationId": secrets.token_hex(8)}
            answer = _json(told, refusal.status)
        except HTTPException as error:
            answer = _json({"description": str(error), "code": error.code}, error.code or 500)
        return answer(environ, start_response)

    def _check_signature(self, request: Request) -> None:
        headers = request.headers
        if headers.get("X-App-Token") != APP_TOKEN:
            raise Refusal(401, "Invalid app token")
        moment = headers.get("X-App-Access-Ts", "")
        if not moment.isdigit() or abs(int(moment) - self._now()) > SKEW_SECONDS:
            raise Refusal(401, "Invalid request timestamp")
        signed = moment.encode() + request.method.encode() + _raw_path(request.environ).encode() + request.get_data()
        expected = hmac.new(SECRET_KEY.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, headers.get("X-App-Access-Sig", "")):
            raise Refusal(401, "Request signature mismatch")

    def _create(self, request: Request) -> Response:
        level = _level(request.args.get("levelName"))
        body = _body(request, APPLICANT_FIELDS)
        user = body.get("externalUserId")
        if not isinstance(user, str) or not user:
            raise Refusal(400, "externalUserId is required")
        if body.get("type", "individual") not in ("individual", "company"):
            raise Refusal(400, "Unknown applicant type")
        with self._lock:
            known = self._of(user)
            if known is not None:
                raise Refusal(409, f"Applicant with external user id '{user}' already exists: {known.id}")
            person = Person(f"{next(self._numbers):024x}", user, level, body, self._time(), {"reviewStatus": "init"})
            self.people[person.id] = person
        self._report(person, "applicantCreated")
        return _json(self._described(person), 201)

    def _of(self, user: str) -> Person | None:
        return next((person for person in self.people.values() if person.external_user_id == user), None)

    def _find(self, _request: Request, user: str) -> Response:
        person = self._of(user)
        if person is None:
            raise Refusal(404, "Applicant not found")
        return _json(self._described(person))

    def _person(self, applicant_id: str) -> Person:
        if applicant_id not in self.people:
            raise Refusal(404, "Applicant not found")
        return self.people[applicant_id]

    def _read(self, _request: Request, applicant_id: str) -> Response:
        return _json(self._described(self._person(applicant_id)))

    def _status(self, _request: Request, applicant_id: str) -> Response:
        person = self._person(applicant_id)
        return _json({"createDate": _written(person.created), "levelName": person.level, **person.review})

    def _described(self, person: Person) -> dict[str, Any]:
        return {
            "id": person.id,
            "createdAt": person.created.strftime("%Y-%m-%d %H:%M:%S"),
            "clientId": "stub",
            "inspectionId": person.id[:-1] + "0",
            "externalUserId": person.external_user_id,
            "fixedInfo": person.body.get("fixedInfo", {}),
            "type": person.body.get("type", "individual"),
            "review": {"createDate": _written(person.created), "levelName": person.level, **person.review},
        }

    def _token(self, request: Request) -> Response:
        person = self._named(request)
        return _json({"token": f"_act-{self._issue(person)}", "userId": person.external_user_id})

    def _link(self, request: Request) -> Response:
        return _json({"url": f"{self.url}/websdk/p/{self._issue(self._named(request))}"})

    def _named(self, request: Request) -> Person:
        body = _body(request, TOKEN_FIELDS)
        _level(body.get("levelName"))
        if not isinstance(body.get("ttlInSecs"), int):
            raise Refusal(400, "ttlInSecs must be a number")
        person = self._of(body.get("userId", ""))
        if person is None:
            raise Refusal(404, "Applicant not found")
        return person

    def _issue(self, person: Person) -> str:
        token = secrets.token_urlsafe(18)
        self.tokens[token] = person.id
        return token

    def _page(self, _request: Request, token: str) -> Response:
        person = self._person(self.tokens.get(token, ""))
        buttons = "".join(
            f'<form method="post" action="/websdk/p/{token}/{name}"><button id="{name}">{name}</button></form>'
            for name in ACTS
        )
        text = (
            f"<!doctype html><title>Sumsub (stub)</title><h1>{escape(person.level)}</h1>"
            f'<p>Applicant {person.id}: <b id="status">{escape(person.review["reviewStatus"])}</b></p>{buttons}'
        )
        return Response(text, content_type="text/html; charset=utf-8")

    def _press(self, _request: Request, token: str, name: str) -> Response:
        person = self._person(self.tokens.get(token, ""))
        if name not in ACTS:
            raise Refusal(404, "No such button")
        self.act(person.id, name)
        return Response(status=303, headers={"Location": f"/websdk/p/{token}"})


def _raw_path(environ: dict[str, Any]) -> str:
    """Path and query as they were sent: that is what was signed."""
    return str(environ["REQUEST_URI"])


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


def _body(request: Request, known: set[str]) -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise Refusal(415, "Content type must be application/json")
    try:
        body = json.loads(request.get_data())
    except ValueError as error:
        raise Refusal(400, "Malformed JSON") from error
    if not isinstance(body, dict) or set(body) - known:
        raise Refusal(400, f"Unknown fields: {sorted(set(body) - known)}")
    return body


def _level(name: Any) -> str:
    if name not in LEVELS:
        raise Refusal(404, f"Level '{name}' not found")
    return str(name)


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S+0000")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/stub sumsub", description=__doc__)
    parser.add_argument("--port", type=int, default=8461)
    parser.add_argument("--webhook-url", default="http://127.0.0.1:5000/api/v1/kyc/webhook")
    parser.add_argument("--algorithm", choices=sorted(DIGESTS), default="HMAC_SHA256_HEX")
    given = parser.parse_args()
    stub = SumsubStub(port=given.port, webhook_url=given.webhook_url, algorithm=given.algorithm)
    for name, value in (
        ("KYC_PROVIDER", "sumsub"),
        ("SUMSUB_URL", stub.url),
        ("SUMSUB_APP_TOKEN", APP_TOKEN),
        ("SUMSUB_SECRET_KEY", SECRET_KEY),
        ("SUMSUB_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("SUMSUB_LEVELS", ",".join(LEVELS)),
    ):
        sys.stdout.write(f"{name}={value}\n")
    sys.stdout.flush()
    stub.run()


if __name__ == "__main__":
    main()
