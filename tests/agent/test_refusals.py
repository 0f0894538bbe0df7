"""Everything that can keep a pass from renewing: the old pair stays, the reason is told."""

from __future__ import annotations

import base64
import errno
import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrators.agent import files
from orchestrators.agent.loop import Outcome
from orchestrators.agent.service import attempt
from orchestrators.agent.store import Identity
from orchestrators.protocol.answers import problem, register_reply
from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from tests.agent.conftest import (
    MakeHome,
    installed,
    orchestrator_of,
)
from tests.agent.pki import authority
from tests.agent.portal_double import (
    Answer,
    Call,
    PortalDouble,
    grant,
    http_error,
    issue,
    must,
    refuse,
    warn,
)


def _foreign_certificate(call: Call) -> dict[str, object]:
    other = authority().identity().certificate.public_bytes(Encoding.DER)
    return grant(call, certificate=base64.b64encode(other).decode())


def _garbage_certificate(call: Call) -> dict[str, object]:
    return grant(call, certificate="bm90IGEgY2VydGlmaWNhdGU=")


@pytest.mark.parametrize("answer", [_foreign_certificate, _garbage_certificate])
def test_a_certificate_for_another_key_is_refused_and_the_old_pair_kept(
    make_home: MakeHome, portal: PortalDouble, identity: Identity, log: io.StringIO, answer: object
) -> None:
    home = make_home()
    portal.registers.extend([must, answer])  # type: ignore[list-item]
    assert attempt(orchestrator_of(home)) is Outcome.CERTIFICATE_UNUSABLE
    assert installed(home).thumbprint == identity.thumbprint
    assert home.pending.exists()
    assert "[Error] - the returned certificate was refused" in log.getvalue()
    assert attempt(orchestrator_of(home)) is Outcome.OK


def test_a_certificate_without_a_token_is_not_stored(
    make_home: MakeHome, portal: PortalDouble, identity: Identity
) -> None:
    def without_token(call: Call) -> dict[str, object]:
        reply = issue(call)
        reply["Session"]["Token"] = None  # type: ignore[index]
        return reply

    home = make_home()
    portal.registers.extend([must, without_token])
    assert attempt(orchestrator_of(home)) is Outcome.NOT_READY
    assert installed(home).thumbprint == identity.thumbprint


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([refuse(Code.CERTIFICATE_EXPIRED)], Outcome.EXPIRED),
        ([refuse(Code.CERTIFICATE_REVOKED)], Outcome.NO_SESSION),
        ([refuse(Code.NOT_APPROVED)], Outcome.WAITING_FOR_APPROVAL),
        ([must, refuse(Code.PERMISSION_MISSING)], Outcome.RENEWAL_REFUSED),
        ([must, must], Outcome.NOT_READY),
        ([warn, warn], Outcome.NOT_READY),
        ([http_error(503)], Outcome.UNREACHABLE),
        ([http_error(401)], Outcome.NO_SESSION),
        ([lambda call: []], Outcome.NO_SESSION),
    ],
)
def test_each_way_of_not_renewing_has_its_own_outcome(
    make_home: MakeHome, portal: PortalDouble, answers: list[object], expected: Outcome
) -> None:
    portal.registers.extend(answers)  # type: ignore[arg-type]
    assert attempt(orchestrator_of(make_home())) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http_error(200, b"<html>"), "returned no JSON"),
        (http_error(302, b"elsewhere"), "returned HTTP 302"),
        (http_error(413, b"[" * 100_000), "returned HTTP 413"),
        (http_error(200, b" " * (16 * 1024 * 1024 + 1)), "larger than 16777216 bytes"),
        (
            http_error(503, register_reply(problem(ResultStatus.ERROR, Code.DATABASE_DOWN), None)),
            "returned HTTP 503: The portal's database does not answer. (A01F0045)",
        ),
    ],
)
def test_an_answer_that_is_no_reply_is_named(
    make_home: MakeHome, portal: PortalDouble, log: io.StringIO, answer: Answer, expected: str
) -> None:
    portal.registers.append(answer)
    assert attempt(orchestrator_of(make_home())) is Outcome.UNREACHABLE
    assert expected in log.getvalue()


@pytest.mark.parametrize("at", ["pending", "installation"])
def test_a_full_disk_keeps_the_old_pair_and_the_next_pass_goes_on(
    make_home: MakeHome,
    portal: PortalDouble,
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    home = make_home()
    portal.registers.extend([must, issue])
    orchestrator = orchestrator_of(home)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomic" if at == "pending" else "write_new", full)
        if at == "installation":
            patch.setattr(files, "write_atomic", Path.write_bytes)
        assert attempt(orchestrator) is Outcome.FAILED
    assert installed(home).thumbprint == identity.thumbprint
    assert home.pending.exists() == (at == "installation")
    portal.registers.clear()
    portal.registers.extend([must, issue])
    assert attempt(orchestrator) is Outcome.OK
    if at == "installation":
        sent = [call.body["CSR"] for call in portal.register_calls if call.body["CSR"]]
        assert sent[0] == sent[1]


def test_an_unknown_warning_code_carries_on_and_is_logged(
    make_home: MakeHome, portal: PortalDouble, log: io.StringIO
) -> None:
    def odd(call: Call) -> dict[str, object]:
        result = problem(ResultStatus.WARNING, Code.BUSY)
        result["Error"].update(CodeString="A0199999", Message="Something\nnew.")
        return grant(call, result=result)

    portal.registers.append(odd)
    assert attempt(orchestrator_of(make_home())) is Outcome.OK
    assert "returned: Something new. (A0199999)" in log.getvalue()


def test_a_portal_of_an_untrusted_ca_is_not_talked_to(
    make_home: MakeHome, portal: PortalDouble, tmp_path: Path
) -> None:
    home = make_home()
    (home.configuration / "ca.pem").write_bytes(
        authority().identity().certificates_pem()  # A certificate that issued nothing.
    )
    assert attempt(orchestrator_of(home)) is Outcome.UNREACHABLE
    assert portal.calls == []
