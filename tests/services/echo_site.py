"""A site that says what the edge saw: Django settings and its one view.

Owns nothing of the portal's own views; the edge's middleware and functions are the real ones.
Servers under test load it by DJANGO_SETTINGS_MODULE=tests.services.echo_site.
"""

from __future__ import annotations

import hashlib
import os
import time

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path

from portal.conf import load
from portal.edge import queueing
from portal.edge.client_certificate import presented_certificate
from portal.runtime import gunicorn_worker

ENDLESS_PATIENCE = "ECHO_ENDLESS_PATIENCE"
"""Environment variable: the agents' port waits an hour where it would wait seconds."""

if os.environ.get(ENDLESS_PATIENCE):
    gunicorn_worker.ARRIVAL_SECONDS = 3600.0
    gunicorn_worker.BLOCKED_SECONDS = 3600.0
    gunicorn_worker.LINGER_SECONDS = 3600.0

CONFIG = load()
SECRET_KEY = "echo"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
USE_TZ = True
MIDDLEWARE = [
    "portal.edge.proxy.ProxyMiddleware",
    "portal.edge.request_id.RequestIdMiddleware",
    "portal.edge.faces.FaceMiddleware",
]
LOGGING_CONFIG = None


def echo(request: HttpRequest) -> HttpResponse:
    """Answer with what reached the application."""
    presented = presented_certificate(request)
    if request.path_info == "/slow":
        # Keeps the only thread busy while another request stands in line.
        time.sleep(1)
    return JsonResponse(
        {
            "certificate": hashlib.sha256(presented.der).hexdigest() if presented.der else None,
            "problem": presented.problem,
            "path": request.path_info,
            "method": request.method,
            "body": request.body.decode("latin-1"),
            "address": request.META.get("REMOTE_ADDR"),
            "scheme": request.scheme,
            "host": request.get_host(),
            "cookies": dict(request.COOKIES),
            "cookies_allowed": request.cookies_allowed,  # type: ignore[attr-defined]
            "from_proxy": request.from_proxy,  # type: ignore[attr-defined]
            "headers": sorted(name for name in request.META if name.startswith("HTTP_")),
            "process": os.getpid(),
            "waited": queueing.waited().total_seconds(),
        },
        status=400 if presented.problem else 200,
    )


urlpatterns = [path("livez", echo), re_path("", echo)]
