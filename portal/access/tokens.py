"""Issuing and revoking API tokens, and how far one is narrowed: scopes, networks, expiry.

Owns what a valid token is and the audit rows of these acts. A token never does more than its user:
scopes only take away (T18 in docs/promises.md). Who may issue one is checked by the faces, and how
far by `guard.py`; reading the Authorization header is `authentication.py`'s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from portal.access.catalogue import CATALOGUE, Permission, granting
from portal.access.guard import AccountRefused, check_covers
from portal.access.models import ApiToken, User
from portal.access.reach import Grants, grants_of, narrowed
from portal.audit.models import Category
from portal.audit.trail import Actor, record

LONGEST_TOKEN_DAYS = 3650
MOST_NETWORKS = 50
MOST_LIVE_TOKENS = 100

_BY_NAME = {
    **{str(entry.permission): entry.permission for entry in CATALOGUE},
    **{entry.access_string.strip("/"): entry.permission for entry in CATALOGUE},
}


@dataclass(frozen=True)
class Narrowing:
    """What a token is limited to; ``scopes`` None is all that its user holds, no ``networks``
    is every address.
    """

    scopes: frozenset[Permission] | None = None
    networks: tuple[str, ...] = ()


WHOLE = Narrowing()


def narrowing(scopes: Collection[str] | None = None, networks: Collection[str] = ()) -> Narrowing:
    """Return what scopes (access strings or codenames) and networks (CIDR) mean.

    Raises AccountRefused.
    """
    return Narrowing(
        None if scopes is None else frozenset(_scope(text) for text in scopes), _networks(networks)
    )


def _scope(text: str) -> Permission:
    found = _BY_NAME.get(text.strip().strip("/").lower())
    if found is None:
        raise AccountRefused("token_scope_unknown", f"{text[:80]!r} is no permission.")
    return found


def _networks(texts: Collection[str]) -> tuple[str, ...]:
    if len(texts) > MOST_NETWORKS:
        raise AccountRefused(
            "token_network_invalid", f"A token has at most {MOST_NETWORKS} networks."
        )
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[str(ipaddress.ip_network(text.strip()))] = None
        except ValueError:
            raise AccountRefused(
                "token_network_invalid",
                f"{text[:60]!r} is no network: write an address, or one in CIDR notation with "
                "its host bits zero, such as 192.0.2.0/24.",
            ) from None
    return tuple(found)


def covered_by(scopes: Iterable[str]) -> frozenset[Permission]:
    """Return every permission that stored scopes let through, also by a shorter access string.

    A scope that the catalogue no longer knows lets nothing through.
    """
    given = set(scopes)
    return frozenset(p for p in Permission if granting(p) & given)


def is_allowed_from(token: ApiToken, address: str) -> bool:
    """Say whether a token may be used from an address; an unknown one is in no network."""
    if not token.networks:
        return True
    try:
        asked = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(asked, ipaddress.IPv6Address):
        # A socket for both versions shows IPv4 peers as ::ffff:192.0.2.1.
        asked = asked.ipv4_mapped or asked
    return any(asked in ipaddress.ip_network(network) for network in token.networks)


def issue_token(
    user: User,
    name: str,
    *,
    lasts: timedelta,
    actor: Actor,
    now: datetime,
    giver: User | None = None,
    limits: Narrowing = WHOLE,
) -> tuple[ApiToken, str]:
    """Return the live token of this name and an empty text, or a new one and its text (shown
    once). An expired one gives way. ``giver`` must hold what the token can do (T18 in
    docs/promises.md); None is whoever runs the host. Raises AccountRefused.
    """
    _check(name, lasts)
    check_covers(giver, _can_do(user, limits), f"The token of {user.username}")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        found = ApiToken.objects.filter(user=user, name=name, revoked_at=None).first()
        if found is not None and found.expires_at > now:
            return found, ""
        if found is not None:
            ApiToken.objects.filter(pk=found.pk).update(revoked_at=now)
        if ApiToken.objects.filter(user=user, revoked_at=None).count() >= MOST_LIVE_TOKENS:
            raise AccountRefused(
                "too_many_tokens",
                f"{user.username} has {MOST_LIVE_TOKENS} tokens: revoke one first.",
            )
        token, text = ApiToken.issue(
            user=user,
            name=name,
            created_at=now,
            expires_at=now + lasts,
            scopes=None if limits.scopes is None else sorted(limits.scopes),
            networks=list(limits.networks),
        )
        _audit(token, "token_issued", actor)
    return token, text


def revoke_token(
    token: ApiToken, *, actor: Actor, now: datetime, giver: User | None = None
) -> bool:
    """Revoke a token from the next request on; say whether that changed anything.

    Somebody else's is taken only by who holds what it can do, as it is given: else a keeper of
    access could cut off whoever stands above him. Raises AccountRefused.
    """
    if giver is not None and giver.pk != token.user_id:
        limits = Narrowing(None if token.scopes is None else covered_by(token.scopes))
        check_covers(giver, _can_do(token.user, limits), f"The token of {token.user.username}")
    with transaction.atomic():
        found = ApiToken.objects.select_for_update().get(pk=token.pk)
        if found.revoked_at is not None:
            return False
        before = _told(found)
        found.revoked_at = now
        found.save(update_fields=["revoked_at"])
        _audit(found, "token_revoked", actor, before=before)
    return True


def named_token(user: User, name: str) -> ApiToken:
    """Return the live token of this name, else the newest of the revoked ones.

    Raises AccountRefused.
    """
    tokens = ApiToken.objects.filter(user=user, name=name)
    found = tokens.filter(revoked_at=None).first() or tokens.order_by("-pk").first()
    if found is None:
        raise AccountRefused("unknown_token", f"{user.username!r} never had a token {name!r}.")
    return found


def _can_do(user: User, limits: Narrowing) -> Grants:
    """Return what the token of a user could do now, or could if the user were active."""
    fresh = User.objects.get(pk=user.pk)
    fresh.is_active = True
    held = grants_of(fresh)
    return held if limits.scopes is None else narrowed(held, covered_by(limits.scopes))


def _check(name: str, lasts: timedelta) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise AccountRefused("token_invalid", "A token's name has 1 to 100 printable characters.")
    if not timedelta(0) < lasts <= timedelta(days=LONGEST_TOKEN_DAYS):
        raise AccountRefused("token_invalid", f"A token lasts 1 to {LONGEST_TOKEN_DAYS} days.")


def _audit(
    token: ApiToken, action: str, actor: Actor, *, before: Mapping[str, object] | None = None
) -> None:
    record(
        actor,
        Category.ACCESS,
        action,
        object_type="token",
        object_id=token.pk,
        object_name=token.name,
        before=before,
        after=_told(token),
    )


def _told(token: ApiToken) -> dict[str, object]:
    told = {
        "user": token.user.username,
        "expires_at": token.expires_at.isoformat(),
        "scopes": token.access_strings,
        "networks": token.networks,
    }
    return told | ({"revoked_at": token.revoked_at.isoformat()} if token.revoked_at else {})
