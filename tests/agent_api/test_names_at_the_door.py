"""Names at the CSR door as orchestrators meet them: stamped names, no subject, the portal's names
(S55, C8 in docs/promises.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from orchestrators.records import rename
from renewal.models import Template
from tests.agent_api.front_door import FrontDoor, Host, csr, new_key

pytestmark = pytest.mark.both_databases
FULL = (1, "", True, True)
STAMPED = "m2_20260101010101"


def subject(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


@pytest.fixture
def approved(door: FrontDoor, make_credential: Callable[..., Any]) -> tuple[str, str]:
    """The bootstrap credential of an orchestrator that was approved as m2."""
    basic: tuple[str, str] = make_credential()[1]
    door.register(basic=basic, ClientMachine="m2")
    door.approve(door.record("m2"))
    return basic


def test_a_stamp_in_the_name_takes_nothing_from_the_name_that_was_approved(
    door: FrontDoor, approved: tuple[str, str]
) -> None:
    sent = csr(new_key(), "CN=m2")
    reply = door.register(basic=approved, ClientMachine=STAMPED, CSR=sent)
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=m2"


def test_a_stamped_name_is_not_the_name_of_another_one(
    door: FrontDoor, approved: tuple[str, str], make_host: Callable[..., Host]
) -> None:
    door.register(basic=approved, ClientMachine=STAMPED, CSR=csr(new_key(), f"CN={STAMPED}"))
    other = make_host("other").record
    rename(other, "m2")
    other.save()
    again = csr(new_key(), "CN=m2")
    reply = door.register(basic=approved, ClientMachine=STAMPED, CSR=again)
    assert reply.said == (3, "A01F0017", False, False)


@pytest.mark.parametrize("sent", ["CN=somebody else", ""], ids=["another subject", "no subject"])
def test_where_the_portal_gives_the_names_the_csr_gives_its_key_alone(
    door: FrontDoor, host: Host, sent: str
) -> None:
    Template.objects.update(names_policy="portal")
    door.set_flag(host.record, 1)
    reply = host.register(CSR=csr(new_key(), sent))
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=agent01"


def test_a_csr_without_a_subject_gets_the_records(door: FrontDoor, host: Host) -> None:
    door.set_flag(host.record, 1)
    reply = host.register(CSR=csr(new_key(), ""))
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=agent01"
