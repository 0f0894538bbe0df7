"""What GET /Certificates and a certificate's history can be filtered and sorted by.

Owns the allow-lists of names (T15 in docs/promises.md). A field has the name of the reply's member
and those that queries for Keyfactor's certificate search have.
"""

from __future__ import annotations

import json
from dataclasses import replace

from django.db.models import F, Q, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import IContains

from portal.access.reach import Reach
from portal.audit.models import AuditEntry
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.certificate_response import CERT_STATES, KEY_TYPES, REVOKED
from portal.rest.paging import Listing
from portal.rest.query_fields import EQUAL, NOTHING, Field
from portal.rest.query_language import Operator
from renewal.models import Certificate
from renewal.rules.standing import Standing
from renewal.selectors.beyond import by_no_orchestrator, nobodys_or_within
from renewal.x509.names import address_of

_KEY_TYPE_WORDS = {"rsa": 1, "dsa": 2, "ecc": 3, "ec": 3}


def _cert_state(operator: Operator, value: str | None) -> Q:
    if value is None:
        return NOTHING
    wanted = kinds.whole_number(value, CERT_STATES)
    if wanted not in CERT_STATES.values():
        return NOTHING
    return Q(revoked_at__isnull=wanted != REVOKED)


def _key_type(operator: Operator, value: str | None) -> Q:
    if value is None:
        return NOTHING
    wanted = kinds.whole_number(value, _KEY_TYPE_WORDS)
    named = [algorithm for algorithm, number in KEY_TYPES.items() if number == wanted]
    return Q(key_algorithm__in=named) if wanted else ~Q(key_algorithm__in=list(KEY_TYPES))


def _alternative_name(operator: Operator, value: str | None) -> Q:
    """A part of one name; the column is a JSON array."""
    if value is None:
        return Q(sans=[])
    # An IPv6 address has many spellings and stands in the column in its shortest.
    found = {value, address_of(value) or value}
    names = Cast(F("sans"), TextField())
    return Q(*(Q(IContains(names, json.dumps(each)[1:-1])) for each in found), _connector="OR")


def _only(field: Field, shown: Q) -> Field:
    """Return a field that is as if it were empty where ``shown`` does not hold."""

    def compare(operator: Operator, value: str | None) -> Q:
        found = field.compare(operator, value)
        return found | ~shown if value is None else found & shown

    return Field(field.operators, compare, field.cost)


_ID = kinds.number("pk", is_large=True)
_COMMON_NAME = kinds.text("common_name")
_SUBJECT = kinds.text("subject_name")
_ALTERNATIVE_NAMES = Field(
    frozenset({Operator.EQ, Operator.NE, Operator.CONTAINS, Operator.NOT_CONTAINS}),
    _alternative_name,
    kinds.searched,
)
_NOT_BEFORE = kinds.moment("not_before")
_NOT_AFTER = kinds.moment("not_after")
_KEY_SIZE = kinds.number("key_size")
_REVOKED_AT = kinds.moment("revoked_at")
_AUTHORITY = kinds.related_text("authority__name", "authority")
_REQUESTER = kinds.related_text("enrollment__requested_by", "enrollment")
_TEMPLATE = kinds.related_text("enrollment__template__name", "enrollment")
_ORCHESTRATOR = kinds.guid("orchestrator_id")
_OF_ORCHESTRATORS = (_ORCHESTRATOR, _REQUESTER)
_BY_EXPIRY = sort.column("not_after", sort.MOMENT, is_indexed=True)

CERTIFICATES: Listing[Certificate] = Listing(
    fields={
        "Id": _ID,
        "CertId": _ID,
        "IssuedCN": _COMMON_NAME,
        "CN": _COMMON_NAME,
        "IssuedDN": _SUBJECT,
        "DN": _SUBJECT,
        "IssuerDN": kinds.text("issuer_name"),
        "SerialNumber": kinds.hexadecimal("serial_number"),
        "Thumbprint": kinds.thumbprint("thumbprint"),
        "SubjectAltName": _ALTERNATIVE_NAMES,
        "SAN": _ALTERNATIVE_NAMES,
        "NotBefore": _NOT_BEFORE,
        "IssuedDate": _NOT_BEFORE,
        "EffectiveDate": _NOT_BEFORE,
        "NotAfter": _NOT_AFTER,
        "ExpirationDate": _NOT_AFTER,
        "ImportDate": kinds.moment("created_at"),
        "CertState": Field(EQUAL, _cert_state),
        "KeyType": Field(EQUAL, _key_type),
        "KeySizeInBits": _KEY_SIZE,
        "KeySize": _KEY_SIZE,
        "RevocationEffDate": _REVOKED_AT,
        "RevocationDate": _REVOKED_AT,
        "CertRequestId": kinds.number("enrollment__pk", is_large=True),
        "RequesterName": _REQUESTER,
        "Requester": _REQUESTER,
        "NetBIOSRequester": _REQUESTER,
        "TemplateName": _TEMPLATE,
        "TemplateShortName": _TEMPLATE,
        "TemplateDisplayName": _TEMPLATE,
        "CertificateAuthorityName": _AUTHORITY,
        "CA": _AUTHORITY,
        "OrchestratorId": _ORCHESTRATOR,
        "Standing": kinds.one_of(
            lambda: {each.value: Q(standing=each.value) for each in Standing},
            tuple(each.value for each in Standing),
        ),
    },
    sort={
        "Id": sort.BY_IDENTITY,
        "IssuedCN": sort.column("common_name", sort.TEXT),
        "IssuerDN": sort.column("issuer_name", sort.TEXT),
        "SerialNumber": sort.column("serial_number", sort.TEXT, is_indexed=True),
        "Thumbprint": sort.column("thumbprint", sort.TEXT, is_indexed=True),
        "NotBefore": sort.column("not_before", sort.MOMENT),
        "NotAfter": _BY_EXPIRY,
        "ExpirationDate": _BY_EXPIRY,
        "ImportDate": sort.column("created_at", sort.MOMENT),
        "KeySizeInBits": sort.column("key_size", sort.LARGE),
    },
    default="Id",
    identity=sort.LARGE,
)

CERTIFICATE_HISTORY: Listing[AuditEntry] = Listing(
    fields={
        "Id": kinds.number("pk", is_large=True),
        "OperationStart": kinds.moment("at"),
        "Username": kinds.text("actor_name"),
        "Action": kinds.text("action"),
        "Comment": kinds.text("message"),
    },
    sort={
        "Id": sort.BY_IDENTITY,
        "OperationStart": sort.column("at", sort.MOMENT),
        "Username": sort.column("actor_name", sort.TEXT),
        "Action": sort.column("action", sort.TEXT),
    },
    default="Id",
    identity=sort.LARGE,
)

NAMELESS_HISTORY = replace(
    CERTIFICATE_HISTORY,
    fields={
        **CERTIFICATE_HISTORY.fields,
        "Username": _only(CERTIFICATE_HISTORY.fields["Username"], by_no_orchestrator()),
    },
)
"""The history of a certificate whose orchestrator the caller may not see."""


def certificate_listing(agents: Reach, *, given: Reach) -> Listing[Certificate]:
    """Return what certificates, read within ``given``, can be filtered by for somebody who sees
    the orchestrators within ``agents``: no filter tells of the others.
    """
    if agents.covers(given):
        return CERTIFICATES
    shown = nobodys_or_within(agents)
    narrowed = {
        name: _only(field, shown)
        for name, field in CERTIFICATES.fields.items()
        if field in _OF_ORCHESTRATORS
    }
    return replace(CERTIFICATES, fields={**CERTIFICATES.fields, **narrowed})
