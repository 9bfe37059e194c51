"""What every answer tells the browser: what a page may load, and that all of it goes over HTTPS."""

from __future__ import annotations

from flask import Flask
from flask_talisman import Talisman

CSP = {
    "default-src": "'self'",
    "img-src": ["'self'", "data:"],  # Bootstrap draws its marks from data: URLs in the style sheet
    "connect-src": "'self'",  # covers ws: and wss: of the same origin
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}


def install(app: Flask, *, https: bool) -> None:
    """``https``: plain HTTP is redirected, and cookies are Secure."""
    Talisman(
        app,
        content_security_policy=CSP,
        force_https=https,
        strict_transport_security=https,
        session_cookie_secure=https,
        session_cookie_http_only=True,
        frame_options="DENY",
        referrer_policy="same-origin",
    )
