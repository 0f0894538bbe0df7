"""Certificates from a CSR, orchestrators entered by hand, bootstrap credentials, and acts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.utils import timezone

from orchestrators import credentials, sessions
from orchestrators.models import AgentSession, BootstrapCredential, Orchestrator, Status
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor
from renewal import revocations
from renewal.identity import claimants
from renewal.invariants.verify import verify
from renewal.models import Certificate, Enrollment, TrustAnchor
from renewal.rules.periods import Level, Periods, window
from renewal.selectors.history import events_of
from tests import pki

pytestmark = pytest.mark.django_db

Run = Callable[..., dict[str, Any]]
Refused = Callable[..., str]
Make = Callable[..., str]
OTHER_ID = "99999999-2222-3333-4444-555555555555"
CERTIFY = ("certificate", "--authority", "local", "--template", "Orchestrator")


def days(count: int) -> str:
    return (timezone.now().replace(microsecond=0) + timedelta(days=count)).isoformat()


# --- certificates -----------------------------------------------------------------------------


def test_a_csr_gives_one_certificate_however_often_it_is_sent(
    run: Run, set_up: None, csr_file: Make, tmp_path: Path
) -> None:
    out = tmp_path / "agent01.pem"
    flags = (*CERTIFY, "--csr", csr_file("agent01"), "--out", str(out))

    first = run(*flags)

    assert run(*flags) == {**first, "changed": False}
    assert (first["state"], first["subject"]) == ("issued", "CN=agent01")
    assert out.read_text() == first["certificate"]
    assert Certificate.objects.get(thumbprint=first["thumbprint"]).standing == "own"
    assert Enrollment.objects.get().for_operator is True


def test_a_certificate_file_that_was_lost_is_written_again(
    run: Run, set_up: None, csr_file: Make, tmp_path: Path
) -> None:
    flags = (*CERTIFY, "--csr", csr_file("agent01"), "--out", str(tmp_path / "out.pem"))
    run(*flags)
    (tmp_path / "out.pem").unlink()

    assert run(*flags)["changed"] is True
    assert (tmp_path / "out.pem").exists()


@pytest.mark.parametrize(
    ("begins", "ends", "level"),
    [
        pytest.param(-65, 300, Level.NONE, id="300 days left"),
        pytest.param(-265, 100, Level.WARNING, id="100 days left"),
        pytest.param(-345, 20, Level.EXPIRY, id="20 days left"),
        pytest.param(-366, -1, Level.EXPIRY, id="ended yesterday"),
    ],
)
def test_a_backdated_certificate_behaves_as_one_that_has_aged(
    run: Run, set_up: None, csr_file: Make, begins: int, ends: int, level: Level
) -> None:
    answer = run(
        *(*CERTIFY, "--csr", csr_file("agent01")),
        *("--not-before", days(begins), "--not-after", days(ends)),
    )

    row = Certificate.objects.get(thumbprint=answer["thumbprint"])
    assert row.counted_from == row.not_before
    now = timezone.now()
    assert (
        window(Periods(), counted_from=row.counted_from, not_after=row.not_after, now=now) is level
    )


def test_an_operator_may_ask_for_any_name(run: Run, set_up: None, tmp_path: Path) -> None:
    file = tmp_path / "a.csr"
    file.write_text(pki.pem(pki.csr("CN=anything,O=Example", sans=[x509.DNSName("a.example")])))

    assert run(*CERTIFY, "--csr", str(file))["subject"] == "CN=anything,O=Example"


def test_a_ca_that_is_down_leaves_a_request_that_the_sweeper_finishes(
    run: Run, set_up: None, csr_file: Make, data_dir: Path
) -> None:
    run("certificate_authority", "--name", "local", "--hold-seconds", "0")
    (data_dir / "ca" / "local").rename(data_dir / "away")
    flags = (*CERTIFY, "--csr", csr_file("agent01"))

    first = run(*flags)

    assert (first["state"], first["changed"]) == ("waiting", True)
    assert "cannot be read" in first["message"]
    (data_dir / "away").rename(data_dir / "ca" / "local")
    Enrollment.objects.update(next_attempt_at=timezone.now())
    assert run(*flags)["state"] == "issued"
    assert Enrollment.objects.count() == 1


def write(tmp_path: Path, content: bytes | str) -> str:
    file = tmp_path / "csr"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


@pytest.mark.parametrize(
    ("content", "flags", "code"),
    [
        ("no base64!", [], "csr_format"),
        (pki.pem(b"\x30\x00"), [], "csr_parse"),
        ("-----BEGIN PRIVATE KEY-----", [], "key_in_body"),
        (pki.pem(pki.csr(key_name="rsa-1024")), [], "key_type"),
        (pki.pem(pki.csr(subject="")), [], "csr_names"),
        (pki.pem(pki.csr()), ["--not-before", "2026-01-01"], "usage"),
        (pki.pem(pki.csr()), ["--not-before", "yesterday"], "usage"),
        (pki.pem(pki.csr()), ["--not-after", "2020-01-01T00:00:00Z"], "validity_invalid"),
        (pki.pem(pki.csr()), ["--not-before", "2999-01-01T00:00:00Z"], "validity_invalid"),
        (pki.pem(pki.csr()), ["--out", "/nowhere/out.pem"], "file"),
        (pki.pem(pki.csr()), ["--authority", "none"], "unknown_authority"),
        (pki.pem(pki.csr()), ["--template", "none"], "unknown_template"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_its_code(
    refused: Refused, set_up: None, tmp_path: Path, content: str, flags: list[str], code: str
) -> None:
    assert refused(*CERTIFY, "--csr", write(tmp_path, content), *flags) == code
    assert not Enrollment.objects.exists()


def test_a_key_gets_no_second_certificate_with_other_dates(
    run: Run, refused: Refused, set_up: None, csr_file: Make
) -> None:
    flags = (*CERTIFY, "--csr", csr_file("agent01"), "--not-after", days(100))
    run(*flags, "--not-before", days(-1))

    assert refused(*flags, "--not-before", days(-2)) == "key_reuse"


def test_the_key_of_a_revoked_certificate_is_refused(
    run: Run, refused: Refused, set_up: None, csr_file: Make
) -> None:
    flags = (*CERTIFY, "--csr", csr_file("agent01"))
    row = Certificate.objects.get(thumbprint=run(*flags)["thumbprint"])
    revocations.request(
        row,
        reason="keyCompromise",
        cause="a test",
        by_service_account=False,
        actor=Actor("test"),
        now=timezone.now(),
    )

    assert refused(*flags) == "key_reuse"


def test_a_disabled_ca_is_not_asked(
    run: Run, refused: Refused, set_up: None, csr_file: Make
) -> None:
    run("certificate_authority", "--name", "local", "--disable")

    assert refused(*CERTIFY, "--csr", csr_file("agent01")) == "authority_disabled"


# --- orchestrators ----------------------------------------------------------------------------


def test_an_orchestrator_is_entered_once_with_its_certificate(
    run: Run, certificate_file: Make
) -> None:
    given = "11111111-2222-3333-4444-555555555555"
    flags = (
        *("orchestrator", "--name", "Agent01", "--id", given, "--demonstration"),
        *("--certificate", certificate_file("Agent01"), "--extra-name", "agent01.example.com"),
    )

    first = run(*flags)

    assert run(*flags) == {**first, "changed": False}
    row = Certificate.objects.get(thumbprint=first["thumbprint"])
    assert first == {
        "changed": True,
        "id": given,
        "name": "Agent01",
        "status": "Approved",
        "flag": "None",
        "thumbprint": row.thumbprint,
        "legacy_thumbprint": "",
        "certificate_not_after": row.not_after.isoformat(),
        "service_account": "orchestrators",
        "extra_names": ["agent01.example.com"],
        "demonstration": True,
        "certificate_trusted": True,
    }
    assert (row.standing, str(row.orchestrator_id)) == ("current", given)
    assert row.authority is not None
    assert [e.action for e in AuditEntry.objects.filter(orchestrator_id=given)] == ["entered"]
    assert verify(now=timezone.now()) == []


def test_an_expired_certificate_may_be_entered(run: Run, certificate_file: Make) -> None:
    file = certificate_file("agent01", "--not-before", days(-366), "--not-after", days(-1))

    answer = run("orchestrator", "--name", "agent01", "--certificate", file)

    assert datetime.fromisoformat(answer["certificate_not_after"]) < timezone.now()
    assert answer["certificate_trusted"] is True


def test_a_foreign_certificate_may_be_entered_and_says_whether_it_is_trusted(
    run: Run, set_up: None, tmp_path: Path
) -> None:
    file = write(tmp_path, pki.certificate())
    flags = ("orchestrator", "--name", "agent01", "--certificate", file)

    assert run(*flags)["certificate_trusted"] is False
    assert Certificate.objects.get(common_name="agent01").authority is None
    for name, der, extra in (
        ("root", pki.root(), []),
        ("issuing", pki.issuing(), ["--intermediate"]),
    ):
        issuer = tmp_path / name
        issuer.write_bytes(der)
        run("trust_anchor", "--file", str(issuer), *extra)
    TrustAnchor.objects.update(not_after=datetime(2999, 1, 1, tzinfo=UTC))
    assert run(*flags)["changed"] is False


def test_a_record_without_a_certificate_gets_it_later(run: Run, certificate_file: Make) -> None:
    first = run("orchestrator", "--name", "agent01")
    file = certificate_file("agent01")

    second = run("orchestrator", "--name", "AGENT01.", "--certificate", file)

    assert (second["id"], second["changed"]) == (first["id"], True)
    assert second["thumbprint"]


def test_a_certificate_of_the_command_can_be_revoked_after_it_was_bound(
    run: Run, certificate_file: Make
) -> None:
    run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))

    answer = run("reset", "--name", "agent01", "--also-revoke",
                 Certificate.objects.get(common_name="agent01").thumbprint)  # fmt: skip

    row = Certificate.objects.get(common_name="agent01")
    assert (answer["status"], row.revocation.state) == ("New", "waiting")


def test_what_belongs_to_another_is_refused(
    run: Run, refused: Refused, certificate_file: Make, tmp_path: Path
) -> None:
    file = certificate_file("agent01")
    made = run("orchestrator", "--name", "agent01", "--certificate", file)
    run("orchestrator", "--name", "agent02")
    enter = ("orchestrator", "--name")
    other_key = write(tmp_path, pki.certificate())
    Certificate.objects.filter(common_name="agent01").update(spki_sha256=pki.facts().spki_sha256)

    assert refused(*enter, "agent02", "--certificate", file) == "certificate_of_another"
    assert refused(*enter, "agent02", "--certificate", other_key) == "certificate_of_another"
    assert refused(*enter, "agent03", "--id", made["id"]) == "name_differs"
    assert refused(*enter, "agent01", "--id", OTHER_ID) == "name_taken"
    assert refused(*enter, "agent02", "--id", made["id"]) == "name_taken"


def test_a_record_that_has_a_certificate_keeps_it(
    run: Run, refused: Refused, certificate_file: Make
) -> None:
    run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))

    flags = ("orchestrator", "--name", "agent01", "--certificate", certificate_file("second"))
    assert refused(*flags) == "has_certificate"


def test_a_record_that_was_reset_is_approved_and_not_entered_again(
    run: Run, refused: Refused, certificate_file: Make
) -> None:
    file = certificate_file("agent01")
    made = run("orchestrator", "--name", "agent01", "--certificate", file)
    run("reset", "--name", "agent01")

    enter = ("orchestrator", "--name", "agent01", "--certificate", file)
    assert refused(*enter) == "not_approved"
    assert refused(*enter, "--id", made["id"]) == "not_approved"
    assert refused(*enter, "--id", OTHER_ID) == "certificate_of_another"


@pytest.mark.parametrize(
    ("der", "flags", "code"),
    [
        (pki.root(), [], "certificate_unsuitable"),
        (pki.certificate(eku=(pki.SERVER_AUTH,)), [], "certificate_unsuitable"),
        (pki.certificate(eku=None), [], "certificate_unsuitable"),
        (b"moon", [], "certificate_unreadable"),
        (pki.certificate(), ["--id", "moon"], "usage"),
        (pki.certificate(), ["--name", " "], "name_invalid"),
        (pki.certificate(), ["--name", "a\nb"], "name_invalid"),
        (pki.certificate(), ["--name", "n" * 254], "name_invalid"),
        (pki.certificate(), ["--extra-name", ""], "name_invalid"),
        (pki.certificate(), ["--service-account", "nobody"], "unknown_user"),
        (pki.certificate(), ["--service-account", "ada"], "not_a_service_account"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_its_code(
    run: Run, refused: Refused, tmp_path: Path, der: bytes, flags: list[str], code: str
) -> None:
    run("user", "--username", "ada")
    file = write(tmp_path, der)

    assert refused("orchestrator", "--name", "a", "--certificate", file, *flags) == code
    assert not Orchestrator.objects.exists()
    assert not Certificate.objects.exists()


# --- bootstrap credentials --------------------------------------------------------------------


def test_a_bootstrap_credential_is_shown_once_and_revoked_once(run: Run) -> None:
    flags = ("bootstrap_credential", "--name", "rack-7", "--one-time", "--hours", "4")

    first, second = run(*flags), run(*flags)

    secret = first.pop("secret")
    assert credentials.find_basic("rack-7", secret)
    assert second == {**first, "changed": False}
    revoked = run("bootstrap_credential", "--name", "rack-7", "--revoke")
    assert (revoked["changed"], revoked["revoked"]) == (True, True)
    again = run("bootstrap_credential", "--name", "rack-7", "--revoke")
    assert again == {**revoked, "changed": False}


def test_a_secret_of_stdin_is_taken_and_not_shown(run: Run) -> None:
    secret = "a secret of twenty characters"
    flags = ("bootstrap_credential", "--name", "rack-7", "--secret-stdin", "--hours", "0")

    first = run(*flags, stdin=secret)

    assert (first["expires_at"], "secret" in first) == (None, False)
    assert run(*flags, stdin=secret) == {**first, "changed": False}
    assert credentials.find_basic("rack-7", secret)


def test_a_bootstrap_certificate_is_known_by_its_fingerprint(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, pki.certificate())
    flags = ("bootstrap_credential", "--name", "factory", "--certificate", file)

    first = run(*flags)

    assert first["fingerprint_sha256"] == pki.facts().fingerprint_sha256
    assert run(*flags) == {**first, "changed": False}


@pytest.mark.parametrize(
    ("flags", "stdin", "code"),
    [
        (["--name", "a:b"], "", "credential_invalid"),
        (["--name", "new", "--secret-stdin"], "short", "credential_invalid"),
        (["--name", "new", "--secret-stdin"], "", "secret_missing"),
        (["--name", "new", "--revoke"], "", "unknown_credential"),
        (["--name", "new", "--service-account", "ada"], "", "not_a_service_account"),
        (["--name", "new", "--certificate", "ROOT"], "", "certificate_unsuitable"),
        (["--name", "new", "--certificate", "LEAF"], "", "credential_exists"),
        (["--name", "known", "--secret-stdin"], "x" * 30, "credential_exists"),
        (["--name", "known", "--one-time"], "", "credential_exists"),
        (["--name", "revoked"], "", "credential_ended"),
    ],
)
def test_a_credential_that_cannot_be_is_refused_with_its_code(
    run: Run, refused: Refused, tmp_path: Path, flags: list[str], stdin: str, code: str
) -> None:
    for name, der in (("ROOT", pki.root()), ("LEAF", pki.certificate())):
        (tmp_path / name).write_bytes(der)
    run("user", "--username", "ada")
    run("bootstrap_credential", "--name", "known")
    run("bootstrap_credential", "--name", "taken", "--certificate", str(tmp_path / "LEAF"))
    run("bootstrap_credential", "--name", "revoked")
    run("bootstrap_credential", "--name", "revoked", "--revoke")
    flags = [str(tmp_path / f) if f in ("ROOT", "LEAF") else f for f in flags]

    assert refused("bootstrap_credential", *flags, stdin=stdin) == code
    assert BootstrapCredential.objects.count() == 3


# --- acts -------------------------------------------------------------------------------------


@pytest.fixture
def approved(run: Run, certificate_file: Make) -> Orchestrator:
    made = run("orchestrator", "--name", "agent01", "--certificate", certificate_file("agent01"))
    return Orchestrator.objects.get(pk=made["id"])


def test_a_renewal_is_requested_once_and_taken_back_once(run: Run, approved: Orchestrator) -> None:
    flags = ("request_renewal", "--id", str(approved.pk), "--status")

    for status, shown in (("Request", "Requested"), ("Require", "Required"), ("None", "None")):
        first = run(*flags, status)
        assert (first["changed"], first["flag"]) == (True, shown)
        assert run(*flags, status) == {**first, "changed": False}


def test_a_renewal_now_ends_the_session_once(run: Run, approved: Orchestrator) -> None:
    sessions.open_session(
        approved,
        lasts=timedelta(hours=1),
        heartbeat_minutes=5,
        thumbprint=approved.thumbprint,
        address="192.0.2.1",
        now=timezone.now(),
    )
    flags = ("request_renewal", "--name", "agent01", "--status", "Request")
    run(*flags)

    assert run(*flags, "--now")["changed"] is True
    assert not AgentSession.objects.live(timezone.now()).exists()
    assert run(*flags, "--now")["changed"] is False


def test_an_orchestrator_is_disapproved_and_approved_each_once(
    run: Run, approved: Orchestrator
) -> None:
    for act, status in (("disapprove", "Disapproved"), ("approve", "Approved")):
        first = run(act, "--name", "agent01", "--message", "why")
        assert (first["changed"], first["status"]) == (True, status)
        assert first["thumbprint"] == approved.thumbprint
        assert run(act, "--name", "agent01") == {**first, "changed": False}
        assert AuditEntry.objects.order_by("-pk")[0].message == "why"


def test_an_orchestrator_is_reset_once(run: Run, approved: Orchestrator) -> None:
    first = run("reset", "--name", "agent01")

    assert (first["changed"], first["status"], first["thumbprint"]) == (True, "New", "")
    assert run("reset", "--name", "agent01") == {**first, "changed": False}


def test_a_reset_removes_thumbprints_flag_and_last_error_and_the_history_stays(
    run: Run, approved: Orchestrator
) -> None:
    held = Certificate.objects.filter(orchestrator=approved).count()
    Orchestrator.objects.filter(pk=approved.pk).update(
        legacy_thumbprint="A" * 40,
        flag=2,
        last_error_code="A0100008",
        last_error_message="text",
        last_error_at=timezone.now(),
    )
    run("reset", "--name", "agent01")
    approved.refresh_from_db()
    assert (approved.thumbprint, approved.legacy_thumbprint, approved.flag) == ("", "", 0)
    assert (approved.last_error_code, approved.last_error_message) == ("", "")
    assert approved.last_error_at is None
    assert held > 0
    archived = Certificate.objects.filter(orchestrator=approved, standing="archived")
    assert archived.count() == held
    assert {"entered", "reset"} <= {entry.action for entry in events_of(approved.pk).rows}


def new_record(name: str) -> Orchestrator:
    record = Orchestrator(
        service_account=User.objects.get(username="orchestrators"), created_at=timezone.now()
    )
    record.client_machine = record.name_key = record.claim_key = name
    record.save(force_insert=True)
    return record


def came_forward(record: Orchestrator, **seen: Any) -> None:
    claimants.note(
        record,
        claimants.Seen(**seen),
        client_machine=record.client_machine,
        address="192.0.2.1",
        now=timezone.now(),
    )


def test_one_of_two_strangers_is_approved_by_its_fingerprint_or_credential(
    run: Run, refused: Refused, set_up: None
) -> None:
    now = timezone.now()
    facts = pki.facts(not_before=now - pki.DAY, not_after=now + pki.DAY)
    run("bootstrap_credential", "--name", "rack-7")
    for name in ("agent01", "agent02"):
        came_forward(
            new_record(name),
            facts=facts,
            certificate=Certificate.objects.filter(thumbprint=facts.thumbprint_sha1).first(),
        )
        came_forward(
            Orchestrator.objects.get(client_machine=name),
            credential=BootstrapCredential.objects.get(),
        )
    approve = ("approve", "--name")

    assert refused(*approve, "agent01") == "conflict"
    assert refused(*approve, "agent01", "--fingerprint", "00") == "not_seen"
    flags = (*approve, "agent01", "--fingerprint", facts.fingerprint_sha256.upper())
    first = run(*flags)
    assert first["thumbprint"] == facts.thumbprint_sha1
    assert run(*flags) == {**first, "changed": False}
    by_credential = run(*approve, "agent02", "--credential", "rack-7")
    assert (by_credential["status"], by_credential["thumbprint"]) == ("Approved", "")


@pytest.mark.parametrize(
    ("command", "flags", "code"),
    [
        ("approve", ["--name", "nobody"], "unknown_orchestrator"),
        ("approve", ["--id", "moon"], "usage"),
        ("approve", [], "usage"),
        ("approve", ["--name", "returning"], "nobody_seen"),
        ("approve", ["--name", "twice"], "ambiguous"),
        ("disapprove", ["--name", "a", "--id", "b"], "usage"),
        ("reset", ["--name", "agent01", "--also-revoke", "00"], "certificate_unknown"),
        ("request_renewal", ["--name", "agent01", "--status", "Maybe"], "usage"),
    ],
)
def test_an_act_that_is_not_possible_is_refused_with_its_code(
    refused: Refused, approved: Orchestrator, command: str, flags: list[str], code: str
) -> None:
    for name in ("returning", "twice", "twice"):
        new_record(name)

    assert refused(command, *flags) == code
    assert Orchestrator.objects.get(pk=approved.pk).status == Status.APPROVED


def test_whoever_reset_by_command_approves_the_return_only_against_the_policy(
    run: Run, refused: Refused, approved: Orchestrator
) -> None:
    run("setting", "--name", "ApproverDiffersFromResetter", "--value", "true")
    run("reset", "--name", "agent01")
    back = Certificate.objects.get(orchestrator=approved)
    approved.refresh_from_db()
    came_forward(approved, certificate=back)

    assert refused("approve", "--name", "agent01") == "policy"
    assert refused("approve", "--name", "agent01", "--override") == "reason_needed"
    done = run("approve", "--name", "agent01", "--override", "--message", "nobody else is here")
    assert (done["changed"], done["status"]) == (True, "Approved")
    assert AuditEntry.objects.order_by("-pk")[0].action == "approved_by_override"


def test_the_timeline_tells_what_happened_oldest_first_and_changes_nothing(
    run: Run, refused: Refused, set_up: None
) -> None:
    made = run("orchestrator", "--name", "agent01")
    run("disapprove", "--name", "agent01", "--message", "It moves.")
    run("orchestrator", "--name", "agent02")
    written = AuditEntry.objects.count()

    told = run("timeline", "--name", "AGENT01")

    assert told == run("timeline", "--id", made["id"])
    assert AuditEntry.objects.count() == written
    assert told["id"] == made["id"]
    assert [event["number"] for event in told["events"]] == list(
        AuditEntry.objects.filter(orchestrator_id=made["id"])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    last = told["events"][-1]
    assert (last["action"], last["message"]) == ("disapproved", "It moves.")
    assert last["actor"].startswith("command (")
    assert refused("timeline", "--name", "nobody") == "unknown_orchestrator"
