"""The Celery application: broker, limits, schedule.

Owns how tasks reach a worker. What tasks do belongs to ``renewal.tasks``; that nothing is lost
when the broker loses everything belongs to the rows that the sweeps of this schedule read. The
web process publishes at most a hint and never waits for a broker that is down.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, task_postrun, task_prerun
from kombu.exceptions import OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

logger = logging.getLogger(__name__)

LONGEST_TASK_SECONDS = 240
VISIBILITY_SECONDS = 300
"""After this time an unacknowledged task is given to another worker; above the longest task."""
_PUBLISH_PAUSE_SECONDS = 2.0

_REDELIVERY = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_mutex_expire": VISIBILITY_SECONDS,
    # kombu looks for lost work each interval × throttle seconds; its defaults make that 100 s.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}
_PUBLISHER = {
    **_REDELIVERY,
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "socket_connect_timeout": 0.1,
    "socket_timeout": 0.15,
    "retry_on_timeout": False,
}
# A worker waits on its socket by design, and waits for a broker that comes back.
_CONSUMER = {**_REDELIVERY, "socket_connect_timeout": 5, "socket_keepalive": True}

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    result_serializer="json",
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # The pool of threads cannot be interrupted; prefork honours both.
    task_time_limit=LONGEST_TASK_SECONDS + 30,
    task_soft_time_limit=LONGEST_TASK_SECONDS,
    task_publish_retry=False,
    task_default_queue="portal",
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options=_PUBLISHER,
    enable_utc=True,
    timezone="UTC",
)
# Celery's Django fixup closes the connection around every task unless told to keep it.
app.conf["CELERY_DB_REUSE_MAX"] = 10**9

app.conf.beat_schedule = {
    "sweep-enrollments": {"task": "renewal.tasks.sweep_enrollments", "schedule": 10},
    "sweep-revocations": {"task": "renewal.tasks.sweep_revocations", "schedule": 30},
    "sweep-unused": {"task": "renewal.tasks.sweep_unused", "schedule": 300},
    "publish-crls": {"task": "renewal.tasks.publish_crls", "schedule": 600},
    "renew-own-certificates": {"task": "renewal.tasks.renew_own_certificates", "schedule": 3600},
    "refresh-trust-anchors": {"task": "renewal.tasks.refresh_trust_anchors", "schedule": 60},
}
for _entry in app.conf.beat_schedule.values():
    # A tick that nobody took by the next one is worth nothing.
    _entry["options"] = {"expires": max(_entry["schedule"], 30)}

app.autodiscover_tasks(["renewal", "orchestrators"])


def _configure_worker(conf: Any = None, **_: object) -> None:
    conf.broker_transport_options = _CONSUMER


def _keep_django_logging(**_: object) -> None:
    """Django has configured logging from settings; Celery must not do it again."""


def _drop_stale_connections(**_: object) -> None:
    """Do for a task what Django does for a request: close what is unusable or too old."""
    from django.db import close_old_connections

    close_old_connections()


celeryd_init.connect(_configure_worker)
setup_logging.connect(_keep_django_logging)
task_prerun.connect(_drop_stale_connections)
task_postrun.connect(_drop_stale_connections)


class _Publisher:
    """Sends hints to the broker; after a failure it keeps quiet for a moment.

    Without the pause each request of a busy portal would wait its share of a second for a
    broker that is known to be down.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def publish(self, task_name: str, *args: Any, countdown: float | None = None) -> bool:
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        try:
            app.send_task(task_name, args=args, countdown=countdown, ignore_result=True)
        except (OperationalError, OSError) as error:
            self._quiet_until = time.monotonic() + _PUBLISH_PAUSE_SECONDS
            logger.warning("The broker does not answer; the sweep will pick the work up: %s", error)
            return False
        return True


_publisher = _Publisher()


def publish(task_name: str, *args: Any, countdown: float | None = None) -> bool:
    """Ask a worker to run the task soon; return whether the broker took the message.

    Never raises for a broker that is down and never takes longer than a fifth of a second: the
    row that the task would read is committed, and the sweep finds it.
    """
    return _publisher.publish(task_name, *args, countdown=countdown)
