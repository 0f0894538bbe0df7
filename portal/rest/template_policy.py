"""The keys of templates in the words of existing clients, and what holds for all templates.

Owns the translation between key types and a ``TemplatePolicy``, and the endpoints
/Templates/Settings, /Templates/Import and /Templates/SubjectParts. Templates themselves are
`templates.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict

from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.rest import shapes
from portal.rest.base import ApiView
from portal.rest.codes import ErrorCode
from portal.rest.errors import ApiError
from renewal.models.authorities import NamesPolicy
from renewal.x509.keys import KEY_TYPES

_CURVES = {
    "1.2.840.10045.3.1.7": "EC-P256",
    "1.3.132.0.34": "EC-P384",
    "1.3.132.0.35": "EC-P521",
}
"""Curves by the OIDs of RFC 5480 §2.1.1.1, as existing clients name them."""
_BY_NAME = {name.removeprefix("EC-").replace("P", "P-"): name for name in _CURVES.values()}
_PARTS = {
    "CN": "Common Name",
    "O": "Organization",
    "OU": "Organizational Unit",
    "L": "City/Locality",
    "ST": "State/Province",
    "C": "Country",
    "E": "Email",
    "DNS": "DNS Name",
    "IP4": "IPv4 Address",
    "IP6": "IPv6 Address",
    "URI": "Uniform Resource Identifier",
    "MAIL": "RFC822 Name",
}


class TemplatePolicy(TypedDict):
    """Which keys a CSR may have; curves are OIDs. The three flags follow from the portal's rules
    and from ``NamesPolicy`` and are only read.
    """

    TemplateId: NotRequired[int]
    RSAValidKeySizes: list[int]
    ECCValidCurves: list[str]
    AllowKeyReuse: bool
    AllowWildcards: bool
    RFCEnforcement: bool


class PolicyRequest(TypedDict):
    """A policy as it shall be; what is left out stays as it is."""

    TemplateId: NotRequired[int]
    RSAValidKeySizes: NotRequired[list[int]]
    ECCValidCurves: NotRequired[list[str]]
    AllowKeyReuse: NotRequired[bool]
    AllowWildcards: NotRequired[bool]
    RFCEnforcement: NotRequired[bool]
    CertificateOwnerRole: NotRequired[Any]
    DefaultCertificateOwnerRoleId: NotRequired[Any]
    DefaultCertificateOwnerRoleName: NotRequired[Any]
    PrimaryKeyAlgorithms: NotRequired[Any]
    AlternativeKeyAlgorithms: NotRequired[Any]


POLICY_LACKING = tuple(
    name for name in PolicyRequest.__annotations__ if name not in TemplatePolicy.__annotations__
)
"""What newer clients send and this portal lacks."""


class TemplateSettings(TypedDict):
    """What holds for every template: which keys there are at all."""

    TemplateRegexes: list[dict[str, str]]
    TemplateDefaults: list[dict[str, str]]
    TemplatePolicy: TemplatePolicy


class TemplateSettingsRequest(TypedDict):
    """The same, sent back."""

    TemplateRegexes: NotRequired[list[dict[str, str]]]
    TemplateDefaults: NotRequired[list[dict[str, str]]]
    TemplatePolicy: NotRequired[PolicyRequest]


class TemplateImportRequest(TypedDict):
    """Whose templates: the ``ConfigurationTenant`` that GET shows of a template."""

    ConfigurationTenant: NotRequired[str]


class SubjectPart(TypedDict):
    SubjectPart: str
    SubjectPartName: str


class TemplateGlobalSettings(ApiView):
    """GET and PUT /Templates/Settings."""

    needs = {"GET": Permission.AUTHORITIES_READ, "PUT": Permission.AUTHORITIES_MODIFY}
    sees = (Permission.AUTHORITIES_READ,)
    in_database = True
    takes = {"PUT": TemplateSettingsRequest}
    returns = {"GET": TemplateSettings, "PUT": TemplateSettings}
    summaries = {
        "GET": "What holds for every template",
        "PUT": "Takes back what GET answers: keys and names are set on each template",
    }
    versioned = frozenset({"GET", "PUT"})

    def version(self) -> object:
        return _settings()

    def get(self, request: Request) -> Response:
        return Response(_settings())

    def put(self, request: Request) -> Response:
        body, known = shapes.read(request.data, TemplateSettingsRequest), _settings()
        shapes.unchanged(body, known, ("TemplateRegexes", "TemplateDefaults"))
        policy = body.get("TemplatePolicy", {})
        shapes.unchanged(policy, known["TemplatePolicy"], TemplatePolicy.__annotations__)
        shapes.says_nothing(policy, POLICY_LACKING)
        return Response(known)


class TemplateImport(ApiView):
    """POST /Templates/Import: existing clients ask for it before they list templates.

    Templates are made in this portal, in the one tenant that they all show: all of its are here
    already. Any other one is refused.
    """

    needs = {"POST": Permission.AUTHORITIES_MODIFY}
    sees = (Permission.AUTHORITIES_READ,)
    in_database = True
    takes = {"POST": TemplateImportRequest}
    summaries = {"POST": "Templates of a directory: here there is none"}

    def post(self, request: Request) -> Response:
        body = shapes.read(request.data, TemplateImportRequest)
        if body.get("ConfigurationTenant"):
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                "There is no such configuration tenant: templates are made with POST /Templates.",
            )
        return Response(status=204)


class TemplateSubjectParts(ApiView):
    """GET /Templates/SubjectParts: the parts of a name that patterns of a template speak of."""

    needs = {"GET": Permission.AUTHORITIES_READ}
    returns = {"GET": list[SubjectPart]}

    def get(self, request: Request) -> Response:
        return Response(
            [{"SubjectPart": part, "SubjectPartName": name} for part, name in _PARTS.items()]
        )


def policy_of(
    key_types: Iterable[str], names_policy: str, template_id: int | None = None
) -> TemplatePolicy:
    """Return the policy of a template, or of all without a number."""
    known = list(key_types)
    policy: TemplatePolicy = {
        "RSAValidKeySizes": sorted(int(t[4:]) for t in known if t.startswith("RSA-")),
        "ECCValidCurves": [oid for oid, name in _CURVES.items() if name in known],
        "AllowKeyReuse": False,
        "AllowWildcards": names_policy == NamesPolicy.OPEN,
        "RFCEnforcement": False,
    }
    return policy if template_id is None else {"TemplateId": template_id, **policy}


def key_types(asked: PolicyRequest, known: Sequence[str]) -> tuple[str, ...]:
    """Return the key types that a policy means; those that it has no word for stay.

    Raises ApiError.
    """
    sizes = asked.get("RSAValidKeySizes")
    curves = asked.get("ECCValidCurves")
    rsa = [t for t in known if t.startswith("RSA-")]
    ec = [t for t in known if t.startswith("EC-")]
    rest = [t for t in known if t not in (*rsa, *ec)]
    if curves is not None:
        named = {curve: _CURVES.get(curve) or _BY_NAME.get(curve.upper()) for curve in curves}
        if None in named.values():
            raise ApiError(
                ErrorCode.VALUE_INVALID,
                f"ECCValidCurves has an entry that is none of {', '.join(_CURVES)}.",
            )
        ec = [t for t in KEY_TYPES if t in named.values()]
    if sizes is not None:
        rsa = [f"RSA-{size}" for size in sorted(set(sizes))]
    return (*ec, *rsa, *rest)


def _settings() -> TemplateSettings:
    return {
        "TemplateRegexes": [],
        "TemplateDefaults": [],
        "TemplatePolicy": policy_of(KEY_TYPES, NamesPolicy.OPEN),
    }
