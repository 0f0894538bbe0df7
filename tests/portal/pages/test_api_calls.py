"""The API call beside each act: it is in the document, and the API takes it as it is shown."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from orchestrators.models import AutoRegistrationRule
from portal.access.models import User
from portal.access.tokens import issue_token
from portal.pages.api_documentation import DOCUMENT
from renewal import authorities
from renewal.identity.trust import add_anchor
from renewal.models import ApprovalRequest, Certificate, CertificateAuthority, Template
from renewal.rules.standing import Standing
from tests import pki
from tests.portal.access.conftest import group
from tests.portal.pages import fleet as rows
from tests.portal.pages.test_administration import anchor_pem

ACTS = ("approve", "disapprove", "request", "require", "clear", "reset", "logs")
PAGES = {
    **{f"{act} one": f"/orchestrators/act?act={act}&ids={{waiting}}" for act in ACTS},
    **{f"{act} two": f"/orchestrators/act?act={act}&ids={{calm}}&ids={{renewed}}" for act in ACTS},
    **{f"{act} all that match": f"/orchestrators/all/preview?act={act}" for act in ACTS},
    "require all in the warning period": "/orchestrators/all/preview?act=require&state=warning",
    "decide a request for approval": "/approvals/{request}",
    "change a setting": "/settings/SessionLengthMinutes",
    "revoke a certificate": "/certificates/{certificate}/revoke",
    "fetch a log": "/orchestrators/{calm}/logs",
    "name an orchestrator": "/orchestrators/{calm}/parameters",
    "list": "/orchestrators",
    "ask for a certificate with a CSR": "/certificates/from-csr",
    "set group and labels": "/orchestrators/assign?ids={calm}&ids={renewed}",
    "add a certificate authority": "/authorities/add?type=local",
    "change, test and remove a certificate authority": "/authorities/{authority}",
    "change a certificate authority": "/authorities/{authority}/edit",
    "add a template": "/templates/add",
    "change a template": "/templates/{template}",
    "add a rule": "/orchestrators/auto-registration/add",
    "change, move and delete a rule": "/orchestrators/auto-registration/{rule}",
    "see, cancel and repeat a job": "/jobs/{job}",
    "add a group": "/groups",
    "change and remove a group": "/groups/{group}",
    "add a role": "/access/roles/add",
    "change a role": "/access/roles/{role}",
    "add an orchestrator": "/orchestrators/add",
    "issue and revoke a token of one's own": "/account/tokens",
    "add a user": "/access/users/add",
    "deactivate a user": "/access/users/{user}",
    "trust an issuer": "/trusted-issuers",
    "trust an issuer no longer": "/trusted-issuers/{issuer}/remove",
}


@pytest.fixture
def api(admin, now) -> Client:
    token = issue_token(
        User.objects.get(username="administrator"),
        "script",
        lasts=timedelta(days=1),
        actor=rows.ALICE,
        now=now,
    )
    headers = {"authorization": f"Bearer {token[1]}", "x-keyfactor-requested-with": "APIClient"}
    return Client(headers=headers)


def sent(api: Client, curl: str, **more: str):
    """Do what a shell and curl would, with $PORTAL_URL and $PORTAL_TOKEN."""
    words = shlex.split(curl)
    [method], body = after(words, "-X"), after(words, "--json")
    path = next(w for w in words if w.startswith("$PORTAL_URL")).removeprefix("$PORTAL_URL")
    query = [tuple(w.split("=", 1)) for w in after(words, "--data-urlencode")]
    asked = urlencode([*query, *more.items()], quote_via=quote)
    headers = dict(each.split(": ", 1) for each in after(words, "-H"))
    headers.pop("Authorization", None)
    if "$PORTAL_USER" in after(words, "-u"):
        name = b64encode(f"administrator:{rows.PASSWORD}".encode()).decode()
        headers["authorization"] = f"Basic {name}"
    text = "".join(body)
    # What stands for a thing that only its owner has.
    text = text.replace('"the certificate in PEM"', json.dumps(anchor_pem(timezone.now())))
    csr = b64encode(pki.csr("CN=app-server-01.example.com", key_name="ec-p256-other")).decode()
    text = text.replace('"the CSR in PEM"', json.dumps(csr))
    return api.generic(method, f"{path}?{asked}", text, "application/json", headers=headers)


def after(words: list[str], flag: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == flag]


def members(schema: dict, document: dict) -> set[str]:
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    return set(document["components"]["schemas"][name]["properties"])


def unused_authority(now: datetime) -> CertificateAuthority:
    wanted = authorities.Wanted("Another CA", "local", {}, is_new=True)
    return authorities.create_local(wanted, actor=rows.ALICE, now=now)[0]


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES.keys())
def test_a_page_shows_the_call_that_does_its_act(fleet, admin, api, now, path, settings, tmp_path):
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)
    current = Certificate.objects.filter(revoked_at=None, standing=Standing.CURRENT)
    address = path.format(
        waiting=fleet.waiting.pk,
        calm=fleet.calm.pk,
        renewed=fleet.renewed.pk,
        request=ApprovalRequest.objects.get(orchestrator=fleet.waiting).pk
        if "{request}" in path
        else "",
        certificate=current.earliest("pk").pk,
        authority=unused_authority(now).pk if "{authority}" in path else "",
        template=Template.objects.get().pk,
        rule=AutoRegistrationRule.objects.earliest("position").pk,
        job=rows.bulk_job(User.objects.get(username="administrator"), now).pk
        if "{job}" in path
        else "",
        group=group("Berlin").pk if "{group}" in path else "",
        role=Group.objects.get(name="Operator").pk,
        user=User.objects.get(username="orchestrators").pk,
        issuer=add_anchor(anchor_pem(now), name="", actor=rows.ALICE, now=now)[0].pk
        if "{issuer}" in path
        else "",
    )
    page = admin.get(address)
    text = page.content.decode()
    document = json.loads(DOCUMENT.read_text())
    calls = page.context["api_calls"]
    assert calls
    assert "<summary>API call</summary>" in text
    for call in calls:
        operation = document["paths"][call.path][call.method.lower()]
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        assert bool(schema) == (call.body is not None)
        if isinstance(call.body, dict):
            assert set(call.body) <= members(schema["schema"], document)
        named = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert {name for name, _ in call.query} <= named
        assert call.target in text
        more = {} if call.method == "GET" else {"dry_run": "true"}
        answer = sent(api, call.curl, **more)
        refused = answer.status_code == 409
        assert answer.status_code in (200, 204, 409), answer.content
        if refused:
            assert json.loads(answer.content)["ErrorCode"]


FILTERS = (
    "",
    "state=ok",
    "state=waiting",
    "ends=30d",
    "ends=180d",
    "q=re",
    'q=a"b',
    "group=nobody",
    "label=region%3Deu",
    "parameter=DataCenter%3D%22eu%22",
    "platform=java&ends=365d",
    "mark=offline",
    "mark=offline&state=ok",
    "seen=30d",
    "seen=never",
    "account=Orchestrators",
    "account=nobody",
    "answer=A01F0005",
    "answer=none&state=ok",
)


@pytest.mark.parametrize("query", FILTERS)
def test_the_call_of_a_list_answers_what_the_list_shows(fleet, admin, api, query):
    page = admin.get(f"/orchestrators?{query}")
    shown = {str(row.orchestrator.pk) for row in page.context["page"].rows}
    [call] = page.context["api_calls"]
    answer = sent(api, call.curl)
    assert {each["AgentId"] for each in answer.json()} == shown


def test_a_filter_without_a_word_in_the_api_shows_no_call_that_means_more(fleet, admin):
    for query in ("mark=revocation", "fleet=real", "version=1", "q=abcdef"):
        assert admin.get(f"/orchestrators?{query}").context["api_calls"] == [], query


def test_an_act_on_very_many_takes_its_ids_from_a_file(fleet, admin, now):
    for number in range(101):
        rows.approved(f"many-{number}", now=now, left=timedelta(days=300))
    page = admin.get("/orchestrators/all/preview?act=require&q=many-")
    listed, required = page.context["api_calls"]
    assert "ReturnLimit=1000" in listed.curl
    assert required.curl.endswith("--json @body.json")
    assert required.body == {"OrchestratorIds": ["AgentId", "…"], "Status": 2}
    assert "body.json" in page.content.decode()


def test_who_may_not_change_a_setting_is_shown_no_call(fleet, as_role):
    client = as_role("Read only")
    assert "API call" not in client.get("/settings/SessionLengthMinutes").content.decode()
    assert "API call" in client.get("/orchestrators").content.decode()


def test_a_call_waits_for_no_script(fleet, admin):
    page = admin.get("/settings/SessionLengthMinutes").content.decode()
    block = page.split("api-call", 1)[1].split("</details>", 1)[0]
    assert "$PORTAL_TOKEN" in block
    assert 'data-copy=""' in block
    assert " hidden>" in block


@pytest.mark.parametrize(
    "path", ["/access/users/add?kind=service", "/access/tokens", "/access/users"]
)
def test_what_has_no_call_shows_none(fleet, admin, path):
    assert "<summary>API call</summary>" not in admin.get(path).content.decode()
