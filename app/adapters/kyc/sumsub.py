"""Sumsub over HTTP: signed requests, and webhooks whose digest is made over the raw body.

https://docs.sumsub.com/reference. Applicants are registered under the id of our verification (externalUserId), so
that asking twice does not register two.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import requests

from app.core import json
from app.core.errors import Malformed
from app.domain.kyc import KycStatus

from .base import Access, Applicant, ProviderError, Report

TIMEOUT_SECONDS: Final = (5, 15)  # to connect, to answer
TOKEN_LASTS: Final = timedelta(minutes=30)
DIGESTS: Final = {"HMAC_SHA1_HEX": hashlib.sha1, "HMAC_SHA256_HEX": hashlib.sha256, "HMAC_SHA512_HEX": hashlib.sha512}
_PENDING: Final = frozenset({"applicantCreated", "applicantPending", "applicantOnHold", "applicantReset"})
_REVIEWED: Final = "applicantReviewed"
_REASONS: Final = {"applicantOnHold": "on hold", "applicantReset": "begun again"}
# "2020-02-21 13:23:19.002" in webhooks, "2020-06-24 05:06:02+0000" in answers; always UTC
_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(\.\d{1,6})?(?:\+0000)?")


class Sumsub:
    name = "sumsub"
    collects_documents = True

    def __init__(self, base: str, app_token: str, secret_key: str, webhook_secret: str, levels: Sequence[str]) -> None:
        """``levels``: what Sumsub calls our level 1, level 2."""
        self._base, self._app_token, self._levels = base.rstrip("/"), app_token, tuple(levels)
        self._secret, self._webhook_secret = secret_key.encode(), webhook_secret.encode()

    def create_applicant(self, applicant: Applicant, now: datetime) -> Report:
        query = urlencode({"levelName": self._level(applicant.level)})
        try:
            made = self._call("POST", f"/resources/applicants?{query}", now, _described(applicant))
        except _Taken:  # an earlier answer was lost
            made = self._call("GET", f"/resources/applicants/-;externalUserId={quote(applicant.reference)}/one", now)
        return _told(_text(made, "id"), applicant.reference, "answer", _object(made.get("review")))

    def access(self, session_id: str, reference: str, level: int, now: datetime) -> Access | None:
        lasts = int(TOKEN_LASTS.total_seconds())
        wanted = {"userId": reference, "levelName": self._level(level), "ttlInSecs": lasts}
        token = self._call("POST", "/resources/accessTokens/sdk", now, wanted)
        link = self._call("POST", "/resources/sdkIntegrations/levels/-/websdkLink", now, wanted)
        return Access(_text(link, "url"), _text(token, "token"), now + TOKEN_LASTS)

    def status(self, session_id: str, now: datetime) -> Report:
        answer = self._call("GET", f"/resources/applicants/{quote(session_id, safe='')}/status", now)
        return _told(session_id, None, "answer", answer)

    def is_authentic(self, headers: Mapping[str, str], body: bytes) -> bool:
        algorithm = DIGESTS.get(headers.get("X-Payload-Digest-Alg", ""))
        if algorithm is None:
            return False
        expected = hmac.new(self._webhook_secret, body, algorithm).hexdigest()
        given = headers.get("X-Payload-Digest", "")
        return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))

    def parse_webhook(self, body: str) -> Report | None:
        try:
            told = json.loads(body)
        except Malformed as error:
            raise ProviderError(f"Sumsub's message is no JSON: {error.detail}", final=True) from error
        if not isinstance(told, dict):
            raise ProviderError("Sumsub's message is no JSON object", final=True)
        type_ = told.get("type")
        if type_ != _REVIEWED and type_ not in _PENDING:
            return None
        reference = told.get("externalUserId")
        review = {**told, "reviewDate": told.get("createdAtMs")}
        return _told(_text(told, "applicantId"), reference if isinstance(reference, str) else None, type_, review)

    def _level(self, level: int) -> str:
        try:
            return self._levels[level - 1]
        except IndexError:
            raise ProviderError(f"Sumsub has no level for {level}", final=True) from None

    def _call(self, method: str, path: str, now: datetime, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One signed request: ``now`` in whole seconds, method, path and raw body. Raises ``ProviderError``."""
        raw = b"" if body is None else json.dumps(body).encode()
        moment = str(int(now.timestamp()))
        signed = moment.encode() + method.encode() + path.encode() + raw
        headers = {
            "X-App-Token": self._app_token,
            "X-App-Access-Ts": moment,
            "X-App-Access-Sig": hmac.new(self._secret, signed, hashlib.sha256).hexdigest(),
            "Accept": "application/json",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = requests.request(
                method, self._base + path, data=raw, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise ProviderError(f"Sumsub cannot be reached: {type(error).__name__}") from error
        if answer.status_code == 409:
            raise _Taken("Sumsub knows this reference already", final=True)
        if answer.status_code not in (200, 201):
            final = 400 <= answer.status_code < 500 and answer.status_code not in (401, 403, 408, 429)
            raise ProviderError(f"Sumsub answers {answer.status_code}: {answer.text[:200]}", final=final)
        try:
            told = json.loads(answer.content)
        except Malformed as error:
            raise ProviderError("Sumsub's answer is no JSON") from error
        return _object(told)


class _Taken(ProviderError):
    pass


def _described(applicant: Applicant) -> dict[str, Any]:
    """What Sumsub is told of somebody; what we do not know is left out."""
    told: dict[str, Any] = {
        "externalUserId": applicant.reference,
        "type": "company" if applicant.company else "individual",
    }
    if applicant.email:
        told["email"] = applicant.email
    if applicant.company:
        company = {"companyName": applicant.name, "registrationNumber": applicant.identity_number}
        told["fixedInfo"] = {"companyInfo": {name: value for name, value in company.items() if value}}
    else:
        person = {
            "firstName": applicant.given_names,
            "lastName": applicant.surnames,
            "dob": applicant.born_on,
        }
        told["fixedInfo"] = {name: value for name, value in person.items() if value}
    return told


def _told(session_id: str, reference: str | None, type_: str, review: Mapping[str, Any]) -> Report:
    """GREEN approves; RED rejects where it is FINAL, and else asks for something again; all others wait."""
    result = _object(review.get("reviewResult"))
    status, reason, decides = KycStatus.PENDING, _REASONS.get(type_), False
    if review.get("reviewStatus") == "completed" and type_ in (_REVIEWED, "answer"):
        answer, decides = result.get("reviewAnswer"), True
        if answer == "GREEN":
            status = KycStatus.APPROVED
        elif answer == "RED":
            status = KycStatus.REJECTED if result.get("reviewRejectType") == "FINAL" else KycStatus.PENDING
            reason = _why(result)
        else:
            raise ProviderError(f"Sumsub's review says {str(answer)[:40]!r}", final=True)
    kept = ("inspectionId", "correlationId", "levelName", "reviewStatus", "sandboxMode")
    data = {name: review[name] for name in kept if name in review}
    if result:
        data["reviewResult"] = {name: str(value)[:500] for name, value in result.items()}
    at = _time(review.get("reviewDate"), type_ == "answer")
    return Report(session_id, reference, status, at, type_, reason, decides, data)


def _why(result: Mapping[str, Any]) -> str:
    """For the client: what Sumsub says to them, or the labels of what it rejected."""
    labels = result.get("rejectLabels")
    listed = ", ".join(str(label) for label in labels) if isinstance(labels, list) else ""
    return (str(result.get("moderationComment") or "") or listed or "rejected")[:1000]


def _time(value: Any, whole_seconds: bool) -> datetime | None:
    """UTC. What is given in whole seconds stands for the end of its second: it is not older than what came in it."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    day, time, fraction = found.groups()
    moment = datetime.fromisoformat(f"{day}T{time}{(fraction or '.0').ljust(7, '0')}").replace(tzinfo=UTC)
    return moment + timedelta(milliseconds=999) if whole_seconds and fraction is None else moment


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= 2000:
        raise ProviderError(f"Sumsub's message has no {name}", final=True)
    return found
