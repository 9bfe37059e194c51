"""A bucket that speaks enough of the S3 protocol to be strict about it: signatures, digests, listing by pages.

It works out each signature by itself, from what arrived: a request signed over anything else is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import re
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
MUST_BE_SIGNED = {"host", "x-amz-date", "x-amz-content-sha256"}
A_PAGE = 2  # so that a list has pages


@dataclass
class Bucket:
    name: str = "documents"
    access_key: str = "stub-access"
    secret_key: str = "stub-secret"
    region: str = "us-east-1"
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    broken: bool = False  # answers 503 to everything


class Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        if self.bucket.broken:
            return self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
        refusal = self._refusal(parts.path, parts.query, body)
        if refusal:
            return self._answer(403, f"<Error><Code>{refusal}</Code></Error>".encode())
        _, bucket, *rest = parts.path.split("/")
        if bucket != self.bucket.name:
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not rest or not rest[0]:
            return self._list(dict(parse_qsl(parts.query)))
        return self._object("/".join(rest), body)

    def _object(self, key: str, body: bytes) -> None:
        objects = self.bucket.objects
        if self.command == "PUT":
            objects[key] = (body, datetime.now(UTC))
            return self._answer(200)
        if self.command == "DELETE":
            objects.pop(key, None)
            return self._answer(204)
        if key not in objects:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, objects[key][0])

    def _list(self, asked: dict[str, str]) -> None:
        after = asked.get("continuation-token", "")
        found = sorted(key for key in self.bucket.objects if key.startswith(asked.get("prefix", "")) and key > after)
        page = found[:A_PAGE]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key>"
            f"<LastModified>{self.bucket.objects[key][1].isoformat(timespec='milliseconds')[:-6]}Z</LastModified>"
            "</Contents>"
            for key in page
        )
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(found) > len(page) else ""
        xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
        self._answer(200, f'<ListBucketResult xmlns="{xmlns}">{contents}{more}</ListBucketResult>'.encode())

    def _refusal(self, path: str, query: str, body: bytes) -> str | None:
        found = AUTHORIZATION.fullmatch(self.headers.get("Authorization", ""))
        if found is None or not set(found["headers"].split(";")) >= MUST_BE_SIGNED:
            return "AccessDenied"
        if hashlib.sha256(body).hexdigest() != self.headers["x-amz-content-sha256"]:
            return "XAmzContentSHA256Mismatch"
        stamp = self.headers["x-amz-date"]
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - sent) > timedelta(minutes=15):
            return "RequestTimeTooSkewed"
        pairs = sorted(parse_qsl(query, keep_blank_values=True))
        canonical_query = "&".join(f"{quote(a, safe='-_.~')}={quote(b, safe='-_.~')}" for a, b in pairs)
        lines = [f"{name}:{' '.join(self.headers[name].split())}\n" for name in found["headers"].split(";")]
        canonical = (
            f"{self.command}\n{path}\n{canonical_query}\n{''.join(lines)}\n{found['headers']}\n"
            f"{self.headers['x-amz-content-sha256']}"
        )
        scope = f"{found['day']}/{self.bucket.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"AWS4" + self.bucket.secret_key.encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        wanted = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        right = found["key"] == self.bucket.access_key and found["region"] == self.bucket.region
        return None if right and found["signature"] == wanted else "SignatureDoesNotMatch"

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(bucket: Bucket, port: int = 0) -> ThreadingHTTPServer:
    """A server on loopback, in a thread of its own; its owner shuts it down."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("S3Handler", (Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="An S3 bucket on loopback, in memory.")
    parser.add_argument("--port", type=int, default=9000)
    bucket, port = Bucket(), parser.parse_args().port
    server = serve(bucket, port)
    address = f"http://127.0.0.1:{server.server_port}"
    sys.stdout.write(f"S3_ENDPOINT={address} S3_BUCKET={bucket.name} S3_ACCESS_KEY={bucket.access_key}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
