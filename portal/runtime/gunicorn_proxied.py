"""gunicorn's configuration behind nginx: one unix socket that only the proxy may open.

Used in production; ``deploy/nginx.conf`` is the other half. nginx waits for slow clients, so
a thread for each connection does.
"""

from __future__ import annotations

import os

from portal import conf
from portal.runtime import gunicorn_common as common

wsgi_app = "portal.wsgi:application"
bind = os.environ.get(common.BIND_VARIABLE, f"unix:{conf.load().run_dir / 'web.sock'}")
umask = 0o117
# Loaded once and shared by the workers.
preload_app = True
worker_class = "portal.runtime.gunicorn_worker.QueueingWorker"
workers = common.whole_number(common.WORKERS_VARIABLE, 2)
threads = common.whole_number(common.THREADS_VARIABLE, 16)
# Longer than nginx keeps its idle upstream connections, so that nginx is the one to close them.
keepalive = 120
graceful_timeout = common.GRACEFUL_SECONDS
# A worker that waits for a slow CA is alive: gthread's heartbeat does not depend on its threads.
timeout = 60
limit_request_line = common.REQUEST_LINE_BYTES
limit_request_fields = common.HEADER_FIELDS
limit_request_field_size = common.HEADER_BYTES
header_map = "drop"
forwarder_headers = ""
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"
