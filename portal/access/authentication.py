"""Who calls the REST API: bearer token, Basic, or the session of a page.

A client certificate never counts here, and a page's session only on the pages' edge.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.utils import timezone
from rest_framework import authentication, exceptions

from portal.access.models import ApiToken, User, digest_of

_LAST_USED_STEP = timedelta(minutes=1)


class BearerAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer <token>``."""

    def authenticate(self, request: Any) -> tuple[User, ApiToken] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = timezone.now()
        found = (
            ApiToken.objects.usable(now)
            .select_related("user")
            .filter(digest=digest_of(token.strip()))
            .first()
        )
        if found is None:
            raise exceptions.AuthenticationFailed("The token is unknown, expired or revoked.")
        if found.last_used_at is None or found.last_used_at < now - _LAST_USED_STEP:
            ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
        return found.user, found

    def authenticate_header(self, request: Any) -> str:
        return 'Basic realm="KeyfactorAPI", charset="UTF-8"'


class BasicAuthentication(authentication.BasicAuthentication):
    """``DOMAIN\\user:password``: the whole string if such a user exists, else the part after
    the last backslash. Service accounts never sign in.
    """

    www_authenticate_realm = "KeyfactorAPI"

    def authenticate_credentials(
        self, userid: str, password: str, request: Any = None
    ) -> tuple[User, None]:
        name = userid
        if "\\" in userid and not User.objects.filter(username=userid).exists():
            name = userid.rpartition("\\")[2]
        user = authenticate(
            request=getattr(request, "_request", request), username=name, password=password
        )
        if not isinstance(user, User) or user.is_service_account:
            raise exceptions.AuthenticationFailed("User name or password is wrong.")
        return user, None


class PageSessionAuthentication(authentication.SessionAuthentication):
    """The session of a signed-in page, with CSRF check; never on the agents' edge."""

    def authenticate(self, request: Any) -> Any:
        if not getattr(request._request, "cookies_allowed", True):
            return None
        return super().authenticate(request)
