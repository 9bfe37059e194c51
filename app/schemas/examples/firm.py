"""What the firm's people decide and look after."""

from __future__ import annotations

from typing import Final

from .example import FIRM, NOTHING, PERSON, Example

REQUESTS: Final[dict[str, tuple[Example, ...]]] = {
    "approve": (
        Example(
            "agree",
            "Agree to what somebody else has proposed; it is carried out at once",
            {"reason": "As agreed with the client"},
            PERSON,
            needs="approval",
            adds={"approval_votes": 1, "client_limits": 1},
            changes={"approvals": ("status", "decided_at", "executed_at")},
        ),
    ),
    "reject": (
        Example(
            "refuse",
            "Refuse it, and say why",
            {"reason": "The client has asked for more time"},
            PERSON,
            needs="approval",
            adds={"approval_votes": 1},
            changes={"approvals": ("status", "reason", "decided_at")},
        ),
    ),
    "create_user": (
        Example(
            "trader",
            "Create a trader, whom a second Master lets in",
            {"email": "eva@example.com", "name": "Eva Rojas", "role": "trader"},
            PERSON,
            adds={"users": 1, "approvals": 1},
        ),
    ),
    "invite_user": (
        Example(
            "client",
            "Invite somebody who speaks for the client C-1002",
            {"email": "nora@example.com", "name": "Nora Díaz", "role": "client", "client_id": "C-1002"},
            PERSON,
            adds={"users": 1},
        ),
    ),
    "send_invitation": (Example("again", "Mail another link to somebody who has not signed in yet", NOTHING, PERSON),),
    "remove_second_step": (
        Example(
            "lost",
            "Somebody has lost their telephone; they sign in with the password alone again",
            NOTHING,
            PERSON,
            needs="second step",
            changes={"users": ("totp_secret", "totp_since")},
        ),
    ),
    "change_user": (
        Example("name", "Change the name", {"name": "Tomás Huamán Díaz"}, PERSON, changes={"users": ("name",)}),
        Example(
            "role",
            "Propose another role, which a second Master has to approve",
            {"role": "operator"},
            PERSON,
            status=202,
            adds={"approvals": 1},
        ),
    ),
    "reset_password": (
        Example(
            "reset",
            "Give the user a one-time password; their sessions end",
            NOTHING,
            PERSON,
            changes={"users": ("password_hash", "must_change_password")},
        ),
    ),
    "end_user_sessions": (Example("end", "Sign the user out everywhere", NOTHING, PERSON),),
    "change_venue": (Example("latency", "Let the venue look at a request for 50 ms", {"latency_ms": 50}, FIRM),),
    "send_mail_again": (
        Example(
            "again",
            "Try a mail once more that was given up",
            NOTHING,
            FIRM,
            needs="failed mail",
        ),
    ),
    "resolve_fault": (
        Example(
            "resolve",
            "Say what was found and done",
            {"note": "Booked by hand with entry 4711"},
            FIRM,
            needs="fault",
            changes={"engine_faults": ("resolved_at", "resolved_by", "resolution")},
        ),
    ),
}
