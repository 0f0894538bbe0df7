"""The portal's own certificates and CRLs are renewed, whatever else is broken or lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from renewal import crl, dispatch, own_certificates, revocations
from renewal.ca.base import RevocationReason
from renewal.models import CertificateAuthority, Revocation, RevocationList
from tests.agent_api.front_door import DAY, OPERATOR, FrontDoor, Host
from tests.renewal.fleet import scratch

pytestmark = pytest.mark.both_databases


def test_the_servers_certificate_is_renewed_beside_a_ca_that_is_broken(
    door: FrontDoor, settings: Any, tmp_path: Path
) -> None:
    scratch(settings, tmp_path)
    authority = CertificateAuthority.objects.get()
    assert own_certificates.ensure_server_certificate(authority, ["portal.test"], now=door.now)
    CertificateAuthority.objects.create(
        name="aaa broken", type="local", options={"directory": "/nowhere"}, created_at=door.now
    )
    assert own_certificates.renew_due(now=door.now + 50 * DAY) == []
    assert own_certificates.renew_due(now=door.now + 80 * DAY) == ["server"]
    renewed = own_certificates.read_server_certificate()
    assert renewed is not None
    assert renewed.not_after > door.now + 160 * DAY


def test_a_revocation_whose_message_was_lost_is_in_the_next_list(
    door: FrontDoor, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority.objects.get()
    crl.publish(authority.pk, now=door.now)
    door.tick(timedelta(seconds=5))
    assert crl.due(now=door.now) == []
    monkeypatch.setattr(dispatch, "publish_crl", lambda _: None)
    row = host.row
    row.authority = authority
    row.save()
    revocations.request(
        row,
        reason=RevocationReason.SUPERSEDED.value,
        cause="test",
        by_service_account=False,
        actor=OPERATOR,
        now=door.now,
    )
    revocations.run(Revocation.objects.get().pk, now=door.now)
    door.tick(timedelta(seconds=60))
    assert crl.due(now=door.now) == [authority.pk]
    crl.publish(authority.pk, now=door.now)
    listed = x509.load_der_x509_crl(bytes(RevocationList.objects.get().der))
    assert [f"{entry.serial_number:x}" for entry in listed] == [host.row.serial_number.lstrip("0")]
    assert crl.due(now=door.now) == []
