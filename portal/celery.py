"""The Celery application: broker, limits, where the schedule comes from.

Owns how tasks reach a worker. What tasks do, and when, belongs to ``renewal.tasks``; that nothing
is lost when the broker loses everything belongs to the rows that its sweeps read. A process that
publishes never waits for a broker that is down: at most a fifth of a second, and no retry.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_init,
    setup_logging,
    task_postrun,
    task_prerun,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

LONGEST_TASK_SECONDS = 240
VISIBILITY_SECONDS = 300
"""After this time an unacknowledged task is given to another worker; above the longest task."""

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

app.autodiscover_tasks(["renewal", "orchestrators", "portal.audit"])


def _configure_worker(conf: Any = None, **_: object) -> None:
    conf.broker_transport_options = _CONSUMER


def _keep_django_logging(**_: object) -> None:
    """Django has configured logging from settings; Celery must not do it again."""


def _take_schedule(sender: Any = None, **_: object) -> None:
    """The schedule stands beside the tasks; their models exist only once Django is set up.

    beat reads it before it sends its own signal (beat_init), but after the app is final.
    """
    from portal.audit import tasks as audit_tasks
    from renewal import tasks as renewal_tasks

    sender.conf.beat_schedule = renewal_tasks.BEAT_SCHEDULE | audit_tasks.BEAT_SCHEDULE


def _tell_an_outage_once(**_: object) -> None:
    from portal.runtime.outages import OneLineAnOutage

    outage = OneLineAnOutage()
    logging.getLogger("celery.beat").addFilter(outage)
    after_task_publish.connect(outage.end, weak=False)


def _drop_stale_connections(**_: object) -> None:
    """Do for a task what Django does for a request: close what is unusable or too old."""
    from django.db import close_old_connections

    close_old_connections()


celeryd_init.connect(_configure_worker)
app.on_after_finalize.connect(_take_schedule)
setup_logging.connect(_keep_django_logging)
beat_init.connect(_tell_an_outage_once)
task_prerun.connect(_drop_stale_connections)
task_postrun.connect(_drop_stale_connections)
