"""``manage.py token``: issues or revokes an API token. Its text is printed once.

Owns the flags; tokens belong to `portal/access/tokens.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.management.base import CommandParser

from portal.access.tokens import (
    LONGEST_TOKEN_DAYS,
    issue_token,
    named_token,
    narrowing,
    revoke_token,
)
from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand, number, the_user


class Command(JSONCommand):
    help = "Issue an API token (printed once; a live one of this name stays), or revoke it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument("--name", required=True, help="what the token is for")
        parser.add_argument("--days", type=number(1, LONGEST_TOKEN_DAYS), default=90)
        parser.add_argument(
            "--scope",
            action="append",
            help="access string that the token is limited to; may be given several times",
        )
        parser.add_argument(
            "--network",
            action="append",
            default=[],
            help="network in CIDR notation that it may be used from; may be given several times",
        )
        parser.add_argument("--revoke", action="store_true")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        user = the_user(options["username"])
        text = ""
        if options["revoke"]:
            token = named_token(user, options["name"])
            changed = revoke_token(token, actor=actor, now=now)
            token.refresh_from_db()
        else:
            token, text = issue_token(
                user,
                options["name"],
                lasts=timedelta(days=options["days"]),
                limits=narrowing(options["scope"], options["network"]),
                actor=actor,
                now=now,
            )
            changed = bool(text)
        return {
            "changed": changed,
            "username": user.username,
            "name": token.name,
            "expires_at": token.expires_at.isoformat(),
            "revoked": token.revoked_at is not None,
            "scopes": token.access_strings,
            "networks": token.networks,
            **({"token": text} if text else {}),
        }
