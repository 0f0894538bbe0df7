"""The published Go clients of Keyfactor's API: what they send, and what they make of replies (C2).

Owns, as tables of our own making, the requests that their functions send and the kinds of the
members that their structs decode. Go refuses a whole reply at one member of another kind, takes
``null`` and an absent member for its zero value, and never sends ``null`` where it leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from orchestrators import jobs
from orchestrators.models import Orchestrator
from portal.access.models import User
from portal.audit.trail import Actor
from renewal.models import CertificateAuthority, Template
from tests import pki
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, refused, user_with

pytestmark = pytest.mark.django_db
Make = Callable[..., Orchestrator]

TEXT, WHOLE, NUMBER, FLAG, ANY = "text", "whole number", "number", "flag", "any"
Kind = str | list[Any] | dict[str, Any]
ROLE_OF_IDENTITY = {"Id": WHOLE, "Name": TEXT, "Description": TEXT}
IDENTITY: dict[str, Kind] = {
    "Id": WHOLE,
    "AccountName": TEXT,
    "IdentityType": TEXT,
    "Roles": [ROLE_OF_IDENTITY],
    "Valid": FLAG,
}
ROLE: dict[str, Kind] = {
    "Id": NUMBER,
    "Name": TEXT,
    "Description": TEXT,
    "Enabled": FLAG,
    "Immutable": FLAG,
    "Valid": FLAG,
    "Private": FLAG,
    "Identities": [{"Id": NUMBER, "AccountName": TEXT, "IdentityType": TEXT, "SID": TEXT}],
    "Permissions": [TEXT],
}
AGENT: dict[str, Kind] = {
    **dict.fromkeys(("AgentId", "ClientMachine", "Username", "Version", "LastSeen"), TEXT),
    **dict.fromkeys(("AgentPlatform", "Status", "LastErrorCode"), WHOLE),
    **dict.fromkeys(("Blueprint", "Thumbprint", "LegacyThumbprint", "LastErrorMessage"), TEXT),
    **dict.fromkeys(("AuthCertificateReenrollment", "LastThumbprintUsed"), TEXT),
    "Capabilities": [TEXT],
}
AUTHORITY: dict[str, Kind] = {
    **dict.fromkeys(("LogicalName", "HostName", "ForestRoot", "Agent", "Properties"), TEXT),
    **dict.fromkeys(("Delegate", "Remote", "Standalone", "MonitorThresholds"), FLAG),
    **dict.fromkeys(("RFCEnforcement", "ExplicitCredentials", "SubscriberTerms"), FLAG),
    **dict.fromkeys(("Id", "IssuanceMax", "IssuanceMin", "DenialMax", "FailureMax"), WHOLE),
    **dict.fromkeys(("AllowedEnrollmentTypes", "KeyRetention", "KeyRetentionDays"), WHOLE),
    "ExplicitUser": TEXT,
    "ExplicitPassword": {"SecretValue": TEXT, "Provider": WHOLE},
    "UseAllowedRequesters": FLAG,
    "AllowedRequesters": [TEXT],
}
TEMPLATE: dict[str, Kind] = {
    **dict.fromkeys(("CommonName", "TemplateName", "Oid", "KeySize", "KeyType"), TEXT),
    **dict.fromkeys(("ForestRoot", "FriendlyName", "KeyRetention"), TEXT),
    **dict.fromkeys(("Id", "KeyRetentionDays", "AllowedEnrollmentTypes", "KeyUsage"), WHOLE),
    **dict.fromkeys(("KeyArchival", "UseAllowedRequesters", "RFCEnforcement"), FLAG),
    "RequiresApproval": FLAG,
    "EnrollmentFields": [{"Id": WHOLE, "Name": TEXT, "Options": [TEXT], "DataType": WHOLE}],
    "MetadataFields": [{"Id": WHOLE, "DefaultValue": TEXT, "Enrollment": WHOLE}],
    "TemplateRegexes": [{"TemplateId": WHOLE, "SubjectPart": TEXT, "RegEx": TEXT, "Error": TEXT}],
    "AllowedRequesters": [TEXT],
    "TemplatePolicy": {
        "TemplateId": WHOLE,
        "AllowKeyReuse": FLAG,
        "AllowWildcards": FLAG,
        "RFCEnforcement": FLAG,
        "CertificateOwnerRole": WHOLE,
        "PrimaryKeyAlgorithms": [{"name": TEXT, "bit_lengths": [WHOLE], "curves": [TEXT]}],
    },
}
CERTIFICATE: dict[str, Kind] = {
    **dict.fromkeys(("Thumbprint", "SerialNumber", "IssuedDN", "IssuedCN", "IssuerDN"), TEXT),
    **dict.fromkeys(("ImportDate", "NotBefore", "NotAfter", "PrincipalId", "IssuedOU"), TEXT),
    **dict.fromkeys(("IssuedEmail", "SigningAlgorithm", "CertStateString", "KeyTypeString"), TEXT),
    **dict.fromkeys(("RevocationEffDate", "RevocationComment", "PrincipalName", "Curve"), TEXT),
    **dict.fromkeys(("CertificateAuthorityName", "TemplateName", "RequesterName"), TEXT),
    **dict.fromkeys(("ContentBytes", "CARecordId", "OwnerRoleName", "KeyAlgorithm"), TEXT),
    **dict.fromkeys(("Id", "TemplateId", "CertState", "KeySizeInBits", "KeyType"), WHOLE),
    **dict.fromkeys(("RequesterId", "KeyUsage", "RevocationReason", "CertRequestId"), WHOLE),
    **dict.fromkeys(("CertificateAuthorityId", "CertificateKeyId", "CARowIndex"), WHOLE),
    **dict.fromkeys(("ArchivedKey", "HasPrivateKey", "KeyRecoverable"), FLAG),
    "ExtendedKeyUsages": [ANY],
    "SubjectAltNameElements": [{"Id": WHOLE, "Value": TEXT, "Type": WHOLE, "ValueHash": TEXT}],
    "CRLDistributionPoints": [{"Id": WHOLE, "URL": TEXT, "URLHash": TEXT}],
    "LocationsCount": [{"Type": TEXT, "Count": WHOLE}],
    "SSLLocations": [{"StorePath": TEXT, "Port": WHOLE}],
    "Locations": [{"StoreMachine": TEXT, "StoreType": WHOLE, "ChainLevel": WHOLE}],
    "Metadata": ANY,
}
ENROLLED: dict[str, Kind] = {
    "CertificateInformation": {
        **dict.fromkeys(("SerialNumber", "IssuerDN", "Thumbprint", "PKCS12Blob"), TEXT),
        **dict.fromkeys(("KeyfactorID", "KeyfactorRequestId"), WHOLE),
        **dict.fromkeys(("RequestDisposition", "DispositionMessage"), TEXT),
        "Certificates": [TEXT],
        "EnrollmentContext": ANY,
    },
}


def wrong(value: Any, kind: Any, where: str = "") -> list[str]:
    """Return where Go's decoder would stop: names are matched in any case."""
    if value is None or kind == ANY:
        return []
    if isinstance(kind, Mapping):
        if not isinstance(value, dict):
            return [where]
        kinds = {name.lower(): each for name, each in kind.items()}
        return [
            found
            for name, member in value.items()
            if name.lower() in kinds
            for found in wrong(member, kinds[name.lower()], f"{where}.{name}")
        ]
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [where]
        return [found for each in value for found in wrong(each, kind[0], f"{where}[]")]
    types = {TEXT: {str}, WHOLE: {int}, NUMBER: {int, float}, FLAG: {bool}}
    return [] if type(value) in types[kind] else [where]


@pytest.fixture
def names(admin: Caller, portal_ca: CertificateAuthority) -> dict[str, str]:
    """What stands for ids and texts in the requests below."""
    user_with("Operator", "ben")
    made = rows.fleet(timezone.now())
    jobs.request_logs(made.calm, actor=Actor("t"), now=timezone.now())
    certificate = made.calm.certificates.first()
    assert certificate is not None
    return {
        "<role>": str(admin.post("Security/Roles", {"Name": "Night"}).json()["Id"]),
        "<ben>": str(User.objects.get(username="ben").pk),
        "<authority>": str(portal_ca.pk),
        "<template>": str(Template.objects.get(name="Orchestrator").pk),
        "<certificate>": str(certificate.pk),
        "<name>": made.calm.client_machine,
        "<csr>": pki.pem(pki.csr("CN=go", key_name="ec-p256-other")).replace("\n", "\\n"),
        "<now>": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


CALLS: dict[str, tuple[str, str, str, Any]] = {
    "its orchestrators": ("GET", "Agents", "null", [AGENT]),
    "its authorities": ("GET", "CertificateAuthority", "null", [AUTHORITY]),
    "its templates": ("GET", "Templates?PageReturned=1&ReturnLimit=100", "null", [TEMPLATE]),
    "a template": ("GET", "Templates/<template>", "null", TEMPLATE),
    "a template, changed": (
        "PUT",
        "Templates",
        '{"Id": <template>, "CommonName": "Orchestrator", "TemplateName": "Orchestrator",'
        ' "KeySize": "256", "KeyType": "ECC", "FriendlyName": "Orchestrator",'
        ' "KeyRetention": "None", "KeyRetentionDays": 0, "KeyArchival": false,'
        ' "EnrollmentFields": [], "MetadataFields": [], "AllowedEnrollmentTypes": 2,'
        ' "TemplateRegexes": [], "UseAllowedRequesters": true, "AllowedRequesters": ["ben"],'
        ' "RFCEnforcement": false, "RequiresApproval": false, "KeyUsage": 128,'
        ' "TemplatePolicy": {"TemplateId": <template>, "AllowKeyReuse": false,'
        ' "AllowWildcards": false, "RFCEnforcement": false}}',
        TEMPLATE,
    ),
    "its certificates": (
        "GET",
        "Certificates?includeLocations=true&pq.queryString=IssuedCN%20-eq%20%22<name>%22",
        "null",
        [CERTIFICATE],
    ),
    "a certificate": (
        "GET",
        "Certificates/<certificate>?includeLocations=true&includeMetadata=true&collectionId=0",
        "null",
        CERTIFICATE,
    ),
    "a certificate as a file": (
        "POST",
        "Certificates/Download",
        '{"CertID": <certificate>, "IncludeChain": true, "ChainOrder": "EndEntityFirst"}',
        {"Content": TEXT},
    ),
    "a certificate for a CSR": (
        "POST",
        "Enrollment/CSR",
        '{"CSR": "<csr>", "Timestamp": "<now>", "Template": "Orchestrator",'
        ' "CertificateAuthority": "pki.example.com\\\\Test CA", "IncludeChain": true,'
        ' "SANs": null, "Metadata": null}',
        ENROLLED,
    ),
    "a certificate for a CSR, of the newest client": (
        "POST",
        "Enrollment/CSR",
        '{"CSR": "<csr>", "PrivateKey": null, "CertificateAuthority": "Test CA",'
        ' "IncludeChain": false, "IncludeSubjectHeader": false, "Timestamp": "<now>",'
        ' "OwnerRoleId": null, "OwnerRoleName": null, "Template": "Orchestrator",'
        ' "SANs": {}, "EnrollmentPatternId": null}',
        ENROLLED,
    ),
    "a revocation": (
        "POST",
        "Certificates/Revoke",
        '{"CertificateIds": [<certificate>], "Reason": 4, "Comment": "renewed",'
        ' "EffectiveDate": "<now>"}',
        ANY,
    ),
    "its identities": ("GET", "Security/Identities", "null", [IDENTITY]),
    "a new identity": ("POST", "Security/Identities", '{"AccountName": "CORP\\\\eve"}', IDENTITY),
    "its roles": ("GET", "Security/Roles", "null", [ROLE]),
    "a role by its id": ("GET", "Security/Roles/<role>", "null", ROLE),
    "a role by its name": (
        "GET",
        "Security/Roles?pq.queryString=name%20-eq%20%22Night%22",
        "null",
        [ROLE],
    ),
    "a new role": (
        "POST",
        "Security/Roles",
        '{"Name": "Day", "Description": "By day", "Enabled": true, "Private": false,'
        ' "Permissions": ["AgentManagement:Read"],'
        ' "Identities": [{"AccountName": "ben", "SID": null}]}',
        ROLE,
    ),
    "a role, changed": (
        "PUT",
        "Security/Roles",
        '{"Id": <role>, "Name": "Night", "Description": "By night",'
        ' "Identities": [{"AccountName": "ben", "SID": ""}]}',
        ROLE,
    ),
    "who has a role, by number": (
        "PUT",
        "Security/Roles/<role>/Identities",
        '{"Ids": [<ben>]}',
        [{"Id": WHOLE, "Name": TEXT}],
    ),
    "who has a role, as objects": (
        "PUT",
        "Security/Roles/<role>/Identities",
        '[{"Id": <ben>}]',
        [IDENTITY],
    ),
    "whether an authority answers": (
        "POST",
        "CertificateAuthority/Test",
        '{"Id": <authority>, "LogicalName": "Test CA", "HostName": "pki.example.com",'
        ' "Delegate": false, "DelegateEnrollment": false, "ForestRoot": null,'
        ' "ConfigurationTenant": "", "Remote": false, "Agent": "", "Standalone": false,'
        ' "MonitorThresholds": false, "IssuanceMax": null, "IssuanceMin": 0, "FailureMax": 0,'
        ' "RFCEnforcement": false, "Properties": null, "AllowedEnrollmentTypes": 2,'
        ' "KeyRetention": 0, "KeyRetentionDays": 0, "ExplicitCredentials": false,'
        ' "SubscriberTerms": false, "ExplicitUser": "",'
        ' "ExplicitPassword": {"SecretValue": "", "Parameters": {}, "Provider": 0},'
        ' "UseAllowedRequesters": false, "AllowedRequesters": [], "FullScan": {},'
        ' "CAType": 1, "EnforceUniqueDN": false, "ClientSecret": {"SecretValue": null}}',
        {"Success": FLAG, "Message": TEXT},
    ),
}


def said(template: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        template = template.replace(name, value)
    return template


@pytest.mark.both_databases
@pytest.mark.parametrize(("method", "path", "body", "kind"), CALLS.values(), ids=CALLS)
def test_each_call_succeeds_and_its_reply_can_be_decoded(
    admin: Caller,
    names: dict[str, str],
    method: str,
    path: str,
    body: str,
    kind: Any,
) -> None:
    headers = {"x-certificateformat": "P7B" if "Download" in path else "PEM"}
    answer = admin.send(method, said(path, names), raw=said(body, names), headers=headers)
    # The client takes no other status for success.
    assert answer.status_code in (200, 204), answer.content
    assert answer["Content-Type"] == "application/json"
    reply = json.loads(answer.content)
    assert wrong(reply, kind) == []
    assert reply, "an empty list decodes whatever its kind is"


def test_the_role_and_its_holder_are_told_on_both_sides(
    admin: Caller, names: dict[str, str]
) -> None:
    admin.send("PUT", "Security/Roles/<role>/Identities".replace("<role>", names["<role>"]),
               {"Ids": [int(names["<ben>"])]})  # fmt: skip
    night = {"Id": int(names["<role>"]), "Name": "Night", "Description": ""}
    ben = admin.get(f"Security/Identities/{names['<ben>']}").json()
    assert night in ben["Roles"]
    assert ben["Identity"] == ben["Name"] == "ben"
    granted = {each["Permission"]: each["GrantedByRoles"] for each in ben["SecuredAreaPermissions"]}
    assert granted["/agents/management/read/"] == ["Operator"]
    for role in (
        admin.get(f"Security/Roles/{names['<role>']}").json(),
        *(r for r in admin.get("Security/Roles").json() if r["Name"] == "Night"),
    ):
        assert [(each["Id"], each["AccountName"]) for each in role["Identities"]] == [
            (ben["Id"], "ben")
        ]
        assert role["Immutable"] is False


REFUSED: dict[str, tuple[str, str, str, str]] = {
    "an identity with a SID": (
        "POST", "Security/Identities", '{"AccountName": "eve", "SID": "S-1-5-21"}', "value_invalid",
    ),
    "a holder with a SID": (
        "PUT", "Security/Roles/<role>/Identities",
        '[{"AccountName": "ben", "SID": "S-1-5-21"}]', "value_invalid",
    ),
    "a holder whose number is another's": (
        "PUT", "Security/Roles/<role>/Identities", '[{"AccountName": "ada", "Id": <ben>}]',
        "value_invalid",
    ),
    "a holder by no name at all": (
        "PUT", "Security/Roles/<role>/Identities", "[{}]", "identity_unknown",
    ),
    "a number that nobody has": (
        "PUT", "Security/Roles/<role>/Identities", '{"Ids": [<ben>, 404404]}', "identity_unknown",
    ),
    "a number that no database has": (
        "PUT", "Security/Roles/<role>/Identities", '{"Ids": [9007199254740993000]}',
        "identity_unknown",
    ),
    "no list of holders": (
        "PUT", "Security/Roles/<role>/Identities", "null", "body_wrong_shape",
    ),
    "an authority that enforces what this portal does not": (
        "POST", "CertificateAuthority/Test", '{"Id": <authority>, "RFCEnforcement": true}',
        "value_invalid",
    ),
    "an authority with a password": (
        "POST", "CertificateAuthority/Test",
        '{"Id": <authority>, "ExplicitPassword": {"SecretValue": "hunter2"}}', "value_invalid",
    ),
    "an authority that is not as it is saved": (
        "POST", "CertificateAuthority/Test", '{"Id": <authority>, "HoldSeconds": 299}',
        "value_invalid",
    ),
    "two names for one authority": (
        "POST", "CertificateAuthority/Test", '{"Id": <authority>, "LogicalName": "Other"}',
        "value_invalid",
    ),
    "a change of what an authority lacks": (
        "PUT", "CertificateAuthority",
        '{"Id": <authority>, "LogicalName": "Test CA", "MonitorThresholds": true}',
        "value_invalid",
    ),
    "a template that keeps keys": (
        "PUT", "Templates", '{"Id": <template>, "KeyRetention": "Indefinite"}', "value_invalid",
    ),
    "a template whose certificates are cleaned up": (
        "PUT", "Templates", '{"Id": <template>, "CertificateCleanupEnabled": true}',
        "value_invalid",
    ),
    "a policy in words that are not known": (
        "PUT", "Templates",
        '{"Id": <template>, "TemplatePolicy": {"PrimaryKeyAlgorithms": [{"name": "RSA"}]}}',
        "value_invalid",
    ),
    "an owner of a certificate": (
        "POST", "Enrollment/CSR",
        '{"CSR": "<csr>", "CertificateAuthority": "Test CA", "Template": "Orchestrator",'
        ' "OwnerRoleName": "Night"}',
        "value_invalid",
    ),
}  # fmt: skip


@pytest.mark.both_databases
@pytest.mark.parametrize(("method", "path", "body", "code"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_dropped_is_refused(
    admin: Caller, names: dict[str, str], method: str, path: str, body: str, code: str
) -> None:
    holders = set(Group.objects.get(pk=names["<role>"]).user_set.all())
    answer = admin.send(method, said(path, names), raw=said(body, names))
    told = refused(answer, 400, code)
    assert "hunter2" not in json.dumps(told)
    assert set(Group.objects.get(pk=names["<role>"]).user_set.all()) == holders
