"""Loads a synthetic fleet of any size, for measuring pages, queries and sweeps."""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand, moment, number
from renewal.synthetic.load import MOST_ORCHESTRATORS, LoadRefused, Order, load


class Command(JSONCommand):
    help = "Load a synthetic fleet (for measuring), all or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orchestrators", type=number(1, MOST_ORCHESTRATORS), required=True)
        parser.add_argument("--certificates", type=number(1, 10**9), required=True)
        parser.add_argument("--seed", type=number(0, 2**63 - 1), default=1)
        parser.add_argument(
            "--at", type=moment, help="the moment at which the fleet looks so (now if not given)"
        )
        parser.add_argument("--beside-real-orchestrators", action="store_true")
        parser.add_argument(
            "--troubled",
            action="store_true",
            help="nothing that goes wrong is rare: a fleet of 1,000 has more than a page of each",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        order = Order(
            orchestrators=options["orchestrators"],
            certificates=options["certificates"],
            seed=options["seed"],
            at=options["at"] or now,
            is_beside_real=options["beside_real_orchestrators"],
            is_troubled=options["troubled"],
        )

        def told(done: int) -> None:
            self.stderr.write(f"{done} of {order.orchestrators}", style_func=str)

        try:
            loaded = load(order, actor=actor, now=now, told=told)
        except LoadRefused as refused:
            raise CommandFailed(refused.reason, str(refused)) from None
        return {"changed": bool(loaded), "loaded": loaded, **order.as_text()}
