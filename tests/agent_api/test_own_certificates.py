"""The portal's own certificates and CRLs are renewed, whatever else is broken or lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from portal.access.models import User
from portal.audit import sealing
from portal.preferences import store
from renewal import crl, dispatch, own_certificates, revocations
from renewal.alarms import alarms
from renewal.ca.base import RevocationReason
from renewal.ca.local import LocalCA
from renewal.census import last_begun
from renewal.configuration import by_settings
from renewal.models import (
    Certificate,
    CertificateAuthority,
    Revocation,
    RevocationList,
    Template,
)
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


def told(at: datetime) -> list[tuple[str, bool]]:
    return [
        (str(alarm.kind), alarm.is_critical)
        for alarm in alarms(last_begun(), by_settings(store.load()), now=at)
    ]


def test_what_is_not_renewed_is_told_on_the_first_page_and_by_the_probes(
    door: FrontDoor, settings: Any, tmp_path: Path, client: Client
) -> None:
    scratch(settings, tmp_path)
    authority = CertificateAuthority.objects.get()
    now = timezone.now()
    own_certificates.ensure_server_certificate(authority, ["portal.test"], now=now)
    crl.publish(authority.pk, now=now)
    own_certificates.renew_due(now=now)
    sealing.seal(now=lambda: now)
    assert told(now) == []
    # Nobody has worked since.
    later = now + 100 * DAY
    assert told(later) == [
        ("background_work", True),
        ("server_certificate", True),
        ("revocation_list", True),
    ]
    # A worker is back, the CA's folder is not.
    folder = authority.options["directory"]
    authority.options = {**authority.options, "directory": str(tmp_path / "gone")}
    authority.save()
    own_certificates.renew_due(now=now)
    (alarm,) = alarms(last_begun(), by_settings(store.load()), now=now)
    assert (alarm.kind, alarm.is_critical) == ("ca_key", True)
    assert "cannot be read" in alarm.reason

    settings.CONFIG = replace(settings.CONFIG, edge="pages")
    client.force_login(administrator())
    page = client.get("/").content.decode()
    assert "The portal itself needs a look" in page
    assert "cannot be read" in page
    assert client.get("/readyz").json()["degraded"]["alarms"] == ["ca_key"]
    assert 'portal_alarms{alarm="ca_key"} 1.0' in client.get("/metrics").content.decode()

    authority.options = {**authority.options, "directory": folder}
    authority.save()
    own_certificates.renew_due(now=now)
    assert told(now) == []
    assert "The portal itself needs a look" not in client.get("/").content.decode()


def administrator() -> User:
    user = User.objects.create_user("ada")
    user.groups.add(Group.objects.get(name="Administrator"))
    return user


@pytest.mark.django_db(transaction=True)
def test_a_list_whose_ca_goes_while_it_is_signed_is_given_up(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = CertificateAuthority.objects.get()
    sign = LocalCA.publish_crl

    def signed(self: LocalCA, *arguments: Any, **options: Any) -> bytes:
        Certificate.objects.filter(authority=authority).delete()
        Template.objects.all().delete()
        CertificateAuthority.objects.filter(pk=authority.pk).delete()
        return sign(self, *arguments, **options)

    monkeypatch.setattr(LocalCA, "publish_crl", signed)
    assert crl.publish(authority.pk, now=door.now) is None
