"""The map of the three faces; each owns its own paths."""

from django.urls import include, path

from portal import health, metrics
from portal.edge.paths import AGENTS_PREFIX, API_PREFIX
from portal.rest.status import UnknownEndpoint

handler400 = "portal.pages.failures.not_understood"
handler500 = "portal.pages.failures.failed"

urlpatterns = [
    path(f"{AGENTS_PREFIX.lstrip('/')}/", include("portal.agent_api.urls")),
    path(f"{API_PREFIX.lstrip('/')}/", include("portal.rest.urls")),
    path(API_PREFIX.lstrip("/"), UnknownEndpoint.as_view()),
    path("crl/<str:name>.crl", health.revocation_list),
    path("crl/<str:name>.cer", health.issuing_certificate),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("", include("portal.pages.urls")),
]
