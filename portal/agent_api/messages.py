"""Reading bodies and callers of the agent protocol, and mapping faults to replies.

Owns the limits before parsing and the HTTP statuses of this face: 400, 401, 413 and 503 only
where no decision can be made; everything else is HTTP 200 with a Result, because existing agents
never read the body of a status >= 300 and send the same again.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from orchestrators import credentials
from orchestrators.models import BootstrapCredential
from orchestrators.protocol.answers import message_text, problem
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import MessageError, PrivateKeySent
from orchestrators.protocol.terms import ResultStatus
from portal.edge.client_certificate import presented_certificate
from renewal.identity import trust
from renewal.x509.certificates import CertificateFacts, CertificateUnreadable, read_certificate
from renewal.x509.paths import Verdict

log = logging.getLogger(__name__)

REGISTER_LIMIT = 64 * 1024
SESSION_LIMIT = 16 * 1024
COMPLETION_LIMIT = 2_400_000
_RETRY_AFTER_SECONDS = "30"

_parsed = functools.lru_cache(maxsize=20_000)(read_certificate)


class Refused(Exception):
    """Ends a call before any decision; carries HTTP status and code."""

    def __init__(self, http_status: int, code: Code, detail: str = "") -> None:
        self.http_status = http_status
        self.code = code
        self.detail = detail
        super().__init__(code.value)


def reply(body: dict[str, Any], status: int = 200) -> JsonResponse:
    """Return a JSON reply that no cache keeps."""
    response = JsonResponse(body, status=status)
    response["Cache-Control"] = "no-store"
    return response


def refusal(http_status: int, code: Code, detail: str = "") -> JsonResponse:
    """Return a reply outside of any decision: Result for agents, Message for everybody else."""
    return reply(
        {
            "Result": problem(ResultStatus.ERROR, code, detail),
            "Session": None,
            "SessionValid": False,
            "Message": message_text(code, detail),
            "ErrorCode": code.value,
        },
        status=http_status,
    )


def agent_view(view: Callable[[HttpRequest], JsonResponse]) -> Callable[..., JsonResponse]:
    """Wrap a view of the agent protocol: POST only, every fault a readable reply, never a 5xx
    but 503 for a database that is down.
    """

    @csrf_exempt
    @functools.wraps(view)
    def wrapped(request: HttpRequest) -> JsonResponse:
        if request.method != "POST":
            response = refusal(405, Code.METHOD_NOT_ALLOWED)
            response["Allow"] = "POST"
            return response
        try:
            return view(request)
        except Refused as refused:
            response = refusal(refused.http_status, refused.code, refused.detail)
            if refused.http_status == 401:
                response["WWW-Authenticate"] = 'Basic realm="KeyfactorAgents"'
            return response
        except PrivateKeySent as sent:
            return refusal(200, Code.KEY_IN_BODY, f"{sent}.")
        except MessageError as error:
            # It could be parsed, and its sender has proven who it is: a readable refusal.
            return refusal(200, Code.BODY_INVALID, str(error))
        except (OperationalError, InterfaceError):
            log.exception("the database does not answer")
            response = refusal(503, Code.DATABASE_DOWN)
            response["Retry-After"] = _RETRY_AFTER_SECONDS
            return response
        except Exception:
            # What could not be decided is refused (I20); the log has the traceback.
            log.exception("a call of the agent protocol could not be decided")
            return refusal(200, Code.DECISION_FAILED)

    return wrapped


def read_body(request: HttpRequest, limit: int) -> dict[str, Any]:
    """Return the decoded JSON object. Raises Refused with 413 or 400."""
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise Refused(400, Code.BODY_INVALID) from None
    if announced > limit:
        raise Refused(413, Code.BODY_TOO_LARGE, f"The limit is {limit} bytes.")
    raw = request.read(limit + 1)
    if len(raw) > limit:
        raise Refused(413, Code.BODY_TOO_LARGE, f"The limit is {limit} bytes.")
    try:
        body = json.loads(raw, object_pairs_hook=_first_wins, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, Code.BODY_INVALID) from None
    if not isinstance(body, dict):
        raise Refused(400, Code.BODY_INVALID)
    return body


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def basic_of(request: HttpRequest) -> tuple[str, str] | None:
    """Return user name and password of a Basic header; None for none, empty or unreadable."""
    scheme, _, encoded = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        return None
    if not colon or not (username or password) or "\0" in username:
        return None
    return username, password


@dataclass(frozen=True)
class CallerCertificate:
    """A client certificate whose bytes can be read; whether it is trusted is asked apart."""

    parsed: CertificateFacts

    def is_suitable(self, *, revision: int, now: datetime) -> bool:
        """Say whether it is for client authentication. Raises Refused with 401 unless it chains to
        a trusted issuer: a stranger's certificate proves nothing.
        """
        found = trust.verdict(
            self.parsed.der, self.parsed.fingerprint_sha256, revision=revision, now=now
        )
        if found in (Verdict.NOT_CLIENT_AUTH, Verdict.IS_CA):
            return False
        if found is not Verdict.CHAINS:
            raise Refused(
                401, Code.UNAUTHENTICATED, "The certificate does not chain to a trusted issuer."
            )
        return True

    def check(self, *, revision: int, now: datetime) -> None:
        """Raise Refused unless it chains to a trusted issuer and is for client authentication.

        An unsuitable one of a trusted issuer gets a readable refusal (200).
        """
        if not self.is_suitable(revision=revision, now=now):
            raise Refused(200, Code.CERTIFICATE_UNSUITABLE)


def certificate_of(request: HttpRequest) -> CallerCertificate | None:
    """Return the client certificate of a call, or None. Raises Refused."""
    presented = presented_certificate(request)
    if presented.problem is not None:
        raise Refused(400, presented.problem)
    if presented.der is None:
        return None
    try:
        return CallerCertificate(_parsed(presented.der))
    except CertificateUnreadable:
        raise Refused(401, Code.UNAUTHENTICATED, "The certificate cannot be read.") from None


def credential_of(request: HttpRequest) -> BootstrapCredential:
    """Return the bootstrap credential of a Basic header. Raises Refused with 401."""
    basic = basic_of(request)
    credential = credentials.find_basic(*basic) if basic else None
    if credential is None:
        raise Refused(401, Code.UNAUTHENTICATED)
    return credential


def address_of(request: HttpRequest) -> str:
    """Return the caller's address, as the TLS edge has settled it."""
    return str(getattr(request, "client_address", "") or request.META.get("REMOTE_ADDR", ""))
