"""``manage.py request_renewal``: asks an orchestrator to renew, demands it, or takes that back.

Owns the flags and when there is nothing to ask; the act is `renewal/identity/approvals.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from orchestrators.models import AgentSession, Reenrollment
from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    JSONCommand,
    add_orchestrator_flags,
    orchestrator_shown,
    the_orchestrator,
)
from renewal.identity import approvals

_FLAGS = {
    "None": Reenrollment.NONE,
    "Request": Reenrollment.REQUESTED,
    "Require": Reenrollment.REQUIRED,
}


class Command(JSONCommand):
    help = "Request or require a renewal of an orchestrator's certificate, or clear the request."

    def add_arguments(self, parser: CommandParser) -> None:
        add_orchestrator_flags(parser)
        parser.add_argument("--status", choices=list(_FLAGS), required=True)
        parser.add_argument(
            "--now",
            action="store_true",
            dest="at_once",
            help="end its session, so that it registers after its next heartbeat",
        )
        parser.add_argument("--message", default="", help="why, for the audit log")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        orchestrator = the_orchestrator(options)
        flag = _FLAGS[options["status"]]
        ends_session = (
            options["at_once"]
            and flag != Reenrollment.NONE
            and AgentSession.objects.live(now).filter(orchestrator=orchestrator).exists()
        )
        changed = False
        if flag != orchestrator.flag or ends_session:
            changed = approvals.request_renewal(
                orchestrator.pk,
                flag,
                at_once=options["at_once"],
                message=options["message"],
                actor=actor,
                now=now,
            )
            orchestrator.refresh_from_db()
        return {"changed": changed, **orchestrator_shown(orchestrator)}
