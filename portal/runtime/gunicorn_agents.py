"""gunicorn's configuration for the agents' port: this process ends mutual TLS itself.

Used by the supervisor and, with PORTAL_EDGE=agents and PORTAL_CLIENT_CERTIFICATE_SOURCE=socket,
by any deployment without a proxy in front.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

from portal import conf
from portal.runtime import gunicorn_common as common
from portal.runtime.tls import ServerContext

_config = conf.load()
_context = ServerContext(
    _config.server_certificate_file, _config.server_key_file, _config.anchors_file
)

wsgi_app = "portal.wsgi:application"
bind = os.environ.get(common.BIND_VARIABLE, "127.0.0.1:8443")
# Loaded once and shared by the workers.
preload_app = True
worker_class = "portal.runtime.gunicorn_worker.PatientWorker"
workers = common.whole_number(common.WORKERS_VARIABLE, 2)
threads = common.whole_number(common.THREADS_VARIABLE, 16)
worker_connections = 2000
keepalive = common.KEEP_ALIVE_SECONDS
graceful_timeout = common.GRACEFUL_SECONDS
timeout = 60
limit_request_line = common.REQUEST_LINE_BYTES
limit_request_fields = common.HEADER_FIELDS
limit_request_field_size = common.HEADER_BYTES
# A name with an underscore would reach the application as its twin with a dash.
header_map = "drop"
forwarder_headers = ""
# Nobody in front of this port may say which scheme or address the client has.
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"
certfile = str(_config.server_certificate_file)
keyfile = str(_config.server_key_file)


def ssl_context(config: Any, default_factory: Callable[[], SSLContext]) -> SSLContext:
    """gunicorn's hook: the context for one new connection."""
    return _context.current()
