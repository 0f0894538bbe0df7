"""POST /Agents/Import: a fleet that another system knows, over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orchestrators.labels import labels_of
from orchestrators.models import Orchestrator, Status
from portal.access.accounts import save_user
from portal.access.catalogue import ROLES, Permission
from portal.preferences import store
from renewal import certificates
from renewal.identity import approvals
from renewal.models import Claimant
from renewal.rules.standing import Standing
from renewal.x509.certificates import read_certificate
from tests import pki
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, basic, caller_with, refused

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
AGENT = {"ClientMachine": "web01", "Status": 2, "Thumbprint": "AB" * 20}


def outcomes(admin: Caller, body: Any) -> list[tuple[str, str | None]]:
    response = admin.post("Agents/Import", body)
    assert response.status_code == 200
    return [(row["Outcome"], row["Reason"]) for row in response.json()]


def test_rows_count_for_themselves_and_a_dry_run_leaves_nothing(admin: Caller) -> None:
    agents = [AGENT, {"ClientMachine": "web02"}, AGENT | {"ClientMachine": "x", "Status": 1}]
    expected = [("announced", None), ("refused", "nothing_to_know_it_by"), ("left out", None)]
    assert outcomes(admin, {"Agents": agents, "DryRun": True}) == expected
    assert not Orchestrator.objects.exists()
    assert outcomes(admin, {"Agents": agents}) == expected
    assert outcomes(admin, {"Agents": agents})[0] == ("unchanged", None)
    assert Orchestrator.objects.get().announced_thumbprint == "AB" * 20


def test_a_dry_run_tells_what_the_call_itself_will_answer(admin: Caller) -> None:
    own = "7c4f0f0e-6f1c-4d9c-8a30-0a4ef1ad3f01"
    agents = [
        AGENT,
        AGENT | {"ClientMachine": "web03", "AgentId": own, "Thumbprint": "CD" * 20},
        {"ClientMachine": "web02"},
        AGENT | {"ClientMachine": "x", "Status": 1},
    ]
    dry = admin.post("Agents/Import", {"Agents": agents}, query={"dry_run": "true"}).json()
    assert not Orchestrator.objects.exists()
    foreseen = [(each["Outcome"], each["Reason"], each["Id"]) for each in dry["Changes"]]
    assert foreseen == [
        ("change", None, ""),
        ("change", None, own),
        ("skip", "nothing_to_know_it_by", ""),
        ("skip", None, ""),
    ]
    real = admin.post("Agents/Import", {"Agents": agents}).json()
    assert real[0].pop("AgentId")
    assert dry["Changes"][0]["After"].pop("AgentId") is None
    assert [each["After"] for each in dry["Changes"]] == real

    again = admin.post("Agents/Import", {"Agents": agents}, query={"dry_run": "true"}).json()
    assert [each["Outcome"] for each in again["Changes"]] == ["unchanged"] * 2 + ["skip"] * 2
    assert again["Changes"][0]["Id"] == str(Orchestrator.objects.get(client_machine="web01").pk)


BAD: dict[str, tuple[Any, str]] = {
    "an empty array": ([], "list_empty"),
    "a text": ("ClientMachine\nweb01", "body_wrong_shape"),
    "no agents": ({"Agents": []}, "list_empty"),
    "too many": ({"Agents": [AGENT] * 1001}, "list_too_long"),
    "an unknown member": ({"Agents": [AGENT], "Force": True}, "member_unknown"),
    "a text for a flag": ({"Agents": [AGENT], "DryRun": "yes"}, "value_invalid"),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD.keys())
def test_it_is_refused_with(admin: Caller, body: Any, code: str) -> None:
    refused(admin.post("Agents/Import", body), 400, code)
    assert not Orchestrator.objects.exists()


BAD_CSV: dict[str, tuple[bytes, str]] = {
    "no column of names": (b"Name,Thumbprint\nweb01,AB\n", "body_wrong_shape"),
    "a quote that is not closed": (b'ClientMachine\n"web01', "body_wrong_shape"),
    "bytes that are no text": (b"ClientMachine\n\xff\xfe", "body_wrong_shape"),
    "a first line alone": (b"ClientMachine,Thumbprint\n", "list_empty"),
    "a column twice": (
        b"ClientMachine,Thumbprint,thumbprint\nx," + b"AB" * 20 + b",\n",
        "body_wrong_shape",
    ),
    "the same column twice": (b"ClientMachine,ClientMachine\nx,y\n", "body_wrong_shape"),
    "too many rows": (b"ClientMachine\n" + b"x\n" * 1001, "list_too_long"),
}


@pytest.mark.parametrize(("raw", "code"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_a_csv_is_refused_with(admin: Caller, raw: bytes, code: str) -> None:
    refused(admin.post("Agents/Import", raw=raw, content_type="text/csv"), 400, code)
    refused(admin.post("Agents/Reset", raw=raw, content_type="text/csv"), 415,
            "content_type_unknown")  # fmt: skip


def test_the_list_of_another_system_is_taken_as_it_is(admin: Caller) -> None:
    assert outcomes(admin, [AGENT]) == [("announced", None)]
    csv = "ClientMachine,Thumbprint,Labels,AuthCertificateReenrollment\r\n" + (
        "web02," + "CD" * 20 + ",region=eu;site=b1,Requested\r\n"
    )
    sent: Any = {"raw": csv, "content_type": "text/csv; charset=utf-8"}
    dry = admin.post("Agents/Import", query={"dry_run": "true"}, **sent).json()
    assert [each["Outcome"] for each in dry["Changes"]] == ["change"]
    assert not Orchestrator.objects.filter(client_machine="web02").exists()
    answer = admin.post("Agents/Import", **sent, headers={"Idempotency-Key": "k"}).json()
    assert [(row["Outcome"], row["Message"]) for row in answer] == [("announced", None)]
    again = admin.post("Agents/Import", **sent, headers={"Idempotency-Key": "k"})
    assert (again.json(), again["Idempotency-Replayed"]) == (answer, "true")
    made = Orchestrator.objects.get(client_machine="web02")
    assert (made.flag, labels_of(made)) == (1, {"region": "eu", "site": "b1"})


def test_what_is_not_taken_over_is_said(admin: Caller) -> None:
    rows = [
        AGENT | {"Username": "CORP\\svc-old"},
        AGENT | {"ClientMachine": "web02", "Thumbprint": "CD" * 20, "Username": "orchestrators"},
    ]
    first, second = admin.post("Agents/Import", rows).json()
    assert "CORP" in first["Message"]
    assert "'orchestrators'" in first["Message"]
    assert second["Message"] is None
    again = [AGENT | {"AuthCertificateReenrollment": "2"}]
    assert "AuthCertificateReenrollment" in admin.post("Agents/Import", again).json()[0]["Message"]
    assert Orchestrator.objects.get(client_machine="web01").flag == 0


def test_who_called_before_it_was_imported_gets_all_that_its_row_says(admin: Caller) -> None:
    """An agent that nobody knew is a New record of its name; the import makes the Approved one."""
    rows.orchestrator("web01", now=timezone.now(), status=Status.NEW)
    group("East")
    row = {
        **AGENT,
        "AgentId": "6f960000-0000-4000-8000-000000000001",
        "Certificate": pki.pem(pki.certificate(), "CERTIFICATE"),
        "Group": "East",
        "Labels": {"site": "ber"},
        "AuthCertificateReenrollment": "Requested",
    }
    del row["Thumbprint"]
    (told,) = admin.post("Agents/Import", [row]).json()
    assert (told["Outcome"], told["Message"]) == ("entered", None)
    made = Orchestrator.objects.get(pk=told["AgentId"])
    assert (made.flag, made.group and made.group.name) == (1, "East")
    assert labels_of(made) == {"site": "ber"}


def test_who_may_not_request_renewals_imports_no_flags() -> None:
    sent = role("Importer", [Permission.AGENTS_READ, Permission.AGENTS_APPROVE])
    ida = Caller({"Authorization": basic(user("ida", sent).username, rows.PASSWORD)})
    flagged = [AGENT | {"AuthCertificateReenrollment": "Required"}]
    refused(ida.post("Agents/Import", flagged), 403, "permission_missing")
    assert outcomes(ida, [AGENT | {"AuthCertificateReenrollment": "None"}]) == [("announced", None)]


def test_a_thousand_rows_take_few_statements_and_short_transactions(
    admin: Caller, django_assert_max_num_queries: Any
) -> None:
    agents = [
        AGENT | {"ClientMachine": f"web{n}", "Thumbprint": f"{n:040X}", "Version": "1.2"}
        for n in range(1000)
    ]
    agents[999] = agents[999] | {"Thumbprint": f"{0:040X}"}
    with django_assert_max_num_queries(600):
        found = outcomes(admin, agents)
    assert found == [("announced", None)] * 999 + [("refused", "announced_twice")]


def test_it_needs_the_permission_without_a_limit() -> None:
    refused(caller_with("Operator").post("Agents/Import", {"Agents": [AGENT]}), 403,
            "permission_missing")  # fmt: skip
    part = role("Part", ROLES["Administrator"], only_groups=[group("Berlin")])
    bea = Caller({"Authorization": basic(user("bea", part).username, rows.PASSWORD)})
    refused(bea.post("Agents/Import", {"Agents": [AGENT]}), 403, "permission_missing")
    assert not Orchestrator.objects.exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ApprovalsForFirstRegistration", "2"), ("ApprovalRolesForFirstRegistration", "Auditor")],
    ids=["two people", "somebody of a role"],
)
def test_what_takes_others_to_approve_is_not_taken_in_by_one(
    admin: Caller, setting: str, value: str
) -> None:
    store.change(setting, value, actor=TESTER, now=timezone.now())
    low = caller_with("Approver", "amy").post("Agents/Import", {"Agents": [AGENT]})
    refused(low, 403, "permission_missing")
    assert not Orchestrator.objects.exists()
    assert outcomes(admin, {"Agents": [AGENT]}) == [("announced", None)]


def test_what_other_versions_answer_of_an_agent_is_passed_over(admin: Caller) -> None:
    more = {"JobTypes": [], "AgentPoolId": None, "EnableDiscover": True, "Renewal": {"Level": 0}}
    assert outcomes(admin, {"Agents": [AGENT | more]}) == [("announced", None)]


@pytest.mark.parametrize("gift", [{"Group": "Berlin"}, {"Labels": {"site": "b"}}])
def test_groups_and_labels_are_given_by_who_may_give_them(gift: dict[str, Any]) -> None:
    body = {"Agents": [AGENT | gift]}
    refused(caller_with("Approver", "amy").post("Agents/Import", body), 403, "permission_missing")
    assert not Orchestrator.objects.exists()


@pytest.fixture
def accounts(db: None) -> None:
    """Service accounts: of the shipped role, and one that may change orchestrators."""
    for name, held in (("svc-berlin", "Orchestrator"), ("svc-high", "Administrator")):
        save_user(name, roles=[held], is_service_account=True, actor=TESTER)


ACCOUNTS: dict[str, tuple[list[Permission], str, str]] = {
    "one that holds no more than the caller": (
        [Permission.AGENTS_MODIFY, *ROLES["Orchestrator"]], "svc-berlin", "svc-berlin"),
    "nobody": ([Permission.AGENTS_MODIFY, *ROLES["Orchestrator"]], "svc-none", "orchestrators"),
    "one that holds more": (
        [Permission.AGENTS_MODIFY, *ROLES["Orchestrator"]], "svc-high", "orchestrators"),
    "one that may enrol, by who may not": (
        [Permission.AGENTS_MODIFY], "svc-berlin", "orchestrators"),
    "one, by who may approve alone": (
        [Permission.AGENTS_APPROVE, *ROLES["Orchestrator"]], "svc-berlin", "orchestrators"),
}  # fmt: skip


@pytest.mark.parametrize(("held", "named", "becomes"), ACCOUNTS.values(), ids=ACCOUNTS.keys())
def test_a_new_record_runs_under_an_account_that_the_caller_may_give(
    accounts: None, held: list[Permission], named: str, becomes: str
) -> None:
    given = role("Importer", {Permission.AGENTS_READ, *held})
    ida = Caller({"Authorization": basic(user("ida", given).username, rows.PASSWORD)})
    with_certificate = {"ClientMachine": "web02", "Certificate": pki.b64(pki.certificate())}
    sent = [with_certificate | {"Username": f"CORP\\{named}"}, AGENT | {"Username": named}]
    answer = ida.post("Agents/Import", sent).json()
    assert [row["Outcome"] for row in answer] == ["entered", "announced"]
    assert set(Orchestrator.objects.values_list("service_account__username", flat=True)) == {
        becomes
    }
    if becomes == "orchestrators":
        # What is not there and what may not be given are told in the same words.
        assert answer[1]["Message"] == (
            f"Its Username {named!r} is no service account that you may give: it runs under "
            "'orchestrators'."
        )


@pytest.mark.parametrize("caller", ["Approver", "Administrator"])
def test_a_record_that_exists_keeps_its_service_account(accounts: None, caller: str) -> None:
    someone = caller_with(caller, "amy")
    holder = rows.approved("web01", now=timezone.now(), left=timedelta(days=300))
    plain = {"AgentId": str(holder.pk), "ClientMachine": "web01"}
    der = pki.b64(bytes(holder.certificates.get().der))
    messages = set()
    for named in ("svc-berlin", "svc-none"):
        for more in ({"Certificate": der}, {"Thumbprint": holder.thumbprint}):
            (answer,) = someone.post("Agents/Import", [plain | more | {"Username": named}]).json()
            assert answer["Outcome"] == "unchanged", answer
            messages.add(answer["Message"])
    assert messages == {"Its Username was not taken over: the record is here."}
    holder.refresh_from_db()
    assert holder.service_account == rows.service_account()


@pytest.mark.parametrize("is_disapproved", [False, True], ids=["Reset", "disapproved since"])
@pytest.mark.parametrize("override", [False, True], ids=["held to it", "may override"])
def test_a_return_is_not_approved_by_an_import(is_disapproved: bool, override: bool) -> None:
    now = timezone.now()
    store.change("ApproverDiffersFromResetter", "true", actor=TESTER, now=now)
    amy = caller_with("Administrator" if override else "Approver", "amy")
    victim = rows.approved("web01", now=now, left=timedelta(days=300))
    approvals.reset(victim.pk, actor=TESTER, now=now)
    victim.refresh_from_db()
    lasting = {"not_before": now - timedelta(days=1), "not_after": now + timedelta(days=300)}
    facts = read_certificate(pki.certificate("CN=web01", key_name="rsa-2048", **lasting))
    seen = certificates.create(facts, standing=Standing.SEEN, now=now)
    Claimant.objects.create(
        orchestrator=victim, generation=1, certificate=seen, first_seen=now, last_seen=now
    )
    if is_disapproved:
        approvals.disapprove(victim.pk, actor=TESTER, now=now)
    der = pki.b64(facts.der)
    other = pki.b64(pki.certificate(key_name="rsa-3072", serial_number=7, **lasting))
    fresh = {"Status": 2, "AgentId": "7c4f0f0e-6f1c-4d9c-8a30-0a4ef1ad3f01"}
    attempts = [
        fresh | {"ClientMachine": "WEB01", "Certificate": other},
        fresh | {"ClientMachine": "web02", "Certificate": der},
        fresh | {"ClientMachine": "web02", "Thumbprint": seen.thumbprint},
    ]
    for attempt in attempts:
        dry = amy.post("Agents/Import", {"Agents": [attempt], "DryRun": True}).json()
        assert (dry[0]["Outcome"] == "refused") is not override, dry[0]["Message"]
    if not override:
        assert [each[1] for each in outcomes(amy, attempts)] == ["not_approved"] * 3
        assert list(Orchestrator.objects.values_list("pk", flat=True)) == [victim.pk]
