"""The endpoints under /Enrollment: a certificate for a CSR, and what there is to know before.

Owns the way from a request to a service and back. A CSR goes through the same door and the same
rows as an orchestrator's (`renewal/operator_requests.py`); nothing is judged here a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, NotRequired, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.access.models import User
from portal.preferences import store
from portal.rest import shapes
from portal.rest.base import ApiView
from portal.rest.certificate_files import as_texts, format_of
from portal.rest.codes import ErrorCode
from portal.rest.dry_run import Ask
from portal.rest.errors import ApiError
from portal.rest.moments import zulu
from portal.rest.paging import flag
from portal.rest.refusals import actor_of
from portal.rest.templates import key_words
from renewal import chains, operator_requests
from renewal.configuration import NotConfigured, choose
from renewal.models import CertificateAuthority, Enrollment, Template
from renewal.operator_requests import RequestRefused
from renewal.x509.csr_door import CSRRefused, ParsedCSR, open_csr
from renewal.x509.names import distinguished_name

_SAN_KINDS = {"dns": "dns", "ip": "ip", "ip4": "ip", "ip6": "ip", "uri": "uri", "email": "email"}
_SAN_WORDS = {"dns": "DNS Name", "ip": "IP Address", "uri": "URI", "email": "RFC822 Name"}
_REFUSALS = {
    "permission_missing": (ErrorCode.REQUESTER_NOT_ALLOWED, 403),
    "name_not_covered": (ErrorCode.NAME_NOT_COVERED, 400),
    "names_of_record": (ErrorCode.NAMES_OF_RECORD, 400),
    "key_reuse": (ErrorCode.KEY_REUSE, 400),
    "authority_disabled": (ErrorCode.AUTHORITY_UNKNOWN, 400),
}


class CsrRequest(TypedDict):
    """A CSR, and who is to enrol it. What a portal cannot keep must be empty."""

    CSR: str
    CertificateAuthority: NotRequired[str]
    Template: NotRequired[str]
    IncludeChain: NotRequired[bool]
    Timestamp: NotRequired[datetime]
    Metadata: NotRequired[dict[str, Any]]
    AdditionalEnrollmentFields: NotRequired[dict[str, Any]]
    SANs: NotRequired[dict[str, list[str]]]
    PrivateKey: NotRequired[str]
    IncludeSubjectHeader: NotRequired[Any]
    OwnerRoleId: NotRequired[Any]
    OwnerRoleName: NotRequired[Any]
    EnrollmentPatternId: NotRequired[Any]


_LACKING = ("IncludeSubjectHeader", "OwnerRoleId", "OwnerRoleName", "EnrollmentPatternId")


class CertificateInformation(TypedDict):
    """The certificate, or what became of the request for it."""

    SerialNumber: str | None
    IssuerDN: str | None
    Thumbprint: str | None
    KeyfactorID: int
    Certificates: list[str]
    KeyfactorRequestId: int
    RequestDisposition: str
    DispositionMessage: str
    EnrollmentContext: dict[str, str] | None


class CsrResponse(TypedDict):
    CertificateInformation: CertificateInformation
    Metadata: dict[str, str]


class TemplateAuthority(TypedDict):
    Name: str
    RFCEnforcement: bool
    SubscriberTerms: bool


class ContextTemplate(TypedDict):
    """A template that the caller may enrol with."""

    Id: int
    Name: str
    DisplayName: str
    Forest: str
    KeySize: str
    KeyType: str
    RequiresApproval: bool
    RFCEnforcement: bool
    CAs: list[TemplateAuthority]
    EnrollmentFields: list[dict[str, str]]
    MetadataFields: list[dict[str, str]]
    Regexes: list[dict[str, str]]
    ExtendedKeyUsages: list[dict[str, str]]
    Curve: str | None


class ContextResponse(TypedDict):
    Templates: list[ContextTemplate]
    StandaloneCAs: list[dict[str, str]]


class ParseRequest(TypedDict):
    CSR: str


class EnrollCsr(ApiView):
    """POST /Enrollment/CSR: a certificate of nobody's, so that no limit of a role can name it."""

    needs = {"POST": Permission.ENROLL_CSR}
    sees = (Permission.CERTIFICATES_READ,)
    everywhere = True
    parameters: ClassVar[frozenset[str]] = frozenset({"forceenroll"})
    takes = {"POST": CsrRequest}
    reads_headers = ("x-certificateformat",)
    returns = {"POST": CsrResponse}

    def post(self, request: Request) -> Response:
        form, body, order = self.ordered(request)
        try:
            row, _ = operator_requests.enroll(order, **_by_whom(request))
        except RequestRefused as refused:
            raise _refusal(refused) from None
        information = _information(row, form, with_chain=body.get("IncludeChain", False))
        answer: CsrResponse = {"CertificateInformation": information, "Metadata": {}}
        return Response(answer)

    def rehearse(
        self, act: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> list[Ask]:
        *_, order = self.ordered(request)
        try:
            row, _ = operator_requests.intend(order, **_by_whom(request))
        except RequestRefused as refused:
            raise _refusal(refused) from None
        if row.certificate_id is not None:
            return []
        about = {
            "Template": row.template.name,
            "Subject": distinguished_name(open_csr(order.csr).subject),
            "NotAfter": zulu(row.not_after),
        }
        return [{"Authority": row.authority.name, "Call": "issue", "About": about}]

    def ordered(self, request: Request) -> tuple[str, CsrRequest, operator_requests.Order]:
        """Return the form of the reply, the body, and what it asks for.

        Raises ApiError, PermissionDenied.
        """
        form = format_of(request.META.get("HTTP_X_CERTIFICATEFORMAT", ""))
        self.demand_everywhere(*self.needed("POST"))
        flag(self.given, "forceenroll")
        body = shapes.read(request.data, CsrRequest)
        _check_extras(body)
        authority, template = _chosen(body)
        return form, body, operator_requests.Order(body["CSR"], authority, template)


class CsrContext(ApiView):
    """GET /Enrollment/CSR/Context/My: the templates and CAs that the caller may enrol with."""

    needs = {"GET": Permission.ENROLL_CSR}
    returns = {"GET": ContextResponse}

    def get(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        authorities, templates = operator_requests.open_to(request.user)
        names = [authority.name for authority in authorities]
        answer: ContextResponse = {
            "Templates": [_template(row, names) for row in templates],
            "StandaloneCAs": [],
        }
        return Response(answer)


class CsrParse(ApiView):
    """POST /Enrollment/CSR/Parse: what a CSR asks for; nothing is enrolled."""

    needs = {"POST": Permission.ENROLL_CSR}
    takes = {"POST": ParseRequest}
    returns = {"POST": list[str]}

    def post(self, request: Request) -> Response:
        try:
            csr = open_csr(shapes.read(request.data, ParseRequest)["CSR"])
        except CSRRefused as refused:
            raise ApiError(ErrorCode.CSR_REFUSED, _sentence(refused.detail)) from None
        return Response(_properties(csr))


def _by_whom(request: Request) -> dict[str, Any]:
    assert isinstance(request.user, User)
    return {"actor": actor_of(request), "now": timezone.now(), "requester": request.user}


def _check_extras(body: CsrRequest) -> None:
    """Refuse what would be dropped silently. Raises ApiError."""
    if body.get("PrivateKey"):
        raise ApiError(
            ErrorCode.VALUE_INVALID, "A private key is never taken: leave PrivateKey out."
        )
    for name in ("Metadata", "AdditionalEnrollmentFields"):
        if body.get(name):
            raise ApiError(ErrorCode.VALUE_INVALID, f"{name} is not kept here: leave it empty.")
    shapes.says_nothing(body, _LACKING)
    asked = {
        (_SAN_KINDS.get(kind.lower(), kind), value.lower())
        for kind, values in body.get("SANs", {}).items()
        for value in values
    }
    if not asked:
        return
    try:
        csr = open_csr(body["CSR"])
    except CSRRefused as refused:
        raise ApiError(ErrorCode.CSR_REFUSED, _sentence(refused.detail)) from None
    if asked != {(str(kind), value.lower()) for kind, value in csr.sans}:
        raise ApiError(
            ErrorCode.VALUE_INVALID,
            "SANs names others than the CSR: put them into the CSR, whose names count.",
        )


def _chosen(body: CsrRequest) -> tuple[CertificateAuthority, Template]:
    """Return CA and template by name; one that is left out is the settings' one."""
    authority_name, template_name = body.get("CertificateAuthority"), body.get("Template")
    authority = template = None
    if authority_name:
        # Existing clients write host\logical.
        names = [authority_name, authority_name.rpartition("\\")[2]]
        found = {row.name: row for row in CertificateAuthority.objects.filter(name__in=names)}
        authority = next((found[name] for name in names if name in found), None)
        if authority is None:
            raise ApiError(
                ErrorCode.AUTHORITY_UNKNOWN, "There is no such certificate authority.", status=400
            )
    if template_name:
        template = Template.objects.filter(name=template_name).first()
        if template is None:
            raise ApiError(ErrorCode.TEMPLATE_UNKNOWN, "There is no such template.", status=400)
    if authority is not None and template is not None:
        return authority, template
    try:
        usual = choose(store.load())
    except NotConfigured as problem:
        raise ApiError(
            ErrorCode.MEMBER_MISSING, f"Name CertificateAuthority and Template. {problem}"
        ) from None
    return authority or usual.authority, template or usual.template


def _refusal(refused: RequestRefused) -> ApiError:
    if refused.reason.startswith("enrollment_"):
        return ApiError(ErrorCode.ENROLLMENT_FAILED, str(refused))
    code, status = _REFUSALS.get(refused.reason, (ErrorCode.CSR_REFUSED, 400))
    return ApiError(code, str(refused), status=status)


def _information(row: Enrollment, form: str, *, with_chain: bool) -> CertificateInformation:
    certificate = row.certificate
    if certificate is None:
        return {
            "SerialNumber": None,
            "IssuerDN": None,
            "Thumbprint": None,
            "KeyfactorID": 0,
            "Certificates": [],
            "KeyfactorRequestId": row.pk,
            "RequestDisposition": "PENDING",
            "DispositionMessage": f"The CA has not answered yet. {row.last_error}".strip(),
            "EnrollmentContext": None,
        }
    chain = chains.chain_of(certificate)
    return {
        "SerialNumber": certificate.serial_number.upper(),
        "IssuerDN": certificate.issuer_name,
        "Thumbprint": certificate.thumbprint,
        "KeyfactorID": certificate.pk,
        "Certificates": as_texts(chain if with_chain else chain[:1], form),
        "KeyfactorRequestId": row.pk,
        "RequestDisposition": "ISSUED",
        "DispositionMessage": "The certificate was issued.",
        "EnrollmentContext": None,
    }


def _template(row: Template, authorities: list[str]) -> ContextTemplate:
    return {
        "Id": row.pk,
        **key_words(row),
        "Name": row.name,
        "DisplayName": row.name,
        "Forest": "",
        "RequiresApproval": False,
        "RFCEnforcement": False,
        "CAs": [
            {"Name": name, "RFCEnforcement": False, "SubscriberTerms": False}
            for name in authorities
        ],
        "EnrollmentFields": [],
        "MetadataFields": [],
        "Regexes": [],
        "ExtendedKeyUsages": [{"Oid": oid} for oid in row.extended_key_usages],
    }


def _properties(csr: ParsedCSR) -> list[str]:
    names = [
        f"{attribute.rfc4514_attribute_name}={attribute.value}"
        for attribute in csr.subject
        if isinstance(attribute.value, str)
    ]
    sans = [f"{_SAN_WORDS.get(str(kind), str(kind))}={value}" for kind, value in csr.sans]
    return [*names, *sans, f"Key Type={csr.key_type}"]


def _sentence(detail: str) -> str:
    return f"{detail[:1].upper()}{detail[1:]}."
