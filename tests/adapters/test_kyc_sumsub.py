"""Sumsub against its recorded webhooks and vectors, and against a server as strict as its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest

from app.adapters.kyc.base import Applicant, ProviderError, Report
from app.adapters.kyc.sumsub import Sumsub
from app.domain.kyc import KycStatus
from tests.data import shared_data
from tests.stubs import sumsub as stubs
from tests.stubs.sumsub import LEVELS, SumsubStub

FILE = shared_data / "payloads" / "sumsub" / "webhooks.json"
if not FILE.is_file():
    pytest.skip("no recordings here", allow_module_level=True)
RECORDED: dict[str, Any] = json.loads(FILE.read_text())
BODIES = {item["name"]: item["raw_body"] for item in RECORDED["webhooks"]}
DIGESTS = [
    (item["raw_body"].encode(), algorithm, digest)
    for item in RECORDED["webhooks"]
    for algorithm, digest in item["digests_with_secret_SoMe_SeCrEt"].items()
]
NOW = datetime(2026, 1, 5, 14, 30, 7, tzinfo=UTC)
ANA = Applicant("0190aaaa-0000-7000-8000-000000000001", 1, False, "Ana Quispe", "Ana", "Quispe", email="a@b.pe")


def offline(secret: str = "SoMe_SeCrEt") -> Sumsub:
    return Sumsub("http://127.0.0.1:1", "token", "key", secret, LEVELS)


@pytest.fixture
def stub() -> Iterator[SumsubStub]:
    found = SumsubStub(now=NOW.timestamp).start()
    yield found
    found.stop()


@pytest.fixture
def provider(stub: SumsubStub) -> Sumsub:
    return Sumsub(stub.url, stubs.APP_TOKEN, stubs.SECRET_KEY, stubs.WEBHOOK_SECRET, LEVELS)


@pytest.mark.parametrize(("body", "algorithm", "digest"), DIGESTS)
def test_a_recorded_digest_is_right_and_any_change_makes_it_wrong(body: bytes, algorithm: str, digest: str) -> None:
    def authentic(body: bytes, algorithm: str = algorithm, digest: str = digest, secret: str = "SoMe_SeCrEt") -> bool:
        headers = {"X-Payload-Digest": digest, "X-Payload-Digest-Alg": algorithm}
        return offline(secret).is_authentic(headers, body)

    assert authentic(body)
    assert not authentic(body + b" ")
    assert not authentic(body, digest=digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    assert not authentic(body, digest=digest + "ñ")
    assert not authentic(body, algorithm="HMAC_MD5_HEX")
    assert not authentic(body, secret="another")
    assert not offline().is_authentic({}, body)


@pytest.mark.parametrize(
    ("name", "status", "decides", "reason"),
    [
        ("applicantCreated", "pending", False, None),
        ("applicantPending", "pending", False, None),
        ("applicantPending_2024_shape", "pending", False, None),
        ("applicantReviewed_GREEN", "approved", True, None),
        ("applicantReviewed_RED_FINAL", "rejected", True, "We could not verify your profile."),
    ],
)
def test_recorded_webhooks_are_read(name: str, status: str, decides: bool, reason: str | None) -> None:
    report = offline().parse_webhook(BODIES[name])
    assert report is not None
    assert (report.status, report.decides, report.reference) == (status, decides, "12672")
    assert report.session_id == json.loads(BODIES[name])["applicantId"]
    assert report.at is not None and report.at.tzinfo is UTC
    assert (report.reason or "").startswith(reason or "") and (report.reason is None) == (reason is None)
    if reason is not None:
        assert "fraudulent" not in report.reason  # type: ignore[operator]  # that is for the firm
        assert "FORGERY" in report.data["reviewResult"]["rejectLabels"]


def test_the_time_is_read_to_the_millisecond() -> None:
    report = offline().parse_webhook(BODIES["applicantReviewed_GREEN"])
    assert report is not None and report.at == datetime(2020, 2, 21, 13, 23, 19, 321_000, tzinfo=UTC)


def test_red_with_retry_waits_and_says_what_is_to_be_done_again() -> None:
    body = BODIES["applicantReviewed_RED_FINAL"].replace("FINAL", "RETRY")
    report = offline().parse_webhook(body)
    assert report is not None and (report.status, report.decides) == (KycStatus.PENDING, True)
    assert report.reason is not None


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        '{"type":"applicantPending"}',
        '{"type":"applicantPending","applicantId":5}',
        BODIES["applicantReviewed_GREEN"].replace("GREEN", "BLUE"),
        BODIES["applicantReviewed_GREEN"].replace('{"reviewAnswer":"GREEN"}', "null"),
    ],
)
def test_what_makes_no_sense_is_refused(body: str) -> None:
    with pytest.raises(ProviderError) as refused:
        offline().parse_webhook(body)
    assert refused.value.final


def test_what_decides_nothing_is_none() -> None:
    assert offline().parse_webhook('{"type":"applicantDeleted","applicantId":"1"}') is None


def test_requests_are_signed_as_in_the_vector(stub: SumsubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = RECORDED["request_signing"]["vector"]
    seen: list[dict[str, str]] = []

    def request(method: str, url: str, *, data: bytes, headers: dict[str, str], **_more: Any) -> Any:
        seen.append({"method": method, "url": url, "body": data.decode(), **headers})
        raise stubs.requests.ConnectionError

    monkeypatch.setattr("app.adapters.kyc.sumsub.requests.request", request)
    provider = Sumsub("http://sumsub", "token", vector["secret"], "", LEVELS)
    with pytest.raises(ProviderError):
        provider._call(
            "POST", vector["path"], datetime.fromtimestamp(int(vector["ts"]), UTC), json.loads(vector["body"])
        )
    assert seen[0]["X-App-Access-Sig"] == vector["X-App-Access-Sig"]
    assert (seen[0]["body"], seen[0]["X-App-Access-Ts"]) == (vector["body"], vector["ts"])


def test_an_applicant_is_registered_once_and_followed(stub: SumsubStub, provider: Sumsub) -> None:
    first = provider.create_applicant(ANA, NOW)
    assert provider.create_applicant(ANA, NOW).session_id == first.session_id == stub.only().id
    assert stub.only().body["fixedInfo"] == {"firstName": "Ana", "lastName": "Quispe"}
    assert stub.requests[1:] == [
        "POST /resources/applicants?levelName=basic-kyc-level",
        f"GET /resources/applicants/-;externalUserId={ANA.reference}/one",
    ]
    assert (first.status, first.decides) == (KycStatus.PENDING, False)
    stub.act(first.session_id, "approve")
    report = provider.status(first.session_id, NOW)
    assert (report.status, report.decides) == (KycStatus.APPROVED, True)
    assert report.at == NOW.replace(microsecond=0) + timedelta(milliseconds=999)


def test_the_way_on_is_a_page_and_a_token(stub: SumsubStub, provider: Sumsub) -> None:
    session_id = provider.create_applicant(ANA, NOW).session_id
    way = provider.access(session_id, ANA.reference, 1, NOW)
    assert way is not None and way.expires_at > NOW and way.token
    assert b"init" in stubs.requests.get(way.url, timeout=5).content


def test_what_it_sends_is_what_it_signs_and_what_we_read(stub: SumsubStub, provider: Sumsub) -> None:
    session_id = provider.create_applicant(ANA, NOW).session_id
    read: list[Report | None] = []
    for act, algorithm in zip(("submit", "hold", "retry", "reset", "reject"), cycle(stubs.DIGESTS), strict=False):
        stub.algorithm = algorithm
        body = stub.act(session_id, act)
        assert provider.is_authentic(stub.headers(body), body)
        read.append(provider.parse_webhook(body.decode()))
    assert [report and report.status for report in read] == ["pending"] * 4 + ["rejected"]
    assert [report and report.reason for report in read][1] == "on hold"


def test_refusals_are_told_apart(stub: SumsubStub, provider: Sumsub) -> None:
    def refused(work: Any) -> ProviderError:
        with pytest.raises(ProviderError) as found:
            work()
        return found.value

    wrong = Sumsub(stub.url, stubs.APP_TOKEN, "another key", "", LEVELS)
    assert not refused(lambda: wrong.create_applicant(ANA, NOW)).final  # somebody may correct the settings
    assert not refused(lambda: provider.create_applicant(ANA, NOW - timedelta(minutes=5))).final  # the clock
    assert refused(lambda: provider.status("nobody", NOW)).final
    stub.down = True
    assert not refused(lambda: provider.create_applicant(ANA, NOW)).final
    assert not refused(lambda: offline().create_applicant(ANA, NOW)).final
