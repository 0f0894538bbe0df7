"""Loading a synthetic fleet, in one transaction.

Owns the marks by which nobody takes it for a real fleet: names below `.synthetic.invalid`, one
service account, one disabled CA whose certificates do not verify, and an audit row. Refuses a
database that has real orchestrators, unless told; then the rows are marked as a demonstration too,
and do not count among the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from orchestrators import groups
from orchestrators.models import BootstrapCredential, Orchestrator
from portal.access.models import User
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from renewal import authorities, templates
from renewal.rules.periods import whole_second
from renewal.synthetic import draw, tables
from renewal.synthetic.chunks import chunks, drawn, texts
from renewal.synthetic.ledger import World
from renewal.synthetic.lives import MODELS
from renewal.synthetic.processes import spread

NAME = "synthetic-fleet"
"""Of the service account, the CA, the template, the bootstrap credential; begins its groups'."""
CHUNK = 2_000
_LARGE = 20_000
"""From here on building indexes afresh is faster than filling them, and more processes pay."""
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
    is_troubled: bool = False
    """`draw.TROUBLED`, not `draw.ORDINARY`."""

    def as_text(self) -> dict[str, Any]:
        return {
            "orchestrators": self.orchestrators,
            "certificates": self.certificates,
            "seed": self.seed,
            "troubled": self.is_troubled,
        }


def load(
    order: Order, *, actor: Actor, now: datetime, told: Callable[[int], None] = lambda _: None
) -> int:
    """Load a fleet, all or nothing; return how many orchestrators (0: it is there already).

    ``told`` hears the number of orchestrators written so far. Raises LoadRefused.
    """
    if order.orchestrators > MOST_ORCHESTRATORS or order.certificates < order.orchestrators:
        raise LoadRefused(
            "fleet_size",
            f"At most {MOST_ORCHESTRATORS} orchestrators, and at least as many certificates.",
        )
    if _is_loaded(order):
        return 0
    _check(order)
    world = _world(order, actor=actor, now=now)
    with transaction.atomic():
        is_large = order.orchestrators >= _LARGE
        is_spread = is_large and connection.vendor == "postgresql"
        is_alone = is_large and not order.is_beside_real
        with tables.without_indexes(MODELS) if is_alone else nullcontext():
            _fill(order, world, told, is_spread=is_spread)
        record(
            actor,
            Category.ORCHESTRATOR,
            _LOADED,
            object_type="synthetic_fleet",
            object_id=NAME,
            object_name=NAME,
            after={**order.as_text(), "at": order.at.isoformat()},
        )
    return order.orchestrators


def _fill(order: Order, world: World, told: Callable[[int], None], *, is_spread: bool) -> None:
    ordered = chunks(
        order.orchestrators,
        order.certificates,
        size=CHUNK,
        seed=order.seed,
        numbers={model._meta.label: tables.next_number(model) for model in MODELS},
        world=world,
    )
    done = 0
    if is_spread:
        for written in spread(texts, ordered):
            for model, text in zip(MODELS, written, strict=True):
                tables.copy(model, text)
            done = min(done + CHUNK, order.orchestrators)
            told(done)
    else:
        for chunk in ordered:
            for sheet in drawn(chunk):
                tables.insert(sheet)
            done += chunk.count
            told(done)
    tables.number_on(MODELS)


def _is_loaded(order: Order) -> bool:
    """Say whether this fleet is there already. Raises LoadRefused if another one is."""
    last = (
        AuditEntry.objects.filter(object_type="synthetic_fleet", object_id=NAME)
        .order_by("-pk")
        .first()
    )
    if last is None:
        return False
    if any(last.after.get(name, False) != value for name, value in order.as_text().items()):
        raise LoadRefused(
            "other_fleet",
            "This database has another synthetic fleet: "
            f"{last.after['orchestrators']} orchestrators, {last.after['certificates']} "
            f"certificates, seed {last.after['seed']}"
            f"{', troubled' if last.after.get('troubled') else ''}.",
        )
    return True


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
        groups={
            word: groups.save_group(f"{NAME} {word}", actor=actor, now=now)[0].pk
            for word in (*draw.SITES, draw.PILOT)
        },
        is_demonstration=order.is_beside_real,
        spread=draw.TROUBLED if order.is_troubled else draw.ORDINARY,
    )
