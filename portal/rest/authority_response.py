"""A certificate authority as bodies and replies of the API have it.

Owns the members, also those that existing clients know and that say the same for every one here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from portal.rest import shapes
from portal.rest.moments import zulu_or_none
from renewal import issuers
from renewal.models import CertificateAuthority

CSR_ONLY = 2
"""AllowedEnrollmentTypes: keys are never made here, so a certificate takes a CSR."""
_HTTPS_TYPE = 1


class AuthorityResponse(TypedDict):
    """One certificate authority; options without their secrets."""

    Id: int
    LogicalName: str
    HostName: str
    ConfigurationTenant: str
    Remote: bool
    Agent: str | None
    Standalone: bool
    AllowedEnrollmentTypes: int
    KeyRetention: int
    SubscriberTerms: bool
    UseAllowedRequesters: bool
    AllowedRequesters: list[str]
    CAType: int
    EnforceUniqueDN: bool
    LastScan: str | None
    Type: str
    Options: dict[str, Any]
    Enabled: bool
    HoldSeconds: int
    LastError: str | None
    TestedAt: str | None
    TestPassed: bool | None


class _Fixed(TypedDict):
    HostName: str
    ConfigurationTenant: str
    Remote: bool
    Agent: str | None
    Standalone: bool
    AllowedEnrollmentTypes: int
    KeyRetention: int
    SubscriberTerms: bool
    CAType: int
    EnforceUniqueDN: bool
    LastScan: str | None


FIXED: _Fixed = {
    "HostName": "",
    "ConfigurationTenant": "",
    "Remote": False,
    "Agent": None,
    "Standalone": False,
    "AllowedEnrollmentTypes": CSR_ONLY,
    "KeyRetention": 0,
    "SubscriberTerms": False,
    "CAType": _HTTPS_TYPE,
    "EnforceUniqueDN": False,
    "LastScan": None,
}
"""What existing clients know of an authority and is the same for all here."""
_SAID_FOR_NOTHING = ("HostName", "ConfigurationTenant")
"""Existing clients must name them; here they say nothing."""
_ALWAYS_NULL = ("Agent", "LastScan")
_ONLY_READ = tuple(name for name in FIXED if name not in (*_SAID_FOR_NOTHING, *_ALWAYS_NULL))
SEEN = ("LastError", "TestedAt", "TestPassed")
"""What was seen of it. It changes by itself, also between a client's GET and its PUT."""


class _Lacking(TypedDict):
    """What existing clients send and this portal lacks: taken if it says nothing."""

    Delegate: NotRequired[Any]
    DelegateEnrollment: NotRequired[Any]
    ForestRoot: NotRequired[Any]
    UseCAConnector: NotRequired[Any]
    ConnectorPool: NotRequired[Any]
    MonitorThresholds: NotRequired[Any]
    IssuanceMax: NotRequired[Any]
    IssuanceMin: NotRequired[Any]
    DenialMax: NotRequired[Any]
    FailureMax: NotRequired[Any]
    RFCEnforcement: NotRequired[Any]
    Properties: NotRequired[Any]
    KeyRetentionDays: NotRequired[Any]
    ExplicitCredentials: NotRequired[Any]
    ExplicitUser: NotRequired[Any]
    ExplicitPassword: NotRequired[Any]
    FullScan: NotRequired[Any]
    IncrementalScan: NotRequired[Any]
    ThresholdCheck: NotRequired[Any]
    AuthCertificate: NotRequired[Any]
    AuthCertificatePassword: NotRequired[Any]
    AllowOneClickRenewals: NotRequired[Any]
    NewEndEntityOnRenewAndReissue: NotRequired[Any]
    TokenURL: NotRequired[Any]
    ClientId: NotRequired[Any]
    ClientSecret: NotRequired[Any]
    Scope: NotRequired[Any]
    Audience: NotRequired[Any]
    CertificateCleanupEnabled: NotRequired[Any]
    DeleteWithArchivedKey: NotRequired[Any]
    TimeAfterExpiration: NotRequired[Any]
    TimeAfterExpirationUnits: NotRequired[Any]


_LACKING = tuple(_Lacking.__annotations__)


class _Sent(_Lacking):
    Id: NotRequired[int]
    Type: NotRequired[str]
    Options: NotRequired[dict[str, Any]]
    Enabled: NotRequired[bool]
    HoldSeconds: NotRequired[int]
    UseAllowedRequesters: NotRequired[bool]
    AllowedRequesters: NotRequired[list[str]]
    HostName: NotRequired[str]
    ConfigurationTenant: NotRequired[str]
    Remote: NotRequired[bool]
    Agent: NotRequired[str | None]
    Standalone: NotRequired[bool]
    AllowedEnrollmentTypes: NotRequired[int]
    KeyRetention: NotRequired[int]
    SubscriberTerms: NotRequired[bool]
    CAType: NotRequired[int]
    EnforceUniqueDN: NotRequired[bool]
    LastScan: NotRequired[str | None]
    LastError: NotRequired[str | None]
    TestedAt: NotRequired[datetime | None]
    TestPassed: NotRequired[bool | None]


class AuthorityRequest(_Sent):
    """A certificate authority as it shall be; what is left out stays as it is. Members that are
    only read may be sent back as they are, what was seen of it (``LastError``, ``TestedAt``,
    ``TestPassed``) also as it was before.
    """

    LogicalName: str


class AuthorityTestRequest(_Sent):
    """Which authority is tried, by Id or by LogicalName. It is tried as it is saved: what is sent
    besides says the same.
    """

    LogicalName: NotRequired[str]


_SAVED = ("Type", "Options", "Enabled", "HoldSeconds", "UseAllowedRequesters", "AllowedRequesters")


def check_fixed(body: Mapping[str, Any]) -> None:
    """Refuse what is the same for all authorities here and is sent as another. Raises ApiError."""
    shapes.unchanged(body, FIXED, _ONLY_READ)
    shapes.says_nothing(body, (*_LACKING, *_ALWAYS_NULL))


def check_saved(body: AuthorityTestRequest, row: CertificateAuthority) -> None:
    """Refuse an authority that is not as it is saved. Raises ApiError."""
    check_fixed(body)
    shapes.unchanged(body, authority_response(row), ("LogicalName", *_SAVED))
    check_seen(body, row)


def check_seen(body: AuthorityRequest | AuthorityTestRequest, row: CertificateAuthority) -> None:
    """Refuse what was never seen of an authority; together the three may be those of an earlier
    GET. Raises ApiError.
    """
    if "TestedAt" in body:
        shapes.not_later("TestedAt", body["TestedAt"], row.tested_at)
    else:
        shapes.unchanged(body, authority_response(row), SEEN)


def authority_response(row: CertificateAuthority) -> AuthorityResponse:
    """Return an authority as replies show it; a query unless its requesters are loaded."""
    requesters = sorted(user.username for user in row.allowed_requesters.all())
    return {
        "Id": row.pk,
        "LogicalName": row.name,
        **FIXED,
        "UseAllowedRequesters": bool(requesters),
        "AllowedRequesters": requesters,
        "Type": row.type,
        "Options": issuers.shown_options(row),
        "Enabled": row.enabled,
        "HoldSeconds": row.hold_seconds,
        "LastError": row.last_error or None,
        "TestedAt": zulu_or_none(row.tested_at),
        "TestPassed": row.test_passed,
    }
