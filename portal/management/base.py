"""What all set-up commands have in common: one JSON object out, one JSON object for an error.

Owns the form of the answer (`changed`, unless it only reads, and what is now true, on stdout, exit
status 0), of a refusal (`error`, a stable code, and `message`, on stderr, exit status 1; never a
traceback unless ``--traceback`` asks for it), every exit status, and how names, files and secrets
come in: secrets only by standard input. Owns no act: each command calls the service that the pages
call.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeAlias
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from orchestrators.credentials import CredentialInvalid
from orchestrators.labels import GroupingRefused
from orchestrators.models import Orchestrator
from orchestrators.names import canonical
from orchestrators.registration.contents import RuleRefused
from portal.access.guard import AccountRefused
from portal.access.models import User
from portal.audit.trail import Actor
from portal.preferences.typed import SettingInvalid
from renewal.authorities import AuthorityRefused
from renewal.ca.base import CAError, CAMisconfigured
from renewal.identity.approvals import ActRefused
from renewal.identity.trust import AnchorRefused
from renewal.issuers import NameTaken
from renewal.models import CertificateAuthority, Template
from renewal.operator_requests import RequestRefused
from renewal.templates import TemplateRefused
from renewal.x509.certificates import CertificateUnreadable

Answer: TypeAlias = dict[str, Any]

FAILED = 1
"""Exit status of what was refused or failed, wrong flags among it; nothing is half done."""
FOUND = 2
"""Exit status of what was done and found something to see to."""

MOST_FILE_BYTES = 64 * 1024


class CommandFailed(CommandError):
    """The command cannot do what it was asked; ``code`` is stable, the message for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def as_json(self) -> str:
        return json.dumps({"error": self.code, "message": str(self)}, ensure_ascii=False)


class JSONCommand(BaseCommand):
    """A command that prints one JSON object and changes nothing when it is run again."""

    # Checks of a deployment are `manage.py check --deploy`'s; a script calls many commands.
    requires_system_checks: list[str] = []
    _called_from_command_line: bool
    """Set by Django; callers inside the process get the exception instead."""

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        """Do it; return what is printed."""
        raise NotImplementedError

    def has_findings(self, answer: Answer) -> bool:
        """Say whether the answer holds something to see to; only looked for by some commands."""
        return False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

        def fail(message: str) -> NoReturn:
            self._fail(CommandFailed("usage", f"{message[:1].upper()}{message[1:]}."))

        parser.error = fail  # type: ignore[method-assign]
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            answer = self.answer(options, actor=command_actor(), now=timezone.now())
        except Exception as error:
            if options["traceback"]:
                raise
            self._fail(_failure(error))
        self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
        if self.has_findings(answer):
            sys.exit(FOUND)

    def _fail(self, failure: CommandFailed) -> NoReturn:
        if not self._called_from_command_line:
            raise failure
        self.stderr.write(failure.as_json(), style_func=str)
        sys.exit(FAILED)


def _failure(error: Exception) -> CommandFailed:
    """Return the refusal as which an exception is told."""
    match error:
        case CommandFailed():
            return error
        case ActRefused() | RequestRefused() | AccountRefused() | GroupingRefused():
            return CommandFailed(error.reason, str(error))
        case AuthorityRefused() | TemplateRefused() | RuleRefused():
            return CommandFailed(error.reason, str(error))
        case SettingInvalid():
            return CommandFailed("setting_invalid", str(error))
        case AnchorRefused():
            return CommandFailed("trust_anchor_refused", str(error))
        case CredentialInvalid():
            return CommandFailed("credential_invalid", str(error))
        case CertificateUnreadable():
            return CommandFailed("certificate_unreadable", f"The certificate: {error}.")
        case NameTaken():
            return CommandFailed("name_taken", str(error))
        case CAMisconfigured():
            return CommandFailed("authority_misconfigured", f"The CA: {error.reason}.")
        case CAError():
            return CommandFailed("authority_failed", f"The CA: {error}.")
        case DatabaseError():
            text = str(error).partition("\n")[0]
            return CommandFailed("database", f"The database refused: {text}")
        case OSError():
            return CommandFailed("file", f"{error.filename or 'A file'}: {error.strerror}.")
        case _:
            text = str(error).partition("\n")[0]
            return CommandFailed("internal", f"{type(error).__name__}: {text} (see --traceback)")


def command_actor() -> Actor:
    """Return who runs the command, as the audit log names them."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Actor(name=f"command ({name})")


# --- what comes in ----------------------------------------------------------------------------


def read_file(path: str) -> bytes:
    """Return a file's content; a certificate or a CSR is small."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise CommandFailed("file", f"{path}: {error.strerror}.") from None
    if len(content) > MOST_FILE_BYTES:
        raise CommandFailed("file", f"{path} is larger than 64 KiB.")
    return content


def read_secret() -> str:
    """Return the one line of standard input that holds a secret, without its line break."""
    line = sys.stdin.readline(4097).rstrip("\r\n")
    if not line or len(line) > 4096:
        raise CommandFailed("secret_missing", "Standard input must hold one line: the secret.")
    return line


def read_secrets() -> dict[str, Any]:
    """Return the JSON object of secrets that standard input holds."""
    try:
        secrets = json.loads(sys.stdin.read(MOST_FILE_BYTES))
    except (ValueError, RecursionError):
        secrets = None
    if not isinstance(secrets, dict):
        raise CommandFailed(
            "secret_missing", 'Standard input must hold a JSON object, such as {"passphrase": "…"}.'
        )
    return secrets


def number(least: int, most: int) -> Any:
    """Return argparse's type of a whole number between two bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return parse


def moment(text: str) -> datetime:
    """Read an ISO 8601 date with its offset from UTC (argparse's type)."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 date") from None
    if value.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no offset from UTC; append Z")
    return value


# --- rows by name -----------------------------------------------------------------------------


def the_user(username: str) -> User:
    """Return a user by name."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandFailed("unknown_user", f"There is no user {username!r}.")
    return user


def the_service_account(username: str) -> User:
    """Return a service account by name."""
    user = the_user(username)
    if not user.is_service_account:
        raise CommandFailed("not_a_service_account", f"{username!r} is a person's account.")
    return user


def the_authority(name: str) -> CertificateAuthority:
    """Return a certificate authority by name."""
    row = CertificateAuthority.objects.filter(name=name).first()
    if row is None:
        raise CommandFailed("unknown_authority", f"There is no certificate authority {name!r}.")
    return row


def the_template(name: str) -> Template:
    """Return a template by name."""
    row = Template.objects.filter(name=name).first()
    if row is None:
        raise CommandFailed("unknown_template", f"There is no template {name!r}.")
    return row


def add_orchestrator_flags(parser: CommandParser) -> None:
    """Let a command name one orchestrator."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", help="the orchestrator's GUID")
    which.add_argument("--name", help="its ClientMachine")


def the_orchestrator(options: Answer) -> Orchestrator:
    """Return the orchestrator that the flags name."""
    rows = Orchestrator.objects.all()
    if options["id"]:
        rows = rows.filter(pk=guid(options["id"]))
    else:
        rows = rows.filter(name_key=canonical(options["name"])[:255])
    found = list(rows.order_by("created_at", "pk")[:11])
    if not found:
        wanted = options["id"] or options["name"]
        raise CommandFailed("unknown_orchestrator", f"There is no orchestrator {wanted!r}.")
    if len(found) > 1:
        ids = ", ".join(str(row.pk) for row in found[:10])
        raise CommandFailed(
            "ambiguous", f"Several orchestrators have this name; give --id, one of {ids}."
        )
    return found[0]


def guid(text: str) -> UUID:
    """Read an orchestrator's id."""
    try:
        return UUID(text)
    except ValueError:
        raise CommandFailed("usage", f"{text!r} is not a GUID.") from None


def orchestrator_shown(orchestrator: Orchestrator) -> Answer:
    """Return what commands print of an orchestrator."""
    ends = orchestrator.certificate_not_after
    return {
        "id": str(orchestrator.pk),
        "name": orchestrator.client_machine,
        "status": orchestrator.get_status_display(),
        "flag": orchestrator.get_flag_display(),
        "thumbprint": orchestrator.thumbprint,
        "legacy_thumbprint": orchestrator.legacy_thumbprint,
        "certificate_not_after": ends.isoformat() if ends else None,
    }
