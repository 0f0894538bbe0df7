"""Gathering the facts behind the hints of requests for approval.

Owns the queries: the same number for one request and for a page of them. What is a risk is
`renewal/rules/risks.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import F

from orchestrators.confusables import skeleton
from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from orchestrators.reach import reachable
from portal.access.reach import EVERYTHING, Reach
from renewal.identity import claimants
from renewal.identity.approval_requests import network_of
from renewal.models import ApprovalRequest, Claimant
from renewal.rules.approval import RequestState
from renewal.rules.risks import BARS_RULES, BEYOND, Hint, Predecessor, RiskFacts, hints

_MOST_ROWS = 500


@dataclass(frozen=True)
class Assessed:
    """One open request with who may be approved and the hints."""

    request: ApprovalRequest
    candidates: Sequence[Claimant]
    hints: Sequence[Hint]

    @property
    def chosen(self) -> Claimant | None:
        """Whom an approval without a choice names; None where there is nobody or a conflict."""
        try:
            return claimants.choose(self.candidates, expected=None, fingerprint=None)
        except (claimants.NobodyCameForward, claimants.ClaimantConflict):
            return None

    @property
    def is_conflict(self) -> bool:
        return len([c for c in self.candidates if not c.held_before]) > 1


def assess(
    requests: Sequence[ApprovalRequest], *, seen: Reach = EVERYTHING, now: datetime
) -> list[Assessed]:
    """Return open requests (with their orchestrators) with who came forward and the hints.

    A hint about an orchestrator beyond ``seen`` warns all the same, and does not name it.
    """
    # What a disapproved record holds comes back as it was; nobody has to come forward for it.
    waiting = [r.orchestrator_id for r in requests if not _holds_again(r.orchestrator)]
    came = claimants.usable_of(waiting, now=now)
    names = {r.pk: _name_of(r, came.get(r.orchestrator_id, [])) for r in requests}
    by_skeleton = _approved_by("name_skeleton", {skeleton(n) for n in names.values()})
    by_claim_key = _approved_by("claim_key", {claim_key(n) for n in names.values()})
    shown = {r.pk: _shown(came.get(r.orchestrator_id, [])) for r in requests}
    networks = _known_networks(
        {network_of(c.address) for c in shown.values() if c is not None and c.address}
    )
    elsewhere = _other_records([c for c in shown.values() if c is not None])
    if not seen.everything:
        _hide_what_is_beyond(seen, by_skeleton, by_claim_key, elsewhere)
    return [
        Assessed(
            request,
            came.get(request.orchestrator_id, []),
            hints(
                _facts(
                    request,
                    names[request.pk],
                    shown[request.pk],
                    came.get(request.orchestrator_id, []),
                    by_skeleton=by_skeleton,
                    by_claim_key=by_claim_key,
                    networks=networks,
                    elsewhere=elsewhere,
                    now=now,
                )
            ),
        )
        for request in requests
    ]


def bars_a_rule(request: ApprovalRequest, *, now: datetime) -> bool:
    """Say whether there is a hint for which a request is never approved by a rule."""
    (assessed,) = assess([request], now=now)
    return any(hint.risk in BARS_RULES for hint in assessed.hints)


def _facts(
    request: ApprovalRequest,
    name: str,
    shown: Claimant | None,
    candidates: Sequence[Claimant],
    *,
    by_skeleton: Mapping[str, list[Orchestrator]],
    by_claim_key: Mapping[str, list[Orchestrator]],
    networks: frozenset[str],
    elsewhere: Mapping[int, list[tuple[UUID, str]]],
    now: datetime,
) -> RiskFacts:
    key = canonical(name)
    own = request.orchestrator_id
    alike = [o for o in by_skeleton.get(skeleton(name), []) if o.pk != own] if key else []
    kin = [o for o in by_claim_key.get(claim_key(name), []) if o.pk != own] if key else []
    address = shown.address if shown else ""
    other = ""
    if request.orchestrator.reset_at is not None and shown is not None and shown.client_machine:
        differs = claim_key(shown.client_machine) != request.orchestrator.claim_key
        other = shown.client_machine if differs else ""
    record_of = elsewhere.get(shown.certificate_id or 0, []) if shown else []
    network = network_of(address)
    return RiskFacts(
        name=name,
        same_name=[o.client_machine for o in alike if o.name_key == key],
        # A successor by its stamp looks like its predecessor: that is a hint of its own.
        lookalikes=[o.client_machine for o in alike if o.claim_key != claim_key(name)],
        predecessors=[
            Predecessor(
                o.client_machine,
                o.certificate_not_after
                if o.certificate_not_after is not None and o.certificate_not_after < now
                else None,
            )
            for o in kin
            if o.name_key != key
        ],
        is_stamped=key != claim_key(name),
        strangers=len([c for c in candidates if not c.held_before]),
        places=[
            (str(p[0]), str(p[1]), str(p[2]), str(p[3])) for p in (shown.places if shown else [])
        ],
        other_records=[n for pk, n in record_of if pk != own],
        other_name=other,
        address=address,
        old_address=request.old_address,
        is_known_network=not network
        or network in networks
        or network == network_of(request.old_address),
    )


def _holds_again(orchestrator: Orchestrator) -> bool:
    return orchestrator.status == Status.DISAPPROVED and bool(orchestrator.thumbprint)


def _name_of(request: ApprovalRequest, candidates: Sequence[Claimant]) -> str:
    """Return the name that an approval would give: a Reset record keeps its own."""
    shown = _shown(candidates)
    if request.orchestrator.reset_at is None and shown is not None and shown.client_machine:
        return shown.client_machine
    return request.orchestrator.client_machine


def _shown(candidates: Sequence[Claimant]) -> Claimant | None:
    """Return the one whom the hints are about: the newest stranger, else the newest."""
    strangers = [c for c in candidates if not c.held_before]
    return max(strangers or candidates, key=lambda c: (c.last_seen, c.pk), default=None)


def _approved_by(column: str, keys: set[str]) -> dict[str, list[Orchestrator]]:
    found: dict[str, list[Orchestrator]] = defaultdict(list)
    rows = Orchestrator.objects.filter(
        status=Status.APPROVED, **{f"{column}__in": sorted(keys - {""})}
    ).only("client_machine", "name_key", "claim_key", "name_skeleton", "certificate_not_after")
    for row in rows.order_by("created_at", "pk")[:_MOST_ROWS]:
        found[getattr(row, column)].append(row)
    return found


def _known_networks(networks: set[str]) -> frozenset[str]:
    return frozenset(
        ApprovalRequest.objects.filter(
            state=RequestState.APPROVED, new_network__in=sorted(networks - {""})
        )
        .values_list("new_network", flat=True)
        .distinct()
    )


def _other_records(shown: Sequence[Claimant]) -> dict[int, list[tuple[UUID, str]]]:
    """Return for each certificate the open records that it came forward for."""
    found: dict[int, list[tuple[UUID, str]]] = defaultdict(list)
    keys = {c.certificate_id for c in shown if c.certificate_id is not None}
    rows = Claimant.objects.filter(
        certificate__in=keys,
        generation=F("orchestrator__generation"),
        orchestrator__status=Status.NEW,
    ).values_list("certificate_id", "orchestrator_id", "orchestrator__client_machine")
    for certificate, orchestrator, name in rows.order_by("pk")[:_MOST_ROWS]:
        if certificate is not None:
            found[certificate].append((orchestrator, name or "a record without a name"))
    return found


def _hide_what_is_beyond(
    seen: Reach,
    by_skeleton: Mapping[str, list[Orchestrator]],
    by_claim_key: Mapping[str, list[Orchestrator]],
    elsewhere: Mapping[int, list[tuple[UUID, str]]],
) -> None:
    """Take the names, and what else is told, from records that do not exist for the visitor."""
    rows = [o for found in (*by_skeleton.values(), *by_claim_key.values()) for o in found]
    keys = {o.pk for o in rows} | {pk for found in elsewhere.values() for pk, _ in found}
    known = reachable(keys, seen)
    for row in rows:
        if row.pk not in known:
            row.client_machine = BEYOND
            row.certificate_not_after = None
    for pairs in elsewhere.values():
        pairs[:] = [(pk, name if pk in known else BEYOND) for pk, name in pairs]
