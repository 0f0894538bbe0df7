"""Loading a synthetic fleet: chunk by chunk, each a transaction, to be taken up where it stopped.

Owns the marks by which nobody takes it for a real fleet: names below `.synthetic.invalid`, one
service account, one disabled CA whose certificates do not verify, and an audit row for each
chunk. Refuses a database that has real orchestrators, unless told; then the rows are marked as a
demonstration too, and do not count among the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from django.db import transaction

from orchestrators.models import BootstrapCredential, Orchestrator
from portal.access.models import User
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from renewal import authorities, templates
from renewal.rules.periods import whole_second
from renewal.synthetic import draw
from renewal.synthetic.documents import Printer
from renewal.synthetic.ledger import Ledger, World
from renewal.synthetic.lives import MODELS, Lives
from renewal.synthetic.sheets import Sheet

NAME = "synthetic-fleet"
"""Of the service account, the CA, the template and the bootstrap credential."""
CHUNK = 4_000
MOST_ORCHESTRATORS = 16**6
_LOADED = "synthetic_fleet_loaded"


class LoadRefused(ValueError):
    """The fleet cannot be loaded here; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Order:
    """Which fleet: the same order gives the same fleet, but for the numbers of its rows."""

    orchestrators: int
    certificates: int
    seed: int
    at: datetime
    """The moment at which the fleet looks as it does."""
    is_beside_real: bool = False

    def as_text(self) -> dict[str, Any]:
        return {
            "orchestrators": self.orchestrators,
            "certificates": self.certificates,
            "seed": self.seed,
        }


def load(
    order: Order, *, actor: Actor, now: datetime, told: Callable[[int], None] = lambda _: None
) -> int:
    """Load what is still to be loaded of a fleet; return how many orchestrators that was.

    ``told`` hears the number of orchestrators that are there after each chunk. Raises LoadRefused.
    """
    if order.orchestrators > MOST_ORCHESTRATORS or order.certificates < order.orchestrators:
        raise LoadRefused(
            "fleet_size",
            f"At most {MOST_ORCHESTRATORS} orchestrators, and at least as many certificates.",
        )
    done, begun = _progress(order)
    order = Order(**{**vars(order), "at": begun or order.at})
    if done >= order.orchestrators:
        return 0
    _check(order)
    world = _world(order, actor=actor, now=now)
    first = done
    while done < order.orchestrators:
        count = min(CHUNK, order.orchestrators - done)
        with transaction.atomic():
            _load_chunk(order, world, done, count)
            _note(order, done + count, actor)
        done += count
        told(done)
    return done - first


def _load_chunk(order: Order, world: World, first: int, count: int) -> None:
    # Nothing secret is drawn: the same seed must give the same fleet.
    random = Random(f"{order.seed}/{first}")  # noqa: S311
    share = (
        order.certificates * (first + count) // order.orchestrators
        - order.certificates * first // order.orchestrators
    )
    sheets = {model: Sheet(model) for model in MODELS}
    for sheet in sheets.values():
        sheet.start()
    lives = Lives(Ledger(sheets, random, world), Printer(random))
    for place, plan in enumerate(draw.plans(random, count, share)):
        lives.live(first + place, plan)
    for sheet in sheets.values():
        sheet.write()


def _progress(order: Order) -> tuple[int, datetime | None]:
    """Return how many orchestrators of this fleet are there, and its moment. Raises LoadRefused."""
    last = (
        AuditEntry.objects.filter(object_type="synthetic_fleet", object_id=NAME)
        .order_by("-pk")
        .first()
    )
    if last is None:
        return 0, None
    if any(last.after[name] != value for name, value in order.as_text().items()):
        raise LoadRefused(
            "other_fleet",
            "This database has another synthetic fleet: "
            f"{last.after['orchestrators']} orchestrators, {last.after['certificates']} "
            f"certificates, seed {last.after['seed']}.",
        )
    return int(last.after["loaded"]), datetime.fromisoformat(last.after["at"])


def _note(order: Order, loaded: int, actor: Actor) -> None:
    record(
        actor,
        Category.ORCHESTRATOR,
        _LOADED,
        object_type="synthetic_fleet",
        object_id=NAME,
        object_name=NAME,
        after={**order.as_text(), "at": order.at.isoformat(), "loaded": loaded},
    )


def _check(order: Order) -> None:
    real = Orchestrator.objects.filter(demonstration=False).exclude(service_account__username=NAME)
    if not order.is_beside_real and real.exists():
        raise LoadRefused(
            "real_orchestrators",
            "This database has real orchestrators. With --beside-real-orchestrators the synthetic "
            "ones are loaded beside them, marked as a demonstration.",
        )


def _world(order: Order, *, actor: Actor, now: datetime) -> World:
    account, created = User.objects.get_or_create(
        username=NAME, defaults={"is_service_account": True}
    )
    if created:
        account.set_unusable_password()
        account.save()
    authority, _ = authorities.create_local(
        authorities.Wanted(NAME, "local", {}), actor=actor, now=now
    )
    if authority.enabled:
        wanted = authorities.Wanted(NAME, "local", {}, is_enabled=False)
        authority, _ = authorities.save(wanted, actor=actor, now=now)
    template, _ = templates.save_template(NAME, templates.Contents(), actor=actor, now=now)
    credential, _ = BootstrapCredential.objects.get_or_create(
        name=NAME,
        defaults={
            # Revoked from the beginning, and no secret has this digest.
            "secret_digest": "0" * 64,
            "service_account": account,
            "created_at": now,
            "revoked_at": now,
        },
    )
    return World(
        now=whole_second(order.at),
        authority=authority.pk,
        template=template.pk,
        service_account=account.pk,
        service_account_name=NAME,
        credential=credential.pk,
        is_demonstration=order.is_beside_real,
    )
