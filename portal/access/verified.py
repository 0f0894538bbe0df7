"""Passwords that were right a moment ago, so that Basic does not cost a slow hash with each call.

Owns a bounded table in this process's memory, keyed by an HMAC under the portal's secret of the
account, the password and the *stored* hash of it: a new password, also one set by another process,
is another key. That the account is active and not locked is asked for each call by
`authentication.py`. What the table means to somebody who can read this process's memory is in
docs/threat-model.md.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from threading import Lock

from django.conf import settings

KEPT_SECONDS = 300.0
MOST_KEPT = 1000

_lock = Lock()
_kept: OrderedDict[bytes, float] = OrderedDict()


def is_known(stored_hash: str, user_pk: int, password: str) -> bool:
    """Say whether this password was found right for this stored hash within KEPT_SECONDS."""
    key = _key(stored_hash, user_pk, password)
    with _lock:
        until = _kept.get(key, 0.0)
        if until > time.monotonic():
            return True
        _kept.pop(key, None)
    return False


def remember(stored_hash: str, user_pk: int, password: str) -> None:
    """Keep that a password is right; the oldest entry gives way."""
    key = _key(stored_hash, user_pk, password)
    with _lock:
        _kept[key] = time.monotonic() + KEPT_SECONDS
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)


def forget_all() -> None:
    """Empty the table."""
    with _lock:
        _kept.clear()


def _key(stored_hash: str, user_pk: int, password: str) -> bytes:
    secret = hmac.digest(settings.SECRET_KEY.encode(), b"verified passwords", hashlib.sha256)
    told = f"{user_pk}\0{stored_hash}\0{password}"
    return hmac.digest(secret, told.encode("utf-8", "surrogatepass"), hashlib.sha256)
