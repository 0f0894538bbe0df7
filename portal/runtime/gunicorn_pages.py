"""gunicorn's configuration for the pages' port: plain HTTP, and therefore loopback only.

Pages on another address need TLS: put a proxy in front (``gunicorn_proxied.py``), or give a
certificate in PORTAL_PAGES_CERTIFICATE and PORTAL_PAGES_KEY.
"""

from __future__ import annotations

import os

from portal.runtime import gunicorn_common as common
from portal.runtime.addresses import is_loopback

wsgi_app = "portal.wsgi:application"
bind = os.environ.get(common.BIND_VARIABLE, "127.0.0.1:8000")
certfile = os.environ.get("PORTAL_PAGES_CERTIFICATE") or None
keyfile = os.environ.get("PORTAL_PAGES_KEY") or None
if not certfile and not is_loopback(bind):
    raise SystemExit(
        f"Pages are not served on {bind} without TLS: passwords would cross the network in the "
        "clear. Use a loopback address, set PORTAL_PAGES_CERTIFICATE and PORTAL_PAGES_KEY, or "
        "put a proxy in front."
    )
worker_class = "portal.runtime.gunicorn_worker.PatientWorker"
workers = common.whole_number(common.WORKERS_VARIABLE, 1)
threads = common.whole_number(common.THREADS_VARIABLE, 8)
worker_connections = 500
keepalive = 75
graceful_timeout = common.GRACEFUL_SECONDS
timeout = 60
limit_request_line = common.REQUEST_LINE_BYTES
limit_request_fields = common.HEADER_FIELDS
limit_request_field_size = common.HEADER_BYTES
header_map = "drop"
forwarder_headers = ""
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"
