"""``manage.py orchestrator``: enters an Approved orchestrator by hand.

Owns the flags; the act is `renewal/identity/entry.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    JSONCommand,
    guid,
    orchestrator_shown,
    read_file,
    the_service_account,
)
from portal.preferences import store
from renewal.identity import trust
from renewal.identity.entry import Entry, enter
from renewal.x509.certificates import read_certificate
from renewal.x509.paths import Verdict


class Command(JSONCommand):
    help = "Enter an approved orchestrator with its certificate. An expired one may be given."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="its ClientMachine")
        parser.add_argument("--id", help="its GUID (AgentId); made if left out")
        parser.add_argument("--certificate", metavar="FILE", help="its certificate, PEM or DER")
        parser.add_argument("--service-account", metavar="USER", help="default: the shared one")
        parser.add_argument(
            "--extra-name",
            action="append",
            dest="extra_names",
            metavar="NAME",
            help="a name that its certificates may carry too; repeatable",
        )
        parser.add_argument(
            "--demonstration",
            action="store_true",
            default=None,
            help="never counted among real ones",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        facts = None
        if options["certificate"]:
            facts = read_certificate(read_file(options["certificate"]))
        account = options["service_account"]
        orchestrator, changed = enter(
            Entry(
                name=options["name"],
                id=guid(options["id"]) if options["id"] else None,
                certificate=facts,
                service_account=the_service_account(account) if account else None,
                extra_names=options["extra_names"],
                demonstration=options["demonstration"],
                may_override=True,
            ),
            actor=actor,
            now=now,
        )
        answer = {
            "changed": changed,
            **orchestrator_shown(orchestrator),
            "service_account": orchestrator.service_account.username,
            "extra_names": orchestrator.extra_names,
            "demonstration": orchestrator.demonstration,
        }
        if facts is not None:
            revision = store.load().number("TrustAnchorsRevision")
            verdict = trust.verdict(facts.der, facts.fingerprint_sha256, revision=revision, now=now)
            answer["certificate_trusted"] = verdict is Verdict.CHAINS
        return answer
