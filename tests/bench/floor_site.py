"""The floor: a bare Django view with one SELECT and one UPDATE, and nothing else.

Served by the same gunicorn configuration, TLS and database as the portal. Owns nothing of it.
"""

from __future__ import annotations

import environ
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from portal.conf import load

CONFIG = load()
SECRET_KEY = "floor"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
MIDDLEWARE: list[str] = []
INSTALLED_APPS: list[str] = []
USE_TZ = True
LOGGING_CONFIG = None
DATABASES = {"default": environ.Env.db_url_config(CONFIG.database_url)}
DATABASES["default"]["CONN_MAX_AGE"] = 600

TABLE = "CREATE TABLE IF NOT EXISTS bench_floor (id int PRIMARY KEY, name text, seen timestamptz)"
ROWS = "INSERT INTO bench_floor SELECT n, 'row ' || n, now() FROM generate_series(0, 999) AS n"


@csrf_exempt
def select_and_update(request: HttpRequest) -> HttpResponse:
    """One SELECT, one UPDATE, a small JSON answer."""
    row = len(request.body) % 1000
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name, seen FROM bench_floor WHERE id = %s", [row])
        found = cursor.fetchone()
        cursor.execute("UPDATE bench_floor SET seen = now() WHERE id = %s", [row])
    return JsonResponse({"name": found[1] if found else None})


urlpatterns = [path("livez", select_and_update), re_path("", select_and_update)]
