"""A first registration without an operator: what handlers and rules say, and acting on that.

Owns the gathering of `RegistrationFacts` and the acts of APPROVE and DISAPPROVE. Which outcome
leads to which act is `rules/decision.py`'s; how an approval or a disapproval changes the rows is
`approvals.py`'s. A twin of an approved name, and a record for which somebody else came forward,
wait for an operator whatever is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q, QuerySet

from orchestrators import groups, labels
from orchestrators.confusables import skeleton
from orchestrators.models import (
    AutoRegistrationRule,
    BootstrapCredential,
    EnrollmentClaim,
    Orchestrator,
    OrchestratorGroup,
    Status,
)
from orchestrators.names import canonical, claim_key, without_start_stamp
from orchestrators.protocol.requests import RegisterRequest
from orchestrators.registration.chain import HandlerVerdict
from orchestrators.registration.rules import Applicant, Assignment, Outcome, evaluate
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.permissions import holds
from portal.access.reach import reach
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences import store
from renewal.identity import approval_requests, approvals
from renewal.identity.approvals import ActRefused
from renewal.identity.claimants import Seen
from renewal.identity.policies import policies
from renewal.models import Claimant
from renewal.rules.approval import FIRST_QUESTION
from renewal.rules.decision import RegistrationFacts


@dataclass(frozen=True)
class Said:
    """What was said of a first registration, by whom, and what goes with an approval."""

    facts: RegistrationFacts = field(default_factory=RegistrationFacts)
    rule_id: int | None = None
    reason: str = ""
    assignment: Assignment = field(default_factory=Assignment)

    @property
    def is_left_to_an_operator(self) -> bool:
        """Neither approved nor disapproved by what was said."""
        return self.facts.ruling is Outcome.DEFER or bool(self.facts.obstacle)


@dataclass(frozen=True)
class Caller:
    """Who registers: the body, what it proved, and from where."""

    body: RegisterRequest
    seen: Seen
    address: str
    request_id: str = ""


def rules() -> list[AutoRegistrationRule]:
    """Return all rules in their order."""
    return list(AutoRegistrationRule.objects.order_by("position", "pk"))


def applicant_of(caller: Caller) -> Applicant:
    """Return what the rules see of a Register."""
    credential = caller.seen.credential
    account = (
        credential.service_account
        if credential is not None
        else User.objects.get(username=SHARED_SERVICE_ACCOUNT)
    )
    return Applicant(
        client_machine=caller.body.client_machine,
        source_address=caller.address,
        service_account=account.username,
        roles=frozenset(account.groups.values_list("name", flat=True)),
        credential=credential.name if credential else "",
        parameters=caller.body.client_parameters,
    )


def said_of(caller: Caller, orchestrator: Orchestrator | None, verdict: HandlerVerdict) -> Said:
    """Return what an import, else handlers (``verdict``), else the rules say, and what speaks
    against it.
    """
    if orchestrator is not None and _is_announced(orchestrator, caller.seen):
        return Said(
            RegistrationFacts(
                ruling=Outcome.ALLOW,
                source=f"the import by {orchestrator.announced_by}",
                obstacle=_outvoted(orchestrator) or obstacle(caller, orchestrator, Assignment()),
                is_contested=_others_came(orchestrator, caller.seen),
            )
        )
    if verdict.outcome is not Outcome.DEFER:
        ruling: Outcome = verdict.outcome
        source = f"the registration handler “{verdict.handler}”"
        rule_id, reason, assignment = None, verdict.reason, verdict.assignment
    else:
        rows = rules()
        if not rows:
            return Said()
        found = evaluate((row.rule for row in rows), applicant_of(caller))
        if found.rule is None:
            return Said()
        ruling = found.outcome
        source = f"the auto-registration rule “{found.rule.name}”"
        rule_id, reason, assignment = found.rule.id, "", found.rule.assignment
    is_allowed = ruling is Outcome.ALLOW
    return Said(
        RegistrationFacts(
            ruling=ruling,
            source=source,
            obstacle=obstacle(caller, orchestrator, assignment) if is_allowed else "",
            is_contested=orchestrator is not None and _others_came(orchestrator, caller.seen),
        ),
        rule_id,
        reason,
        assignment,
    )


def obstacle(caller: Caller, orchestrator: Orchestrator | None, assignment: Assignment) -> str:
    """Return why an allowed registration is left to an operator all the same; empty for none.

    It is kept in the record's history, which others read than those who see the twin: it does not
    name that. Whoever decides sees its name among the hints, within their reach.
    """
    if not caller.body.client_machine:
        return "It has no name."
    if twin_of(caller.body.client_machine, besides=orchestrator) is not None:
        return "Its name is, or looks like, that of an approved orchestrator."
    credential = caller.seen.credential
    if credential is not None and _is_used_up(credential):
        return f"The credential “{credential.name}” has enrolled {credential.record_limit:,} times."
    return _unassignable(assignment)


def twin_of(name: str, *, besides: Orchestrator | None = None) -> Orchestrator | None:
    """Return an approved record that this name is, looks like, or probably succeeds (T8).

    An existing agent whose certificate has ended renames itself: what follows its name's last
    underscore becomes a stamp.
    """
    approved = Orchestrator.objects.filter(status=Status.APPROVED)
    if besides is not None:
        approved = approved.exclude(pk=besides.pk)
    is_same = Q(name_key=canonical(name)) | Q(name_skeleton=skeleton(name))
    if found := approved.filter(is_same).first():
        return found
    base = without_start_stamp(name)
    if base == name.strip():
        return None
    return approved.filter(
        Q(claim_key=claim_key(name)) | Q(name_key__startswith=f"{canonical(base)}_")
    ).first()


def approve(orchestrator: Orchestrator, caller: Caller, said: Said, *, now: datetime) -> bool:
    """Approve the only one that came forward, in the caller's transaction; False leaves it New."""
    try:
        approvals.approve_by_rule(
            orchestrator.pk,
            said.facts.source.removeprefix("the "),
            seen=caller.seen,
            actor=_actor(caller, said),
            now=now,
            message=_message(said),
        )
    except ActRefused as refused:
        _withheld(orchestrator, caller, said, str(refused))
        return False
    _assign(orchestrator, caller, said)
    return True


def disapprove(orchestrator: Orchestrator, caller: Caller, said: Said, *, now: datetime) -> None:
    """Disapprove a record that nobody else came forward for, in the caller's transaction."""
    approvals.disapprove(
        orchestrator.pk, actor=_actor(caller, said), now=now, message=_message(said)
    )


def note_withheld(orchestrator: Orchestrator, caller: Caller, said: Said) -> None:
    """Note, when the record is made, why an allowed registration waits for an operator."""
    facts = said.facts
    if facts.ruling is Outcome.ALLOW and facts.obstacle:
        _withheld(orchestrator, caller, said, facts.obstacle)


def _assign(orchestrator: Orchestrator, caller: Caller, said: Said) -> None:
    """Give an approved record what goes with the approval; all of it is there (`obstacle`)."""
    actor, gift = _actor(caller, said), said.assignment
    if gift.service_account:
        _assign_account(orchestrator, gift.service_account, actor, message=_message(said))
    group = _group_of(gift)
    if group is not None:
        groups.assign([orchestrator.pk], group, actor=actor)
    if gift.labels:
        labels.set_labels([orchestrator.pk], put=_label_pairs(gift), actor=actor)


def _assign_account(orchestrator: Orchestrator, name: str, actor: Actor, *, message: str) -> None:
    row = Orchestrator.objects.select_related("service_account").get(pk=orchestrator.pk)
    before = row.service_account.username
    if before == name:
        return
    row.service_account = User.objects.get(username=name)
    row.save(update_fields=["service_account"])
    record(
        actor,
        Category.ORCHESTRATOR,
        "service_account_changed",
        object_type="orchestrator",
        object_id=row.pk,
        object_name=row.client_machine,
        orchestrator_id=row.pk,
        before={"service_account": before},
        after={"service_account": name},
        message=message,
    )


def _unassignable(assignment: Assignment) -> str:
    name = assignment.service_account
    if name and not User.objects.filter(username=name, is_service_account=True).exists():
        return f"There is no service account “{name[:100]}” to give it."
    if (assignment.group or assignment.group_id) and _group_of(assignment) is None:
        return f"There is no group {assignment.group[:100] or assignment.group_id} to put it into."
    try:
        if len(_label_pairs(assignment)) > labels.MOST_LABELS:
            return "It would get too many labels."
    except labels.GroupingRefused as refused:
        return str(refused)
    return ""


def _group_of(assignment: Assignment) -> OrchestratorGroup | None:
    if assignment.group_id is not None:
        return OrchestratorGroup.objects.filter(pk=assignment.group_id).first()
    key = canonical(assignment.group)
    return OrchestratorGroup.objects.filter(name_key=key).first() if key else None


def _label_pairs(assignment: Assignment) -> dict[str, str]:
    return dict(labels.parse(f"{key}={value}") for key, value in assignment.labels.items())


def _is_used_up(credential: BootstrapCredential) -> bool:
    """Say whether as many records were approved for a credential as it may have (T29)."""
    claims = EnrollmentClaim.objects.filter(credential=credential)
    return claims[: credential.record_limit].count() >= credential.record_limit


def _is_announced(orchestrator: Orchestrator, seen: Seen) -> bool:
    """Say whether an import announced the certificate that is shown. Its chain is verified."""
    announced = orchestrator.announced_thumbprint
    return bool(announced) and seen.facts is not None and seen.facts.thumbprint_sha1 == announced


def _outvoted(orchestrator: Orchestrator) -> str:
    """Return why who announced a record does not approve it alone, by the policies as they are now;
    empty if he may: who runs the host, or may override the policies everywhere.
    """
    policy = policies(store.load())
    if policy.needed(FIRST_QUESTION) <= 1 and not policy.roles(FIRST_QUESTION):
        return ""
    request = approval_requests.open_of(orchestrator)
    if request is not None and request.caused_by_key.startswith("name:"):
        return ""
    author = User.objects.filter(pk=request.caused_by_user_id or 0).first() if request else None
    may_override = author is not None and holds(author, Permission.APPROVALS_OVERRIDE)
    if may_override and reach(author, Permission.APPROVALS_OVERRIDE).everything:
        return ""
    return "By policy, who imported it does not approve it alone."


def _claimants(orchestrator: Orchestrator, seen: Seen) -> QuerySet[Claimant]:
    rows = Claimant.objects.filter(orchestrator=orchestrator, generation=orchestrator.generation)
    if seen.credential is not None:
        return rows.filter(credential=seen.credential)
    fingerprint = seen.facts.fingerprint_sha256 if seen.facts is not None else ""
    return rows.filter(certificate__fingerprint_sha256=fingerprint)


def _others_came(orchestrator: Orchestrator, seen: Seen) -> bool:
    rows = Claimant.objects.filter(orchestrator=orchestrator, generation=orchestrator.generation)
    return rows.exclude(pk__in=_claimants(orchestrator, seen).values("pk")).exists()


def _withheld(orchestrator: Orchestrator, caller: Caller, said: Said, why: str) -> None:
    record(
        _actor(caller, said),
        Category.ORCHESTRATOR,
        "auto_registration_withheld",
        object_type="orchestrator",
        object_id=orchestrator.pk,
        object_name=orchestrator.client_machine,
        orchestrator_id=orchestrator.pk,
        after={"allowed_by": said.facts.source},
        message=why,
    )


def _actor(caller: Caller, said: Said) -> Actor:
    return Actor(
        name=said.facts.source.removeprefix("the "),
        source_address=caller.address,
        request_id=caller.request_id,
    )


def _message(said: Said) -> str:
    return said.reason or f"Decided by {said.facts.source}."
