"""The second step of signing in: codes of an authenticator app (RFC 6238: six digits, thirty seconds)."""

from __future__ import annotations

import hmac
import io
import re
from datetime import datetime
from typing import Final

import pyotp
import qrcode
from qrcode.image.svg import SvgPathFillImage
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid, NotFound
from app.core.permissions import Principal
from app.core.sealing import CannotOpen, open_sealed, seal
from app.models import User

from . import audit, mails

STEP_SECONDS: Final = 30
TOLERATED: Final = (0, -1, 1)  # steps: a telephone's clock may be off by that much
ISSUER: Final = "Cambista"
_PURPOSE: Final = "totp"
_SPACES: Final = re.compile(r"\s")


def is_on(user: User) -> bool:
    return user.totp_since is not None


def begin(user: User, secret_key: str) -> None:
    """Make a secret that counts once a code of it was shown; ``user`` must be locked. Raises ``Conflict``."""
    if is_on(user):
        raise Conflict("there is a second step already", code="totp_is_on")
    user.totp_secret, user.totp_last_step = seal(secret_key, _PURPOSE, pyotp.random_base32()), None


def pending_secret(user: User, secret_key: str) -> str | None:
    """What the authenticator app is told, until a code of it was shown."""
    return None if is_on(user) else _secret(user, secret_key)


def _secret(user: User, secret_key: str) -> str | None:
    if user.totp_secret is None:
        return None
    try:
        return open_sealed(secret_key, _PURPOSE, user.totp_secret)
    except CannotOpen:  # SECRET_KEY is another one now: no code is right any more, a Master takes the step away
        return None


def qr_code(user: User, secret_key: str) -> bytes:
    """The pending secret as an SVG image to be scanned. Raises ``NotFound``."""
    secret = pending_secret(user, secret_key)
    if secret is None:
        raise NotFound("there is nothing to scan")
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
    image = qrcode.make(uri, image_factory=SvgPathFillImage, box_size=12, border=3)
    written = io.BytesIO()
    image.save(written)
    return written.getvalue()


def accept(user: User, secret_key: str, code: str, now: datetime) -> bool:
    """Whether ``code`` is the one of now; it is good once. ``user`` must be locked.

    Nothing older than the last one taken is good either: who reads a code over a shoulder comes too late.
    """
    secret, code = _secret(user, secret_key), _SPACES.sub("", code)
    if secret is None or not re.fullmatch("[0-9]{6}", code):
        return False
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP_SECONDS
    for step in (current + offset for offset in TOLERATED):
        newer = user.totp_last_step is None or step > user.totp_last_step
        if newer and hmac.compare_digest(totp.generate_otp(step), code):
            user.totp_last_step = step
            return True
    return False


def confirm(
    session: Session, user: User, secret_key: str, code: str, principal: Principal, now: datetime, ip: str | None
) -> None:
    """Turn the second step on with a first code; ``user`` must be locked. Raises ``Invalid``, ``Conflict``."""
    if is_on(user):
        raise Conflict("there is a second step already", code="totp_is_on")
    if not accept(user, secret_key, code, now):
        raise Invalid.field("code", "wrong_code", "is wrong or was used already")
    user.totp_since = now
    user.version += 1
    _tell(session, user, "on", principal, now, ip)


def remove(session: Session, user: User, principal: Principal, now: datetime, ip: str | None) -> None:
    """Take the second step away; ``user`` must be locked. Raises ``Conflict`` where there is none."""
    if user.totp_secret is None:
        raise Conflict("there is no second step", code="unchanged")
    was_on = is_on(user)
    user.totp_secret = user.totp_since = user.totp_last_step = None
    if was_on:
        user.version += 1
        _tell(session, user, "off", principal, now, ip)


def _tell(session: Session, user: User, state: str, principal: Principal, now: datetime, ip: str | None) -> None:
    audit.record(session, principal, f"user.totp_{state}", "user", user.id, now, ip=ip)
    key = f"totp_{state}:{user.id}:{user.version}"
    mails.queue_to_user(session, user, key, "security_notice", {"what": f"totp_{state}"}, now)
