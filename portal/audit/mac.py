"""The MAC of each audit row (HMAC-SHA-256, RFC 2104): without the key nobody writes a right one.

Owns the key, which is derived from the portal's secret and never in the database, and the text of a
MAC. The row's number is not known before it is written; a random mark stands for it, so that a row
which was copied with its MAC has it twice: `authorship.py` looks for that.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from portal.audit import chain

LENGTH = 65
"""Characters of a MAC: its mark and its code, both base64url (RFC 4648 §5) without padding."""
_MARK_BYTES = 16
_MARK_LENGTH = 22
_PURPOSE = b"audit rows"


def made(row: Mapping[str, Any], *, mark: bytes | None = None) -> str:
    """Return the MAC of a row that is about to be written: every column of ``chain.FIELDS`` but its
    number. ``mark``: 16 bytes that no other row has, random unless given.
    """
    text = _text(secrets.token_bytes(_MARK_BYTES) if mark is None else mark)
    return text + _code(settings.SECRET_KEY, text, row)


def is_right(row: Mapping[str, Any]) -> bool:
    """Say whether a row (the columns of ``chain.SEALED``) was written under the portal's secret:
    the present one, or one before it that is still believed.
    """
    # Whoever owns the table can let it be NULL.
    text = row["mac"] or ""
    told, mark = text.encode("utf-8", "surrogatepass"), text[:_MARK_LENGTH]
    return any(
        hmac.compare_digest(
            told, (mark + _code(secret, mark, row)).encode("utf-8", "surrogatepass")
        )
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )


def _code(secret: str, mark: str, row: Mapping[str, Any]) -> str:
    return _text(hmac.digest(_key(secret), chain.mac_bytes(mark, row), "sha256"))


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    """Return the key that a secret gives (HKDF, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret.encode())


def _text(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")
