"""``manage.py user``: makes or changes a user or a service account.

Owns the flags; what a valid account is belongs to `portal/access/accounts.py`.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from django.core.management.base import CommandParser

from portal.access.accounts import save_user
from portal.access.models import User
from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand, read_secret


class Command(JSONCommand):
    help = "Make or change a user. What no flag says stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument(
            "--role",
            action="append",
            dest="roles",
            metavar="ROLE",
            help="a role; repeatable. The roles given are all that the user has then",
        )
        parser.add_argument("--email")
        parser.add_argument(
            "--service-account",
            action="store_true",
            help="an identity that orchestrators run under; cannot sign in",
        )
        password = parser.add_mutually_exclusive_group()
        password.add_argument(
            "--password-stdin", action="store_true", help="the password is one line of stdin"
        )
        password.add_argument(
            "--generate-password",
            action="store_true",
            help="make a password and print it, once; an existing password stays",
        )
        active = parser.add_mutually_exclusive_group()
        active.add_argument("--active", action="store_true", default=None, dest="is_active")
        active.add_argument("--inactive", action="store_false", default=None, dest="is_active")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        known = User.objects.filter(username=options["username"]).first()
        password, is_generated = None, False
        if options["password_stdin"]:
            password = read_secret()
        elif options["generate_password"] and not (known and known.has_usable_password()):
            password, is_generated = secrets.token_urlsafe(15), True
        user, changed = save_user(
            options["username"],
            is_service_account=options["service_account"],
            roles=options["roles"],
            email=options["email"],
            is_active=options["is_active"],
            password=password,
            actor=actor,
        )
        return {
            "changed": changed,
            "username": user.username,
            "email": user.email,
            "roles": sorted(user.groups.values_list("name", flat=True)),
            "service_account": user.is_service_account,
            "active": user.is_active,
            "has_password": user.has_usable_password(),
            **({"password": password} if is_generated else {}),
        }
