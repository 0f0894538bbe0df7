"""Liveness, readiness and the revocation lists: what machines ask without signing in.

Ready means that the database answers and its clock is near this host's; a CA or broker that is
down is a degradation and shown, not unreadiness.
"""

from __future__ import annotations

from datetime import datetime

import redis
from django.db import DatabaseError, connection
from django.db.models import Value
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.access.models import User
from portal.preferences import store
from renewal import issuers
from renewal.alarms import alarms
from renewal.ca.base import CAError
from renewal.ca.local import LocalCA
from renewal.census import last_begun
from renewal.configuration import by_settings
from renewal.dispatch import redis_url
from renewal.models import CertificateAuthority, RevocationList

MOST_CLOCK_OFFSET_SECONDS = 30


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers and the clocks agree; degradations are named."""
    try:
        offset = clock_offset_seconds()
        failing = list(
            CertificateAuthority.objects.filter(enabled=True, failures_in_a_row__gt=0)
            .order_by("name")
            .values_list("name", flat=True)
        )
        standard = by_settings(store.load())
        raised = {alarm.kind for alarm in alarms(last_begun(), standard, now=timezone.now())}
    except DatabaseError:
        return JsonResponse({"status": "database down"}, status=503)
    ready = abs(offset) <= MOST_CLOCK_OFFSET_SECONDS
    return JsonResponse(
        {
            "status": "ok" if ready else "clocks differ",
            "clock_offset_seconds": round(offset, 3),
            "degraded": {
                "broker": not broker_answers(),
                "certificate_authorities": failing,
                "alarms": sorted(raised),
            },
        },
        status=200 if ready else 503,
    )


def clock_offset_seconds() -> float:
    """Return the database's clock minus this process's."""
    if connection.vendor == "sqlite":
        # An embedded database has no clock of its own.
        User.objects.exists()
        return 0.0
    before = timezone.now()
    row = User.objects.annotate(clock=Now(), one=Value(1)).values_list("clock", flat=True).first()
    after = timezone.now()
    theirs: datetime = row or before
    return (theirs - (before + (after - before) / 2)).total_seconds()


def broker_answers() -> bool:
    """Say whether the broker answers within a fifth of a second."""
    try:
        client = redis.Redis.from_url(redis_url(), socket_connect_timeout=0.2, socket_timeout=0.2)
        return bool(client.ping())
    except redis.RedisError:
        return False


@require_safe
def revocation_list(request: HttpRequest, name: str) -> HttpResponse:
    """The newest CRL of a CA of this portal (RFC 2585 §4.2)."""
    found = RevocationList.objects.filter(authority__name=name).first()
    if found is None:
        raise Http404
    response = HttpResponse(bytes(found.der), content_type="application/pkix-crl")
    response["Cache-Control"] = "max-age=60"
    return response


@require_safe
def issuing_certificate(request: HttpRequest, name: str) -> HttpResponse:
    """The issuing certificate of a CA of this portal, for caIssuers (RFC 5280 §4.2.2.1)."""
    authority = CertificateAuthority.objects.filter(name=name).first()
    try:
        backend = issuers.backend(authority) if authority else None
        if not isinstance(backend, LocalCA):
            raise Http404
        der = backend.issuing_certificate().der
    except CAError:
        raise Http404 from None
    response = HttpResponse(der, content_type="application/pkix-cert")
    response["Cache-Control"] = "max-age=3600"
    return response
