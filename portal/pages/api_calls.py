"""The call of the REST API that does what a page does: method, path and body, as a curl line.

Owns "API call" beside the acts of the pages, so that who has done it once by hand can have a script
do it. What a call means is `portal/rest`'s; a test compares each with the checked-in document.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group

from orchestrators.models import AutoRegistrationRule, OrchestratorGroup, Reenrollment
from portal.access.catalogue import Permission, entry_for
from portal.access.models import ApiToken
from portal.pages.api_query import query_string
from renewal.ca.base import Option
from renewal.models import CertificateAuthority, Template
from renewal.selectors.filters import Filters
from renewal.templates import Contents, contents_of

MOST_IDS = 1000
"""So many ids a call may name, and so many rows a page of a list may have."""
_MOST_SHOWN = 100
_AUTHORITIES = "/CertificateAuthority"
_WHY = "the reason, for the audit log"
_FLAGS = {
    "clear": Reenrollment.NONE,
    "request": Reenrollment.REQUESTED,
    "require": Reenrollment.REQUIRED,
}
_LISTS = {"approve": "Approve", "disapprove": "Disapprove", "reset": "Reset"}


@dataclass(frozen=True)
class ApiCall:
    """One call; ``path`` is the document's, with the names of ``values`` in braces."""

    about: str
    method: str
    path: str
    values: dict[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    is_job: bool = False
    in_file: bool = False
    """The body is too long for a line: `body.json` holds it, and ``body`` is its shape."""
    by_password: bool = False
    """A token may not ask for it: a user signs in with a password."""

    @property
    def target(self) -> str:
        """Method and path as they are sent."""
        return f"{self.method} {self._filled}"

    @property
    def curl(self) -> str:
        """A command for a shell that knows PORTAL_URL and PORTAL_TOKEN."""
        bearer = '-H "Authorization: Bearer $PORTAL_TOKEN"'
        lines = [
            f'curl --fail-with-body -sS -X {self.method} "$PORTAL_URL/KeyfactorAPI{self._filled}"',
            '-u "$PORTAL_USER"' if self.by_password else bearer,
            "-H 'x-keyfactor-requested-with: APIClient'",
        ]
        if self.is_job:
            lines.append("-H 'Prefer: respond-async'")
        if self.query:
            pairs = (shlex.quote(f"{name}={value}") for name, value in self.query)
            lines.append(" ".join(["-G", *(f"--data-urlencode {pair}" for pair in pairs)]))
        if self.in_file:
            lines.append("--json @body.json")
        elif self.body is not None:
            lines.append(f"--json {shlex.quote(self.text)}")
        return " \\\n  ".join(lines)

    @property
    def text(self) -> str:
        """The body as JSON."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def _filled(self) -> str:
        return self.path.format(**self.values)


def of_act(act: str, ids: Sequence[UUID], *, is_job: bool = False) -> list[ApiCall]:
    """Return the call for an act on named orchestrators; several are a job, as on the pages."""
    if act == "logs":
        about = "Once for each of them" if is_job or len(ids) > 1 else ""
        if not ids:
            return []
        return [ApiCall(about, "POST", "/Agents/{id}/FetchLogs", {"id": str(ids[0])})]
    if len(ids) == 1 and not is_job and act in _LISTS:
        return [_of_one(act, ids[0])]
    is_job = is_job or len(ids) > 1
    is_long = len(ids) > _MOST_SHOWN
    named = ["AgentId", "…"] if is_long else [str(pk) for pk in ids]
    body: Any = named
    path = f"/Agents/{_LISTS[act]}" if act in _LISTS else "/Agents/SetAuthCertificateReenrollment"
    if act in _FLAGS:
        body = {"OrchestratorIds": named, "Status": int(_FLAGS[act])}
    return [ApiCall("", "POST", path, body=body, is_job=is_job, in_file=is_long)]


def of_all(act: str, ids: Iterable[UUID], filters: Filters, *, now: datetime) -> list[ApiCall]:
    """Return the calls for an act on all that match: how to list them, and how to act on them.

    Without the first where the API has no word for one of the filters.
    """
    listed = of_list(filters, now=now)
    if listed:
        more = (("ReturnLimit", str(MOST_IDS)),)
        call = listed[0]
        listed = [ApiCall("Which ones", call.method, call.path, query=call.query + more)]
    return [*listed, *of_act(act, list(ids), is_job=True)]


def of_approval(pk: UUID, request: int) -> list[ApiCall]:
    """Return the calls that decide a request for approval of an orchestrator, or speak to it."""
    path, values = "/ApprovalRequests/{id}/Comments", {"id": str(request)}
    comment = ApiCall("Comment", "POST", path, values, body={"Text": "what you have to say"})
    return [_of_one("approve", pk), _of_one("disapprove", pk), comment]


def of_names(pk: UUID, names: Sequence[str]) -> list[ApiCall]:
    """Return the call that sets the names of an orchestrator's certificates beside its own."""
    body = {"ExtraNames": list(names)}
    return [ApiCall("", "POST", "/Agents/{id}/Names", {"id": str(pk)}, body=body)]


def of_setting(number: int, value: str) -> list[ApiCall]:
    """Return the call that sets a setting, with the value that it has."""
    path = "/AppSetting/{id}/Set"
    return [ApiCall("", "PUT", path, {"id": str(number)}, body={"Value": value})]


def of_revocation(certificate: int, reason: int) -> list[ApiCall]:
    """Return the call that revokes a certificate for a reason (RFC 5280 §5.3.1)."""
    body = {"CertificateIds": [certificate], "Reason": reason, "Comment": _WHY}
    return [ApiCall("", "POST", "/Certificates/Revoke", body=body)]


def of_csr(authority: str, template: str) -> list[ApiCall]:
    """Return the call that asks for a certificate with a CSR, of the CA and template named."""
    body = {
        "CSR": "the CSR in PEM",
        "CertificateAuthority": authority or "the CA",
        "Template": template or "the template",
    }
    return [ApiCall("", "POST", "/Enrollment/CSR", body=body)]


def of_grouping(ids: Iterable[UUID], group: str | None) -> list[ApiCall]:
    """Return the calls that set group and labels of orchestrators, the first with the group named;
    None is no group.
    """
    named = [str(pk) for pk in ids]
    labels = {"AgentIds": named, "Set": {"site": "berlin"}, "Remove": ["rack"]}
    return [
        ApiCall("Group", "POST", "/Agents/SetGroup", body={"AgentIds": named, "Group": group}),
        ApiCall("Labels", "POST", "/Agents/SetLabels", body=labels),
    ]


def of_enrollment(pk: int, *, retry: bool, give_up: bool) -> list[ApiCall]:
    """Return the calls for what can be done about an enrollment."""
    wanted = (("Retry", "Try now", retry), ("GiveUp", "Give up", give_up))
    return [
        ApiCall(
            about,
            "POST",
            f"/Enrollment/Requests/{{id}}/{word}",
            {"id": str(pk)},
            body={"Reason": _WHY},
        )
        for word, about, is_possible in wanted
        if is_possible
    ]


def of_new_authority(alias: str, options: Iterable[Option]) -> list[ApiCall]:
    """Return the call that adds a CA of a type; what has to be said of it stands in for itself."""
    said = {each.name: f"the {each.name}" for each in options if each.is_required}
    body = {"LogicalName": "the name", "Type": alias, **({"Options": said} if said else {})}
    return [ApiCall("", "POST", _AUTHORITIES, body=body)]


def of_authority(row: CertificateAuthority) -> list[ApiCall]:
    """Return the calls that change, test and ask a CA, the first with the values that it has."""
    body = {
        "Id": row.pk,
        "LogicalName": row.name,
        "Enabled": row.enabled,
        "HoldSeconds": row.hold_seconds,
    }
    named = {"CertificateAuthorityLogicalName": row.name}
    return [
        ApiCall("Change", "PUT", _AUTHORITIES, body=body),
        ApiCall("Test", "POST", f"{_AUTHORITIES}/Test", body={"Id": row.pk}),
        ApiCall("Publish CRL", "POST", f"{_AUTHORITIES}/PublishCRL", body=named),
        ApiCall("Remove", "DELETE", f"{_AUTHORITIES}/{{id}}", {"id": str(row.pk)}),
    ]


def of_new_template(contents: Contents) -> list[ApiCall]:
    """Return the call that adds a template."""
    return [ApiCall("", "POST", "/Templates", body={"TemplateName": "the name", **_said(contents)})]


def of_template(row: Template) -> list[ApiCall]:
    """Return the call that changes a template, with the values that it has."""
    return [ApiCall("", "PUT", "/Templates", body={"Id": row.pk, **_said(contents_of(row))})]


def of_new_rule() -> list[ApiCall]:
    """Return the call that adds a rule of auto-registration."""
    body = {"Name": "the name", "Outcome": "defer", "NamePatterns": ["web-*"]}
    return [ApiCall("", "POST", "/AutoRegistration/Rules", body=body)]


def of_rule(row: AutoRegistrationRule, position: int) -> list[ApiCall]:
    """Return the calls that change, move and remove a rule, with what it says now."""
    path, values = "/AutoRegistration/Rules/{id}", {"id": str(row.pk)}
    body = {
        "Outcome": row.outcome,
        "Enabled": row.enabled,
        "NamePatterns": list(row.name_patterns),
        "Networks": list(row.networks),
        "Position": position,
    }
    return [
        ApiCall("Change, switch or move", "PUT", path, values, body=body),
        ApiCall("Delete", "DELETE", path, values),
    ]


def of_job(pk: int, *, cancel: bool, retry: bool) -> list[ApiCall]:
    """Return the calls for what can be done about a bulk job."""
    values = {"id": str(pk)}
    calls = [ApiCall("How far it is", "GET", "/BulkJobs/{id}", values)]
    if cancel:
        calls.append(ApiCall("Cancel", "POST", "/BulkJobs/{id}/Cancel", values))
    if retry:
        calls.append(ApiCall("Try again", "POST", "/BulkJobs/{id}/Retry", values))
    return calls


def of_new_group() -> list[ApiCall]:
    """Return the call that adds a group."""
    return [ApiCall("", "POST", "/Groups", body={"Name": "the name", "Description": "what for"})]


def of_group(row: OrchestratorGroup) -> list[ApiCall]:
    """Return the calls that change and remove a group, the first with the values that it has."""
    values = {"id": str(row.pk)}
    body = {"Name": row.name, "Description": row.description}
    return [
        ApiCall("Change", "PUT", "/Groups/{id}", values, body=body),
        ApiCall("Remove", "DELETE", "/Groups/{id}", values),
    ]


def of_role(row: Group | None, permissions: Iterable[Permission]) -> list[ApiCall]:
    """Return the call that adds a role (``row`` is None) or changes it, with what it grants."""
    granted = sorted(entry_for(permission).access_string for permission in permissions)
    if row is None:
        body: dict[str, Any] = {
            "Name": "the name",
            "Permissions": granted or ["/agents/management/read/"],
        }
        return [ApiCall("", "POST", "/Security/Roles", body=body)]
    body = {"Id": row.pk, "Name": row.name, "Permissions": granted}
    return [ApiCall("", "PUT", "/Security/Roles", body=body)]


def of_new_credential() -> list[ApiCall]:
    """Return the call that makes a bootstrap credential for one orchestrator."""
    body = {"Name": "the name", "Days": 7}
    return [ApiCall("", "POST", "/BootstrapCredentials", body=body)]


def of_own_tokens(newest: ApiToken | None) -> list[ApiCall]:
    """Return the calls that make a token of one's own, and revoke the newest one."""
    body = {"Name": "what it is for", "Days": 90, "Scopes": ["/agents/management/read/"]}
    calls = [ApiCall("Issue", "POST", "/Tokens", body=body, by_password=True)]
    if newest is not None:
        about = f"Revoke {newest.name}"
        calls.append(ApiCall(about, "DELETE", "/Tokens/{id}", {"id": str(newest.pk)}))
    return calls


def of_new_user() -> list[ApiCall]:
    """Return the call that adds a user; it makes no service account."""
    body = {"AccountName": "the user name"}
    return [ApiCall("", "POST", "/Security/Identities", body=body)]


def of_user(pk: int) -> list[ApiCall]:
    """Return the call that deactivates a user or service account."""
    about, path = "Deactivate, and take every role", "/Security/Identities/{id}"
    return [ApiCall(about, "DELETE", path, {"id": str(pk)})]


def of_new_issuer() -> list[ApiCall]:
    """Return the call that trusts an issuer."""
    body = {"Certificate": "the certificate in PEM", "Name": "the name"}
    return [ApiCall("", "POST", "/TrustedIssuers", body=body)]


def of_issuer(pk: int) -> list[ApiCall]:
    """Return the call that trusts an issuer no longer."""
    return [ApiCall("", "DELETE", "/TrustedIssuers/{id}", {"id": str(pk)})]


def of_list(filters: Filters, *, now: datetime) -> list[ApiCall]:
    """Return the call that lists what a list shows, in the API's own order; none where the API has
    no word for one of the filters.
    """
    query = query_string(filters, now=now)
    if query is None:
        return []
    asked = (("QueryString", query),) if query else ()
    return [ApiCall("", "GET", "/Agents", query=asked)]


def _said(contents: Contents) -> dict[str, Any]:
    return {
        "KeyTypes": list(contents.key_types),
        "ValiditySeconds": contents.validity_seconds,
        "NamesPolicy": contents.names_policy,
        "NamePatterns": list(contents.name_patterns),
    }


def _of_one(act: str, pk: UUID) -> ApiCall:
    label = _LISTS[act]
    path = f"/Agents/{{id}}/{label}"
    return ApiCall(label, "POST", path, {"id": str(pk)}, body={"Reason": _WHY})
