"""An outage of the broker in beat's log: a line when it begins, a line when it is over.

Owns which of beat's messages are about the broker. beat tries each scheduled task at its time,
some of them every second, and by itself writes a traceback for each that nobody takes. Nothing is
lost meanwhile: what a task would have done is found in the rows by the next one (I22 in
docs/promises.md).
"""

from __future__ import annotations

import logging
import threading

from celery.beat import SchedulingError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

_log = logging.getLogger("celery.beat")


class OneLineAnOutage(logging.Filter):
    """Lets through the first message about a broker that does not answer, as one line."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._is_out = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written; one about the broker loses its traceback."""
        cause = _broker_error(record)
        if cause is None:
            return True
        with self._lock:
            if self._is_out:
                return False
            self._is_out = True
        record.msg = "The broker takes no tasks (%s); they are tried again, without a line each"
        record.args = (str(cause).rstrip("."),)
        record.exc_info = record.exc_text = None
        return True

    def end(self, **_: object) -> None:
        """Note that the broker has taken a task."""
        with self._lock:
            was_out, self._is_out = self._is_out, False
        if was_out:
            _log.warning("The broker takes tasks again")


def _broker_error(record: logging.LogRecord) -> BaseException | None:
    """Return what the broker, or the way to it, said; None if a record is about anything else."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, SchedulingError):
        cause = error.__context__
    else:
        # While it connects, beat logs the error itself, as the first of the message's values.
        cause = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return cause if isinstance(cause, OperationalError | OSError | RedisError) else None
