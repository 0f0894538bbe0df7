"""The agent protocol's endpoints: Session/Register, Session/Heartbeat and the FetchLogs job.

Owns nothing but the way from a request to a reply. Formats: `orchestrators/protocol`; decisions:
`renewal/rules`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from orchestrators import credentials, jobs
from orchestrators.models import Orchestrator
from orchestrators.protocol.answers import heartbeat_reply, problem, success
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import (
    HeartbeatRequest,
    JobCompletion,
    JobRequest,
    MessageError,
    RegisterRequest,
)
from orchestrators.protocol.terms import ResultStatus
from portal.agent_api.messages import (
    COMPLETION_LIMIT,
    REGISTER_LIMIT,
    SESSION_LIMIT,
    CallerCertificate,
    Refused,
    address_of,
    agent_view,
    basic_of,
    certificate_of,
    credential_of,
    read_body,
    refusal,
    reply,
)
from portal.agent_api.registration import Registration
from portal.audit import refusals
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from portal.edge import queueing
from portal.edge.request_id import current_request_id
from portal.preferences import store
from renewal import gather, in_session
from renewal.identity import standings
from renewal.in_session import SessionFacts
from renewal.models import Certificate
from renewal.rules.limits import is_overloaded

_TRIES = 3
"""Two first calls at once may both insert the same row; the second then finds it."""
_FRESH_SHARE = 0.9
"""last_seen is written at most once per heartbeat interval."""


@agent_view
def register(request: HttpRequest) -> JsonResponse:
    """POST /Session/Register."""
    raw = read_body(request, REGISTER_LIMIT)
    caller = certificate_of(request)
    credential = credential_of(request) if caller is None else None
    now = timezone.now()
    preferences = store.load()
    if caller is not None:
        if not caller.is_suitable(revision=preferences.number("TrustAnchorsRevision"), now=now):
            _audit_unsuitable(request, caller.parsed.thumbprint_sha1, now=now)
            return refusal(200, Code.CERTIFICATE_UNSUITABLE)
        _audit_ignored_basic(request, caller.parsed.thumbprint_sha1)
    body = RegisterRequest.parse(raw)
    if is_overloaded(queueing.waited()) and not gather.is_first_use(
        caller.parsed if caller else None
    ):
        # Cheap, so that the line gets shorter; the first use of a new certificate is never sent
        # away: its orchestrator has no other any more.
        return refusal(200, Code.BUSY)
    registration = Registration(
        body=body,
        address=address_of(request),
        request_id=current_request_id(),
        preferences=preferences,
        now=now,
        parsed=caller.parsed if caller else None,
        credential=credential,
    )
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            answer, status = registration.answer()
        except IntegrityError:
            if last:
                return refusal(200, Code.BUSY)
            continue
        return reply(answer, status=status)
    return refusal(200, Code.BUSY)


@agent_view
def heartbeat(request: HttpRequest) -> JsonResponse:
    """POST /Session/Heartbeat: one query, and one write when last_seen is stale."""
    raw = read_body(request, SESSION_LIMIT)
    now = timezone.now()
    caller = certificate_of(request)
    if caller is None:
        # A credential holds no session; without either it is nobody.
        credential_of(request)
        return _no_session()
    session = in_session.for_session(caller.parsed.fingerprint_sha256, _token_in(raw))
    revision = (
        session.trust_revision
        if session is not None
        else store.load().number("TrustAnchorsRevision")
    )
    is_suitable = caller.is_suitable(revision=revision, now=now)
    if not is_suitable or session is None or not session.is_authentic(now):
        return _no_session()
    is_live = session.is_live(now)
    if is_live:
        _note_heartbeat(session, request, now=now)
    return reply(
        heartbeat_reply(
            success(),
            heartbeat_minutes=session.heartbeat_minutes or store.load().heartbeat_minutes,
            session_valid=is_live,
        )
    )


@agent_view
def fetch_logs_configuration(request: HttpRequest) -> JsonResponse:
    """POST /Jobs/FetchLogs/Configuration."""
    raw, caller = read_body(request, SESSION_LIMIT), _caller_of(request)
    caller.check(revision=store.load().number("TrustAnchorsRevision"), now=timezone.now())
    body = JobRequest.parse(raw)
    orchestrator = _in_session(caller, body.session_token)
    job = jobs.start(orchestrator, body.job_id, now=timezone.now()) if orchestrator else None
    if orchestrator is None or job is None:
        code = Code.JOB_UNKNOWN if orchestrator else Code.SESSION_INVALID
        return reply(
            {
                "AuditId": 0,
                "MaxCharactersToReturn": 0,
                "JobCancelled": True,
                "Result": problem(ResultStatus.ERROR, code),
            }
        )
    return reply(
        {
            "AuditId": job.pk,
            "MaxCharactersToReturn": store.load().number("FetchLogsMaxCharacters"),
            "JobCancelled": False,
            "Result": success(),
        }
    )


@agent_view
def fetch_logs_completion(request: HttpRequest) -> JsonResponse:
    """POST /Jobs/FetchLogs/Completion."""
    raw, caller = read_body(request, COMPLETION_LIMIT), _caller_of(request)
    caller.check(revision=store.load().number("TrustAnchorsRevision"), now=timezone.now())
    body = JobCompletion.parse(raw)
    orchestrator = _in_session(caller, body.session_token)
    if orchestrator is None:
        return reply({"Result": problem(ResultStatus.ERROR, Code.SESSION_INVALID)})
    done = jobs.complete(
        orchestrator,
        body,
        most_characters=store.load().number("FetchLogsMaxCharacters"),
        now=timezone.now(),
    )
    if not done:
        return reply({"Result": problem(ResultStatus.ERROR, Code.JOB_UNKNOWN)})
    return reply({"Result": success()})


@csrf_exempt
def unknown_endpoint(request: HttpRequest) -> JsonResponse:
    """Anything else under the protocol's prefix."""
    return refusal(404, Code.ENDPOINT_UNKNOWN)


def _caller_of(request: HttpRequest) -> CallerCertificate:
    """Return the certificate of a call that needs one. Raises Refused with 401."""
    caller = certificate_of(request)
    if caller is None:
        raise Refused(401, Code.UNAUTHENTICATED)
    return caller


def _in_session(caller: CallerCertificate, token: str) -> Orchestrator | None:
    """Return the orchestrator whose live session this is; None for every other caller."""
    now = timezone.now()
    session = in_session.for_session(caller.parsed.fingerprint_sha256, token)
    if session is None or not session.is_authentic(now) or not session.is_live(now):
        return None
    return Orchestrator.objects.filter(pk=session.orchestrator_id).first()


def _token_in(raw: dict[str, Any]) -> str:
    """Return a heartbeat's token; what cannot be one is none: the answer is Register again."""
    try:
        return HeartbeatRequest.parse(raw).session_token
    except MessageError:
        return ""


def _no_session() -> JsonResponse:
    return reply(
        heartbeat_reply(
            success(), heartbeat_minutes=store.load().heartbeat_minutes, session_valid=False
        )
    )


def _note_heartbeat(session: SessionFacts, request: HttpRequest, *, now: datetime) -> None:
    if session.clears_flag():
        _clear_flag(session, request)
    interval = timedelta(minutes=session.heartbeat_minutes or 1) * _FRESH_SHARE
    stale = session.last_seen is None or now - session.last_seen >= interval
    if stale or session.last_thumbprint_used != session.thumbprint:
        in_session.note_contact(session, address=address_of(request), now=now)


def _clear_flag(session: SessionFacts, request: HttpRequest) -> None:
    certificate = Certificate.objects.select_related("orchestrator").get(pk=session.certificate_id)
    orchestrator = certificate.orchestrator
    if orchestrator is None:
        return
    actor = Actor(
        name=f"orchestrator {orchestrator.client_machine}",
        source_address=address_of(request),
        request_id=current_request_id(),
    )
    with transaction.atomic():
        standings.clear_flag(orchestrator, certificate, actor=actor)


def _audit_unsuitable(request: HttpRequest, thumbprint: str, *, now: datetime) -> None:
    refusals.note(
        Actor(f"certificate {thumbprint}", source_address=address_of(request)),
        f"refused_{Code.CERTIFICATE_UNSUITABLE.value}",
        object_type="refusal",
        object_id=thumbprint,
        message="The certificate is no client certificate.",
        now=now,
    )


def _audit_ignored_basic(request: HttpRequest, thumbprint: str) -> None:
    """A Basic header beside a certificate is ignored; one that is no credential is audited, once
    a day for a certificate.
    """
    basic = basic_of(request)
    if basic is None or credentials.find_basic(*basic) is not None:
        return
    since = timezone.now() - timedelta(days=1)
    if not AuditEntry.objects.filter(
        object_type="refusal", object_id=thumbprint, action="basic_ignored", at__gt=since
    ).exists():
        record(
            Actor(name=basic[0][:100], source_address=address_of(request)),
            Category.REFUSAL,
            "basic_ignored",
            object_type="refusal",
            object_id=thumbprint,
            message="A wrong Basic header came beside a valid certificate.",
        )
