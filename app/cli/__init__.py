"""The command line: ``flask <group> <command>``. Answers are JSON on stdout, refusals JSON on stderr."""

from __future__ import annotations

from flask import Flask

from . import audit, clients, demo, engine, keys, market, reconcile, users, wallets

GROUPS = (
    audit.group,
    clients.group,
    demo.group,
    engine.group,
    keys.group,
    market.group,
    users.group,
    wallets.group,
)


def register(app: Flask) -> None:
    """Add every group and command to ``flask``."""
    for group in GROUPS:
        app.cli.add_command(group)
    app.cli.add_command(reconcile.command)
