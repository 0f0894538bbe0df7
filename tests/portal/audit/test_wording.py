"""Reasons and comments are plain text wherever they are kept, whichever way they come in."""

from __future__ import annotations

import pytest
from django.utils import timezone

from portal.audit.models import AuditEntry
from portal.audit.wording import lines, one_line
from renewal.models import ApprovalRequest, BulkJob, Certificate, Revocation
from tests.portal.access.conftest import page_of, user
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import PASSWORD, Caller, basic

RAW = " lost\u202e\x00 in\r\nfire\x1b[2J\u200b "
PLAIN = "lost in  fire[2J"

CASES = {
    "plain text stays": ("It is broken: see 7.", "It is broken: see 7.", "It is broken: see 7."),
    "breaks become spaces, or stay": ("a\r\nb\tc", "a  b c", "a\nbc"),
    "direction and control characters go": ("a\u202eb\x00\x1b\u2066c", "abc", "abc"),
    "what is no text is nothing": ("\u202e\x00\u200b ", "", ""),
    "letters of all scripts stay": ("Übung 東京 аб", "Übung 東京 аб", "Übung 東京 аб"),
}


@pytest.mark.parametrize(("text", "line", "kept"), CASES.values(), ids=CASES)
def test_what_is_left_of_a_text(text: str, line: str, kept: str) -> None:
    assert (one_line(text), lines(text)) == (line, kept)
    assert (one_line(line), lines(kept)) == (line, kept)


@pytest.mark.django_db
def test_a_reason_is_plain_text_in_each_place_that_keeps_it() -> None:
    fleet = rows.fleet(timezone.now())
    ada = user("ada", "Administrator")
    client, caller = page_of(ada), Caller({"Authorization": basic("ada", PASSWORD)})
    client.post(
        "/orchestrators/act/perform", {"act": "reset", "message": RAW, "ids": str(fleet.calm.pk)}
    )
    assert ApprovalRequest.objects.get(orchestrator=fleet.calm).reason == PLAIN
    request = ApprovalRequest.objects.get(orchestrator=fleet.waiting)
    client.post(f"/approvals/{request.pk}/decide", {"decision": "disapprove", "reason": RAW})
    request.refresh_from_db()
    assert request.decision_reason == PLAIN
    ids = [str(fleet.warned.pk), str(fleet.wrong.pk)]
    client.post("/orchestrators/act/perform", {"act": "reset", "message": RAW, "ids": ids})
    assert BulkJob.objects.get().reason == PLAIN
    certificate = Certificate.objects.filter(orchestrator=fleet.calm).latest("pk")
    body = {"CertificateIds": [certificate.pk], "Comment": "lost\u202e in\u200b fire"}
    assert caller.post("Certificates/Revoke", body).status_code == 200
    assert Revocation.objects.get(certificate=certificate).cause == "lost in fire"
    told = AuditEntry.objects.filter(actor_name="ada").values_list("message", flat=True)
    assert PLAIN in told
    assert all(message.isprintable() for message in told)


@pytest.mark.django_db
def test_what_is_no_text_is_no_reason() -> None:
    made = rows.fleet(timezone.now()).calm
    client = page_of(user("ada", "Administrator"))
    form = {"act": "reset", "message": "\u202e\u200b", "ids": str(made.pk)}
    answer = client.post("/orchestrators/act/perform", form)
    assert "Say why" in answer.content.decode()
    made.refresh_from_db()
    assert made.reset_at is None
