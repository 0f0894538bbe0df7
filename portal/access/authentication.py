"""Who calls the REST API: bearer token, Basic, or the session of a page.

Owns reading the Authorization header, the bound on guessing (by axes, for an account and an
address) and who may not sign in. A client certificate never counts here, and a page's session
only on the pages' edge. What a caller may do is `permissions.py`'s.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest
from django.utils import timezone
from rest_framework import authentication, exceptions
from rest_framework.permissions import SAFE_METHODS

from portal.access import verified
from portal.access.models import ApiToken, User, digest_of
from portal.access.tokens import covered_by, is_allowed_from
from portal.audit.refusals import note
from portal.audit.trail import Actor

CHALLENGE = 'Basic realm="KeyfactorAPI", charset="UTF-8"'
_LAST_USED_STEP = timedelta(minutes=1)
_LONGEST_NAME = 300
_LONGEST_COUNTED = 150
_WRONG = "User name or password is wrong."
_NO_TOKEN = "The token is unknown, expired, revoked, or not for this network."  # noqa: S105


class SignInLocked(exceptions.Throttled):
    """Too many wrong passwords for this account from this address."""

    default_code = "sign_in_locked"
    default_detail = "Too many wrong passwords for this account from this address."


class BearerAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer <token>``."""

    def authenticate(self, request: Any) -> tuple[User, ApiToken] | None:
        scheme, token = _authorization(request)
        if scheme != "bearer":
            return None
        now = timezone.now()
        found = (
            ApiToken.objects.usable(now)
            .select_related("user")
            .filter(digest=digest_of(token))
            .first()
        )
        if found is None:
            raise exceptions.AuthenticationFailed(_NO_TOKEN)
        address = request.META.get("REMOTE_ADDR", "")
        if not is_allowed_from(found, address):
            _note_foreign(found, getattr(request, "request_id", ""), address, now)
            # Whoever stole it need not learn that it is good elsewhere.
            raise exceptions.AuthenticationFailed(_NO_TOKEN)
        if found.last_used_at is None or found.last_used_at < now - _LAST_USED_STEP:
            ApiToken.objects.filter(pk=found.pk).update(
                last_used_at=now, last_used_from=address[:64]
            )
        if found.scopes is not None:
            found.user.token_scope = covered_by(found.scopes)
        return found.user, found

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


class BasicAuthentication(authentication.BaseAuthentication):
    """``DOMAIN\\user:password``: the whole string if such a user exists, else the part after
    the last backslash. Service accounts never sign in; an empty Basic header is none.
    """

    def authenticate(self, request: Any) -> tuple[User, None] | None:
        scheme, encoded = _authorization(request)
        if scheme != "basic":
            return None
        name, password = _decoded(encoded)
        if not (name or password):
            return None
        if not name or len(name) > _LONGEST_NAME or "\0" in name:
            raise exceptions.AuthenticationFailed(_WRONG)
        return _signed_in(name, password, request._request), None

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


class PageSessionAuthentication(authentication.SessionAuthentication):
    """The session of a signed-in page, with CSRF check; never on the agents' edge."""

    def authenticate(self, request: Any) -> Any:
        if not getattr(request._request, "cookies_allowed", False):
            return None
        if hasattr(request._request, "viewing") and request.method not in SAFE_METHODS:
            raise exceptions.PermissionDenied(
                "While viewing as somebody else, nothing can be changed."
            )
        found = super().authenticate(request)
        if found is not None and found[0].is_service_account:
            return None
        return found

    def enforce_csrf(self, request: Any) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as denied:
            raise exceptions.PermissionDenied(str(denied.detail), code="csrf_failed") from None


def _authorization(request: Any) -> tuple[str, str]:
    """Return the scheme, in lower case, and what follows it."""
    scheme, _, rest = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return scheme.lower(), rest.strip()


def _decoded(encoded: str) -> tuple[str, str]:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise exceptions.AuthenticationFailed("The Basic header cannot be read.") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # Clients that predate RFC 7617 send latin-1, in which every byte is a character.
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    if not colon:
        raise exceptions.AuthenticationFailed("The Basic header cannot be read.")
    return name, password


def _signed_in(name: str, password: str, request: HttpRequest) -> User:
    """Return the user. Raises AuthenticationFailed, SignInLocked.

    Unknown, inactive and service accounts answer like a wrong password, in the same time (T28 in
    docs/promises.md).
    """
    found = {u.username: u for u in User.objects.filter(username__in={name, _undomained(name)})}
    user = found.get(name) or found.get(_undomained(name))
    account = {"username": name}
    attempt = _attempt(request)
    if not AxesProxyHandler.is_allowed(attempt, account):
        raise SignInLocked(wait=_lock_seconds(attempt))
    if user is None:
        # Hashing takes the time that comparing would have taken.
        User().set_password(password)
    elif _is_right(user, password) and user.is_active and not user.is_service_account:
        return user
    user_login_failed.send(sender=__name__, credentials=account, request=attempt)
    if attempt.axes_locked_out:  # type: ignore[attr-defined]
        raise SignInLocked(wait=_lock_seconds(attempt))
    raise exceptions.AuthenticationFailed(_WRONG)


def counted_name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """Return the name under which axes counts wrong passwords: that without its domain.

    It is the same whether or not such a user exists, so that no count tells who does.
    """
    given = request.POST if credentials is None else credentials
    return _undomained(str(given.get("username") or ""))[:_LONGEST_COUNTED]


def _is_right(user: User, password: str) -> bool:
    stored = user.password
    if verified.is_known(stored, user.pk, password):
        return True
    if not user.check_password(password):
        return False
    # check_password may have stored a newer hash of the same password.
    verified.remember(user.password, user.pk, password)
    return True


def _note_foreign(token: ApiToken, request_id: str, address: str, now: datetime) -> None:
    """Write to the audit log that a good token came from outside its networks."""
    note(
        Actor(
            name=token.user.username,
            user_id=token.user.pk,
            source_address=address,
            request_id=request_id,
        ),
        "token_outside_networks",
        object_type="token_use",
        object_id=str(token.pk),
        message=f"The token {token.name} was refused: {address or 'an unknown address'} is in none "
        "of its networks.",
        now=now,
    )


def _undomained(name: str) -> str:
    return name.rpartition("\\")[2]


def _attempt(request: HttpRequest) -> HttpRequest:
    """Return what axes may know of a request: who and from where, never its body or query.

    Its lock-out flag so stays off the real request, which its middleware would answer in HTML.
    """
    attempt = HttpRequest()
    attempt.method = request.method
    attempt.path = request.path
    attempt.META = {
        key: request.META[key]
        for key in ("REMOTE_ADDR", "HTTP_USER_AGENT", "PATH_INFO")
        # A proxy's unix socket has no address; axes wants one or none.
        if request.META.get(key)
    }
    return attempt


def _lock_seconds(attempt: HttpRequest) -> int:
    cool_off = get_cool_off(attempt)
    return int(cool_off.total_seconds()) if cool_off else 0
