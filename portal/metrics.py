"""``/metrics``: numbers of the fleet and of the portal for Prometheus.

Owns names and form (OpenMetrics' ancestor, Prometheus text 0.0.4), and who may read them; what is
counted is `renewal/selectors/measures.py`'s. Read from the rows, so every process answers the
same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from rest_framework.exceptions import AuthenticationFailed

from portal import health
from portal.access.authentication import BearerAuthentication
from portal.access.catalogue import Permission, entry_for
from portal.access.reach import reach
from portal.audit.refusals import note
from portal.audit.sealing import unsealed_since
from portal.audit.trail import Actor
from portal.edge.request_id import current_request_id
from portal.preferences import store
from renewal.alarms import alarms
from renewal.census import last_begun
from renewal.configuration import by_settings, periods
from renewal.rules.alarms import Kind
from renewal.selectors import measures

KEPT_SECONDS = 15
"""However often somebody asks, the fleet is counted no oftener in one process."""
_KEPT = "metrics"
NEEDED = Permission.AGENTS_READ


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Every number, for who may read all orchestrators: by API token, or signed in to the pages."""
    try:
        user = _caller(request)
    except AuthenticationFailed as failed:
        return _refused(401, str(failed.detail))
    if user is None:
        return _refused(401, "An API token is needed.")
    if not reach(user, NEEDED).everything:
        why = f"Permission {entry_for(NEEDED).access_string} for all orchestrators is missing."
        note(
            Actor(
                name=user.get_username(),
                user_id=user.pk,
                source_address=request.META.get("REMOTE_ADDR", ""),
                request_id=current_request_id(),
            ),
            "metrics_refused",
            object_type="permission",
            object_id=f"{user.pk}:metrics",
            message=why,
            now=timezone.now(),
        )
        return _refused(403, why)
    text = cache.get(_KEPT)
    if text is None:
        text = exposition(now=timezone.now())
        cache.set(_KEPT, text, KEPT_SECONDS)
    response = HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)
    response["Cache-Control"] = "no-store"
    return response


def exposition(*, now: datetime) -> bytes:
    """Return the text of one reading."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(now))
    return generate_latest(registry)


class _Reading:
    """Prometheus' collector interface over one reading of the rows."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        preferences = store.load()
        seen = measures.read(periods(preferences), now=self._now)
        yield _labelled(
            "portal_orchestrators", "Orchestrators by renewal state.", "state", seen.by_state
        )
        yield _labelled(
            "portal_orchestrators_marked", "Orchestrators by mark.", "mark", seen.by_mark
        )
        yield _labelled(
            "portal_certificates_expiring",
            "Approved orchestrators whose certificate ends within so many days.",
            "within_days",
            seen.expiring,
        )
        if seen.next_expiry:
            yield GaugeMetricFamily(
                "portal_next_expiration_timestamp_seconds",
                "When the first approved orchestrator is locked out if nothing happens.",
                seen.next_expiry.timestamp(),
            )
        yield _labelled(
            "portal_enrollments_open", "Enrollments not finished.", "state", seen.open_enrollments
        )
        oldest = seen.oldest_open_enrollment
        yield GaugeMetricFamily(
            "portal_enrollment_oldest_open_seconds",
            "Age of the oldest enrollment that is not finished; 0 without one.",
            (self._now - oldest).total_seconds() if oldest else 0,
        )
        yield GaugeMetricFamily(
            "portal_enrollments_failed_24h",
            "Enrollments that ended without a certificate within 24 hours.",
            seen.failed_enrollments,
        )
        yield GaugeMetricFamily(
            "portal_orchestrators_csr_refused_24h",
            "Orchestrators whose CSR was refused within 24 hours before any CA was asked.",
            seen.refused_csrs,
        )
        yield _labelled(
            "portal_revocations_open", "Revocations not finished.", "state", seen.open_revocations
        )
        yield GaugeMetricFamily(
            "portal_revocations_overdue",
            "Revocations that a CA refused or has not carried out in time.",
            seen.overdue_revocations,
        )
        yield from _authorities(seen.authorities, self._now)
        unsealed = unsealed_since(now=self._now)
        yield GaugeMetricFamily(
            "portal_audit_unsealed_seconds",
            "For how long rows of the audit log have waited for their seal; 0 without any.",
            max(0.0, (self._now - unsealed).total_seconds()) if unsealed else 0,
        )
        raised = Counter(
            alarm.kind for alarm in alarms(last_begun(), by_settings(preferences), now=self._now)
        )
        yield _labelled(
            "portal_alarms",
            "What somebody has to look after at the portal itself.",
            "alarm",
            {kind: raised[kind] for kind in Kind},
        )
        yield GaugeMetricFamily(
            "portal_broker_up", "Whether the broker answers.", float(health.broker_answers())
        )


def _authorities(authorities: list[Any], now: datetime) -> Iterator[GaugeMetricFamily]:
    yield _labelled(
        "portal_authority_failures_in_a_row",
        "Calls of a CA that failed since its last answer.",
        "authority",
        {authority.name: authority.failures_in_a_row for authority in authorities},
    )
    yield _labelled(
        "portal_authority_left_alone",
        "Whether a CA is left alone for a while after failures.",
        "authority",
        {a.name: bool(a.resume_at and a.resume_at > now) for a in authorities},
    )
    yield _labelled(
        "portal_authority_last_answer_seconds",
        "How long the last answer of a CA took.",
        "authority",
        {a.name: a.last_answer_seconds for a in authorities if a.last_answer_seconds is not None},
    )


def _labelled(name: str, text: str, label: str, values: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], float(value))
    return family


def _caller(request: HttpRequest) -> Any:
    """Return the user, or None. Raises AuthenticationFailed for a token that does not count."""
    if request.META.get("HTTP_AUTHORIZATION"):
        found = BearerAuthentication().authenticate(request)
        return found[0] if found else None
    signed_in = request.user.is_authenticated and not request.user.is_service_account
    return request.user if signed_in else None


def _refused(status: int, why: str) -> HttpResponse:
    response = HttpResponse(f"{why}\n", status=status, content_type="text/plain; charset=utf-8")
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return response
