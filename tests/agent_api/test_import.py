"""A fleet that another system knows comes to work without an operator (import in
docs/operations.md), and nobody else comes in with it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection

from orchestrators import labels
from orchestrators.fleet_file import FleetFileInvalid, read
from orchestrators.models import Orchestrator, OrchestratorGroup
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from renewal.identity.importing import SLICE, Outcome, Result, take_in
from renewal.invariants.verify import verify
from renewal.models import Certificate, Enrollment
from tests import pki
from tests.agent_api.front_door import (
    DAY,
    OPERATOR,
    FrontDoor,
    Host,
    actions,
    csr,
    new_key,
    row_of,
)

pytestmark = pytest.mark.both_databases
ID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
OTHER_ID = "99999999-2222-3333-4444-555555555555"


def thumbprint(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex().upper()


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def agent(name: str = "web01", **members: Any) -> dict[str, Any]:
    """Return an orchestrator as Keyfactor's ``GET /Agents`` answers."""
    return {
        "AgentId": ID,
        "ClientMachine": name,
        "Username": "CORP\\svc-keyfactor",
        "AgentPlatform": 1,
        "Version": "24.4.0.0",
        "Status": 2,
        "LastSeen": "2026-11-20T08:15:00Z",
        "Capabilities": ["CertStores.PEM.Inventory"],
        "Blueprint": None,
        "Thumbprint": None,
        "LegacyThumbprint": None,
        "AuthCertificateReenrollment": "None",
        "LastThumbprintUsed": None,
        "LastErrorCode": None,
        "LastErrorMessage": None,
    } | members


def imported(door: FrontDoor, *agents: dict[str, Any], dry_run: bool = False) -> list[Result]:
    rows = read(json.dumps(agents).encode())
    return take_in(rows, actor=OPERATOR, now=door.now, dry_run=dry_run)


def outcome(door: FrontDoor, *agents: dict[str, Any], **more: Any) -> list[str]:
    return [result.reason or result.outcome.value for result in imported(door, *agents, **more)]


class TestThumbprint:
    def test_who_shows_the_announced_certificate_works_at_once(self, door: FrontDoor) -> None:
        key = new_key()
        der = door.certificate(key, subject="CN=web01")
        assert outcome(door, agent(Thumbprint=thumbprint(der))) == ["announced"]
        reply = door.register(der, ClientMachine="web01", AgentId=ID)
        assert reply.said == (1, "", True, False)
        assert reply.agent_id.lower() == ID
        host = Host(door, "web01", der, key, reply.agent_id)
        assert host.row.standing == "current"
        assert actions(host.record)[:2] == ["announced", "approved"]
        entry = AuditEntry.objects.get(action="approved")
        assert entry.actor_name == f"import by {OPERATOR.name}"
        assert list(verify(now=door.now)) == []

    def test_its_first_call_may_renew(self, door: FrontDoor) -> None:
        due = door.certificate(new_key(), subject="CN=web01", left=20 * DAY)
        imported(door, agent(Thumbprint=thumbprint(due)))
        sent = csr(new_key(), "CN=web01")
        reply = door.register(due, ClientMachine="web01", AgentId=ID, CSR=sent)
        assert reply.said == (1, "", True, True)

    def test_it_is_asked_to_renew_if_it_was_asked_where_it_comes_from(
        self, door: FrontDoor
    ) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        row = agent(Thumbprint=thumbprint(der), AuthCertificateReenrollment="Requested")
        imported(door, row)
        reply = door.register(der, ClientMachine="web01", AgentId=ID)
        assert reply.said == (2, "A0100007", True, False)
        assert "renewal_requested" in actions(door.record("web01"))

    def test_by_name_where_the_agent_has_no_id(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        imported(door, agent(AgentId="", Thumbprint=thumbprint(der)))
        assert door.register(der, ClientMachine="web01").said == (1, "", True, False)
        assert Orchestrator.objects.count() == 1

    def test_another_certificate_waits_for_an_operator(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        imported(door, agent(Thumbprint=thumbprint(der)))
        other = door.certificate(new_key(), subject="CN=web01")
        assert door.register(other, ClientMachine="web01", AgentId=ID).said == (
            3,
            "A01F0001",
            False,
            False,
        )
        # Two have come forward now: the announced one is not approved over the other.
        assert door.register(der, ClientMachine="web01", AgentId=ID).said[2] is False

    @pytest.mark.parametrize(
        ("role", "code"), [("Approver", "A01F0001"), ("Administrator", "")], ids=str
    )
    def test_a_policy_that_was_raised_since_is_judged_when_the_certificate_is_shown(
        self, door: FrontDoor, role: str, code: str
    ) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        amy = User.objects.create_user("amy")
        amy.groups.add(Group.objects.get(name=role))
        rows = read(json.dumps([agent(Thumbprint=thumbprint(der))]).encode())
        take_in(rows, actor=Actor("amy", amy.pk), author=amy, now=door.now)
        door.setting("ApprovalsForFirstRegistration", 2)
        assert door.register(der, ClientMachine="web01", AgentId=ID).said[1] == code
        assert (door.record("web01").status == 2) is (role == "Administrator")

    def test_what_the_host_announced_counts_whatever_the_policy(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        door.setting("ApprovalsForFirstRegistration", 2)
        imported(door, agent(Thumbprint=thumbprint(der)))
        assert door.register(der, ClientMachine="web01", AgentId=ID).said[1] == ""

    def test_after_a_reset_the_announcement_counts_no_more(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        imported(door, agent(Thumbprint=thumbprint(der)))
        door.register(der, ClientMachine="web01", AgentId=ID)
        door.reset(door.record("web01"))
        assert door.register(der, ClientMachine="web01", AgentId=ID).said[2] is False
        assert door.record("web01").status == 1


class TestCertificate:
    def test_a_row_with_its_certificate_is_approved_from_the_start(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        rows = agent(Certificate=pem(der), Thumbprint=thumbprint(der).lower())
        assert outcome(door, rows) == ["entered"]
        record = door.record("web01")
        assert (record.status, record.thumbprint) == (2, thumbprint(der))
        assert (record.platform, record.version) == (1, "24.4.0.0")
        assert record.capabilities == ["CertStores.PEM.Inventory"]
        assert door.register(der, ClientMachine="web01", AgentId=ID).said == (1, "", True, False)

    def test_group_and_labels_go_with_it(self, door: FrontDoor) -> None:
        OrchestratorGroup.objects.create(name="Berlin", name_key="berlin", created_at=door.now)
        der = door.certificate(new_key(), subject="CN=web01")
        imported(door, agent(Certificate=pem(der), Group="Berlin", Labels={"site": "b1"}))
        record = door.record("web01")
        assert record.group is not None
        assert (record.group.name, labels.labels_of(record)) == ("Berlin", {"site": "b1"})


class TestAgain:
    def test_the_same_file_changes_nothing(self, door: FrontDoor) -> None:
        first = door.certificate(new_key(), subject="CN=web01")
        second = door.certificate(new_key(), subject="CN=web02")
        rows = (
            agent(Certificate=pem(first)),
            agent("web02", AgentId=OTHER_ID, Thumbprint=thumbprint(second)),
        )
        assert outcome(door, *rows) == ["entered", "announced"]
        entries = AuditEntry.objects.count()
        assert outcome(door, *rows) == ["unchanged", "unchanged"]
        door.register(second, ClientMachine="web02", AgentId=OTHER_ID)
        assert outcome(door, *rows) == ["unchanged", "unchanged"]
        assert AuditEntry.objects.count() == entries + 1

    def test_a_dry_run_says_the_same_and_leaves_nothing(self, door: FrontDoor) -> None:
        der = door.certificate(new_key(), subject="CN=web01")
        rows = (agent(Certificate=pem(der)), agent("web02", Thumbprint="0" * 40))
        before = AuditEntry.objects.count()
        assert outcome(door, *rows, dry_run=True) == ["entered", "exists"]
        assert (Orchestrator.objects.count(), AuditEntry.objects.count()) == (0, before)
        assert outcome(door, *rows) == ["entered", "exists"]


def clashing(door: FrontDoor) -> list[dict[str, Any]]:
    """Return 130 rows of which the last ones contradict those of two slices before."""
    first, second, third = (door.certificate(new_key(), subject="CN=web") for _ in range(3))
    ids = [str(uuid5(NAMESPACE_DNS, f"agent {number}")) for number in range(130)]
    waiting = [
        agent(f"host{number:03}", AgentId=ids[number], Thumbprint=f"{number:040X}")
        for number in range(100)
    ]
    held = [
        agent("web01", AgentId=ids[100], Certificate=pem(first)),
        agent("web02", AgentId=ids[101], Certificate=pem(second)),
    ]
    named = [
        agent(f"host{number:03}", AgentId=ids[number + 60], Thumbprint=f"{number + 1000:040X}")
        for number in range(45)
    ]
    return [
        *held,
        *waiting,
        waiting[0],
        waiting[0] | {"Thumbprint": "F" * 40},
        agent("host001_20260101000000", AgentId=ids[110], Thumbprint="D" * 40),
        agent("other01", AgentId=ids[111], Thumbprint=f"{2:040X}"),
        agent("other02", AgentId=ids[3], Thumbprint="E" * 40),
        held[0],
        agent("web01", AgentId=ids[100], Certificate=pem(third)),
        agent("web01", AgentId=ids[112], Certificate=pem(third)),
        agent("other03", AgentId=ids[100], Certificate=pem(third)),
        agent("other04", AgentId=ids[113], Certificate=pem(second)),
        agent("other05", AgentId=ids[114], Thumbprint=thumbprint(second)),
        *named,
    ]


def test_a_dry_run_tells_of_clashes_between_slices_and_never_holds_more_than_one(
    door: FrontDoor,
) -> None:
    rows = clashing(door)
    there: list[int] = []

    def count_before_it_is_taken_back(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("ROLLBACK TO SAVEPOINT"):
            there.append(Orchestrator.objects.count())
        return execute(sql, *rest)

    with connection.execute_wrapper(count_before_it_is_taken_back):
        foreseen = imported(door, *rows, dry_run=True)
    assert 0 < max(there) <= SLICE
    assert not Orchestrator.objects.exists()
    assert foreseen == imported(door, *rows)
    assert [each.reason or each.outcome.value for each in foreseen[102:113]] == [
        "unchanged",
        "exists",
        "exists",
        "announced_twice",
        "exists",
        "unchanged",
        "has_certificate",
        "name_taken",
        "name_differs",
        "certificate_of_another",
        "certificate_of_another",
    ]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an older certificate alone": (
        {"LegacyCertificate": pem(pki.certificate())}, "nothing_to_know_it_by",
    ),
    "an older certificate that is none": (
        {"Certificate": pem(pki.certificate()), "LegacyCertificate": "bm9uZQ=="},
        "certificate_unreadable",
    ),
    "one certificate twice": (
        {"Certificate": pem(pki.certificate()), "OvertakenCertificate": pem(pki.certificate())},
        "certificate_used",
    ),
    "neither thumbprint nor certificate": ({}, "nothing_to_know_it_by"),
    "a certificate that is none": ({"Certificate": "bm9uZQ=="}, "certificate_unreadable"),
    "a name with a line break": (
        {"ClientMachine": "a\nb", "Thumbprint": "0" * 40}, "name_invalid",
    ),
    "no name": ({"ClientMachine": "", "Thumbprint": "0" * 40}, "name_invalid"),
    "a group that is not there": (
        {"Thumbprint": "0" * 40, "Group": "Nowhere"}, "unknown_group",
    ),
    "a label that is none": (
        {"Thumbprint": "0" * 40, "Labels": {"": "x"}}, "label_invalid",
    ),
    "a member that is not known": ({"Thumbprnt": "0" * 40}, "row_unreadable"),
    "a thumbprint that is none": ({"Thumbprint": "abc"}, "row_unreadable"),
    "an id that is none": ({"AgentId": "7"}, "row_unreadable"),
    "a status that is none": ({"Status": 9, "Thumbprint": "0" * 40}, "row_unreadable"),
    "a flag that is none": (
        {"Thumbprint": "0" * 40, "AuthCertificateReenrollment": "Maybe"}, "row_unreadable",
    ),
    "a version with a NUL": ({"Version": "24\0", "Thumbprint": "0" * 40}, "row_unreadable"),
    "a version that would be cut": (
        {"Version": "2" * 65, "Thumbprint": "0" * 40}, "row_unreadable",
    ),
    "more capabilities than are kept": (
        {"Capabilities": ["x"] * 101, "Thumbprint": "0" * 40}, "row_unreadable",
    ),
    "half a surrogate pair in a capability": (
        {"Capabilities": ["\ud800"], "Thumbprint": "0" * 40}, "row_unreadable",
    ),
    "a private key for a certificate": (
        {"Certificate": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
        "certificate_unreadable",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("members", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_row_is_refused_alone_that_has(
    door: FrontDoor, members: dict[str, Any], reason: str
) -> None:
    der = door.certificate(new_key(), subject="CN=web02")
    good = agent("web02", AgentId=OTHER_ID, Thumbprint=thumbprint(der))
    assert outcome(door, agent() | members, good) == [reason, "announced"]
    assert list(Orchestrator.objects.values_list("client_machine", flat=True)) == ["web02"]


def test_nothing_is_taken_from_who_is_here(door: FrontDoor, host: Host) -> None:
    taken = {"Thumbprint": host.thumbprint, "AgentId": OTHER_ID}
    assert outcome(door, agent("agent01", Thumbprint="0" * 40)) == ["exists"]
    assert outcome(door, agent("web01", **taken)) == ["certificate_of_another"]
    own = agent("agent01", AgentId=str(host.record.pk), Thumbprint=host.thumbprint)
    assert outcome(door, own) == ["unchanged"]
    assert host.register().said == (1, "", True, False)


def test_only_what_is_approved_elsewhere_is_taken_in(door: FrontDoor) -> None:
    rows = [agent(Status=status, Thumbprint="0" * 40) for status in (1, "Disapproved")]
    assert outcome(door, *rows) == [Outcome.LEFT_OUT.value] * 2
    assert Orchestrator.objects.count() == 0


MID_RENEWAL = {
    "the one in use, and the other is given again": (0, (1, "", True, True)),
    "the one that was overtaken": (1, (1, "", True, False)),
    "the newest": (2, (1, "", True, False)),
}


@pytest.mark.parametrize(("which", "said"), MID_RENEWAL.values(), ids=MID_RENEWAL.keys())
def test_in_the_middle_of_a_renewal_it_comes_to_another_portal_with(
    door: FrontDoor, host: Host, tmp_path: Path, which: int, said: tuple[Any, ...]
) -> None:
    door.setting("AllowReuseOfCurrentKey", "true")
    overtaken, _ = host.send_csr(host.key)
    newest, key = host.send_csr()
    held = [host.certificate, overtaken.certificate, newest.certificate]
    agent_id = host.agent_id
    exported = io.StringIO()
    call_command("configuration", "export", "--with-fleet", stdout=exported)
    path = tmp_path / "portal.json"
    path.write_text(exported.getvalue())
    for model in (Enrollment, Certificate, Orchestrator):
        model.objects.all().delete()

    for _ in range(2):
        call_command("configuration", "apply", str(path), stdout=io.StringIO())
    assert [row_of(der).standing for der in held] == ["legacy", "overtaken", "issued"]
    assert list(verify(now=door.now)) == []
    again = csr(key, "CN=agent01") if which == 0 else None
    reply = door.register(held[which], AgentId=agent_id, CSR=again)
    assert (reply.said, reply.agent_id) == (said, agent_id)
    if which == 0:
        assert reply.certificate == held[2]
    assert door.register(held[2], AgentId=agent_id).said == (1, "", True, False)
    assert (row_of(held[2]).standing, row_of(held[0]).standing) == ("current", "superseded")
    assert list(verify(now=door.now)) == []


CSV = """\
clientmachine,Thumbprint,Labels,Capabilities
web01,{0},site=b1;env=test,CertStores.PEM.Inventory;Custom.FetchLogs

web02,,,
web03,{1},,,too many
"""


def test_a_csv_file_says_the_same_in_columns(door: FrontDoor) -> None:
    der = door.certificate(new_key(), subject="CN=web01")
    text = CSV.format(thumbprint(der), "1" * 40)
    results = take_in(read(text.encode("utf-8-sig")), actor=OPERATOR, now=door.now)
    assert [(r.place, r.reason or r.outcome) for r in results] == [
        ("row 1", "announced"),
        ("row 3", "nothing_to_know_it_by"),
        ("row 4", "row_unreadable"),
    ]
    assert labels.labels_of(door.record("web01")) == {"site": "b1", "env": "test"}


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b'{"Agents": []}', b"[", b"[" * 100_000, b"name\nweb01\n", b"", b'"x\n'],
    ids=["not UTF-8", "an object", "cut off", "too deep", "no column", "empty", "a quote"],
)
def test_a_file_is_refused_whole_that_is(content: bytes) -> None:
    with pytest.raises(FleetFileInvalid):
        list(read(content))
