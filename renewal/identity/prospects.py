"""What an operator's Approve of records would come to: gathered once, for a preview and the act.

Owns the facts that `renewal/rules/acts.py` judges: whom an approval names, what a policy bars,
whose votes count. A page of records costs as many statements as one. Changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical
from orchestrators.reach import act_reaches, reachable
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.audit.trail import Actor
from portal.preferences import store
from renewal.identity import claimants, questions
from renewal.identity.approval_requests import Named, key_of
from renewal.identity.naming import Shown, held_by, named
from renewal.identity.policies import policies
from renewal.models import ApprovalVote, Certificate, Claimant
from renewal.rules.acts import CHANGE, Act, ActFacts, Verdict, foresee
from renewal.rules.approval import (
    Policies,
    Question,
    RequestState,
    Vote,
    counted,
    lacking,
)
from renewal.rules.standing import ACCEPTED

_NOBODY = Shown()


@dataclass(frozen=True)
class Approver:
    """Who would approve (`approval_requests.key_of`), under which policies.

    Without policies the approval decides alone: an override, or a rule.
    """

    key: str = ""
    user_id: int | None = None
    policies: Policies | None = None


def under_policies(actor: Actor) -> Approver:
    """Return somebody as an approver whom the policies of the settings bind."""
    return Approver(key_of(actor), actor.user_id, policies(store.load()))


@dataclass(frozen=True)
class Prospect:
    """What an Approve of one record would come to."""

    record: Orchestrator
    verdict: Verdict
    named: Named | None = None
    approvals: int = 0
    """So many people approve it, this approver included."""
    lacking: int = 0
    """So many more must follow."""
    lacking_roles: tuple[str, ...] = ()

    @property
    def claimant(self) -> Claimant | None:
        return self.named.claimant if self.named is not None else None


def of(
    records: Sequence[Orchestrator],
    approver: Approver,
    *,
    shown: Mapping[UUID, Shown] | None = None,
    taken: set[str] | None = None,
    now: datetime,
) -> list[Prospect]:
    """Return what an Approve of each record would come to, one after the other.

    ``shown``: whom a page showed. ``taken``: names that earlier ones of the same selection get;
    grows.
    """
    ids = [record.pk for record in records]
    candidates = claimants.usable_of(ids, now=now)
    held = set(
        Certificate.objects.filter(orchestrator__in=ids, standing__in=sorted(ACCEPTED)).values_list(
            "orchestrator_id", flat=True
        )
    )
    found = {
        record.pk: held_by(record)
        if record.status == Status.DISAPPROVED and record.pk in held
        else named(candidates[record.pk], (shown or {}).get(record.pk, _NOBODY))
        for record in records
    }
    names = {record.pk: _name_after(record, found[record.pk][0]) for record in records}
    owners = dict(
        Orchestrator.objects.filter(
            status=Status.APPROVED, name_key__in=set(names.values()) - {""}
        ).values_list("name_key", "pk")
    )
    ballots = _Ballots.gathered(records, approver) if approver.policies else None
    later = taken if taken is not None else set()
    prospects = []
    for record in records:
        who, refusal = found[record.pk]
        name = names[record.pk]
        is_taken = name in later or owners.get(name, record.pk) != record.pk
        ballot = ballots.of(record, who) if ballots else _Ballot()
        facts = ActFacts(
            status=record.status,
            holds_accepted=record.pk in held,
            refusal=refusal,
            is_barred=ballot.is_barred,
            is_name_taken=bool(name) and is_taken,
            has_voted=ballot.has_voted,
            is_enough=not ballot.lacking,
        )
        verdict = foresee(Act.APPROVE, facts)
        if verdict == CHANGE and name:
            later.add(name)
        prospects.append(
            Prospect(record, verdict, who, ballot.approvals, ballot.lacking, ballot.lacking_roles)
        )
    return prospects


def _name_after(record: Orchestrator, who: Named | None) -> str:
    """Return the comparable name that an approval gives: a Reset record keeps its own."""
    claimant = who.claimant if who is not None else None
    if claimant is not None and claimant.client_machine and record.reset_at is None:
        return canonical(claimant.client_machine)
    return record.name_key


# --- votes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ballot:
    is_barred: bool = False
    has_voted: bool = False
    approvals: int = 1
    lacking: int = 0
    lacking_roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ballots:
    """The requests and votes of some records, read together."""

    approver: Approver
    policies: Policies
    roles: frozenset[str]
    questions: Mapping[UUID, Question]
    votes: Mapping[UUID, Sequence[Vote]]

    @classmethod
    def gathered(cls, records: Sequence[Orchestrator], approver: Approver) -> _Ballots:
        rules = approver.policies or Policies()
        requests = questions.requests_of(record.pk for record in records)
        asked = {r.pk: questions.asked_of(r, requests.get(r.pk, ())) for r in records}
        open_ones = [
            row.pk for rows in requests.values() for row in rows if row.state == RequestState.OPEN
        ]
        is_alone = all(rules.needed(each) <= 1 for each in asked.values())
        votes = {} if is_alone else _votes(open_ones, approver.key)
        has_roles = any(rules.roles(each) for each in asked.values())
        own = User.objects.filter(pk=approver.user_id or 0) if has_roles else User.objects.none()
        roles = frozenset(name for name in own.values_list("groups__name", flat=True) if name)
        return cls(approver, rules, roles, asked, votes)

    def of(self, record: Orchestrator, who: Named | None) -> _Ballot:
        question = self.questions[record.pk]
        if self.policies.bars(question, approver=self.approver.key):
            return _Ballot(is_barred=True)
        digest = who.digest if who is not None else ""
        votes = self.votes.get(record.pk, ())
        mine = Vote(self.approver.key, digest, self.roles)
        voters = counted(
            [*(v for v in votes if v.voter != mine.voter), mine],
            named=digest,
            question=question,
            policies=self.policies,
        )
        number, roles = lacking(voters, question=question, policies=self.policies)
        has_voted = any(v.voter == mine.voter and v.named == digest for v in votes)
        return _Ballot(False, has_voted, len(voters), number, roles)


def _votes(requests: Sequence[int], approver: str) -> dict[UUID, list[Vote]]:
    """Return the votes that count, by record: of those who may approve that record now.

    The approver's own counts in any case: that he may act is the faces' to check.
    """
    rows = list(
        ApprovalVote.objects.filter(request__in=requests, voided_at=None)
        .select_related("request")
        .order_by("pk")
    )
    voters = User.objects.in_bulk({row.voter_id for row in rows if row.voter_id is not None})
    roles: dict[int, set[str]] = defaultdict(set)
    for user, role in User.groups.through.objects.filter(user__in=voters).values_list(
        "user_id", "group__name"
    ):
        roles[user].add(role)
    within = {
        pk: reachable(
            {row.request.orchestrator_id for row in rows if row.voter_id == pk},
            *act_reaches(voter, Permission.AGENTS_APPROVE),
        )
        for pk, voter in voters.items()
    }
    found: dict[UUID, list[Vote]] = defaultdict(list)
    for row in rows:
        record = row.request.orchestrator_id
        # A command's voter has no account; an account that is gone approves nothing any more.
        is_command = not row.voter_key.startswith("user:")
        if is_command or row.voter_key == approver or record in within.get(row.voter_id or 0, ()):
            found[record].append(
                Vote(row.voter_key, row.named, frozenset(roles.get(row.voter_id or 0, ())))
            )
    return found
