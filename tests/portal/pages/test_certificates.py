"""Certificates: found, decoded, downloaded, revoked, made from a CSR."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from django.test import Client

from orchestrators import groups
from portal.access.catalogue import Permission
from portal.access.reach import EVERYTHING, Reach
from portal.access.role_changes import save_role
from portal.audit.models import AuditEntry
from portal.pages.certificate_columns import CERTIFICATES
from portal.preferences.models import Layout
from renewal import census, certificates, issuers
from renewal.authorities import Wanted, create_local
from renewal.models import Certificate, Template
from renewal.rules.standing import Standing
from renewal.selectors import certificates as selectors
from renewal.templates import Contents, save_template
from renewal.x509.certificates import read_certificate, serial_text
from tests import pki
from tests.portal.pages import fleet as rows

DAY = timedelta(days=1)


def found(client, **query) -> set[str]:
    return {row.certificate.pk for row in client.get("/certificates", query).context["rows"]}


def test_certificates_are_found_by_name_serial_and_thumbprint(fleet, admin, now):
    certificate = Certificate.objects.get(orchestrator=fleet.calm)
    for query in (
        "app-server-01",
        "APP-SERVER-01.Example.COM.",
        certificate.serial_number,
        certificate.serial_number.upper(),
        f"0x{certificate.serial_number.lstrip('0')}",
        ":".join(re.findall("..", certificate.thumbprint)),
        " ".join(re.findall("..", certificate.thumbprint.lower())),
        f"\u200e{certificate.thumbprint[:12]}",
        certificate.fingerprint_sha256,
        # As openssl prints them.
        f"SHA1 Fingerprint={':'.join(re.findall('..', certificate.thumbprint))}",
        f"sha256 Fingerprint={certificate.fingerprint_sha256}",
        f"serial={certificate.serial_number.upper()}",
        str(int(certificate.serial_number, 16)),
        f"Serial Number: {int(certificate.serial_number, 16)}",
        f"Serial Number: {int(certificate.serial_number, 16)} (0x{certificate.serial_number})",
        "subject=CN = app-server-01",
        "DNS:app-server-01.example.com",
    ):
        assert found(admin, q=query) == {certificate.pk}, query
    for query in ("nothing like it", str(int(certificate.serial_number, 16))[:-1], "9" * 50):
        assert found(admin, q=query) == set(), query
    facts = read_certificate(
        pki.certificate(
            "CN=one",
            sans=[x509.DNSName("Another.example.com"), x509.IPAddress(ip_address("192.0.2.77"))],
            not_after=now + DAY,
        )
    )
    other = certificates.create(facts, standing=Standing.OWN, now=now)
    for query in ("one", "another.EXAMPLE", "192.0.2.77"):
        assert found(admin, q=query) == {other.pk}, query
    # Digits alone may be either: what is one's number in hex is the other's in decimal.
    Certificate.objects.filter(pk=other.pk).update(serial_number="123456789012")
    hexadecimal = serial_text(123456789012)
    Certificate.objects.filter(pk=certificate.pk).update(serial_number=hexadecimal)
    assert found(admin, q="123456789012") == {certificate.pk, other.pk}


def test_what_is_outside_the_reach_takes_no_place_from_what_is_inside(fleet, now, monkeypatch):
    monkeypatch.setattr(selectors, "MOST_FOUND", 1)
    group, _ = groups.save_group("Plant", actor=rows.ALICE, now=now)
    groups.assign([fleet.requested.pk], group, actor=rows.ALICE)
    save_role(
        "Plant readers",
        permissions=[Permission.PORTAL_READ, Permission.CERTIFICATES_READ],
        limit=Reach(groups=frozenset({group.pk})),
        giver=None,
        actor=rows.ALICE,
    )
    reader = Client()
    reader.force_login(rows.user("reader", "Plant readers"))
    own = set(Certificate.objects.filter(orchestrator=fleet.requested).values_list("pk", flat=True))
    assert len(own) == 1
    page = reader.get("/certificates", {"q": "app-server"})
    assert {row.certificate.pk for row in page.context["rows"]} == own
    assert "begin like this" not in page.content.decode()


def test_one_that_never_ends_is_shown_in_every_zone(fleet, admin):
    Certificate.objects.filter(orchestrator=fleet.calm).update(
        not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    )
    admin.cookies["zone"] = "Europe/Berlin"
    page = admin.get("/certificates", {"q": "app-server-01"})
    assert page.status_code == 200
    assert "9999-12-31" in page.content.decode()


def test_certificates_are_narrowed_by_state_use_issuer_key_and_end(fleet, admin, now):
    expired = Certificate.objects.get(orchestrator=fleet.expired).pk
    revoked = Certificate.objects.get(standing="superseded").pk
    everything = found(admin, shown="all")
    assert not {expired, revoked} & found(admin)
    assert {expired, revoked} == found(admin, shown="ended")
    assert {expired} == found(admin, shown="expired")
    assert {revoked} == found(admin, shown="revoked")
    unused = Certificate.objects.get(standing="issued").pk
    assert {unused} == found(admin, use="unused")
    assert {revoked} == found(admin, use="former", shown="all")
    own = str(rows.authority(now).pk)
    assert found(admin, issuer=own, shown="all") == everything
    assert found(admin, issuer="other", shown="all") == set()
    assert found(admin, key="EC-256", shown="all") == everything
    assert found(admin, key="RSA-2048", shown="all") == set()
    must_renew = Certificate.objects.get(orchestrator=fleet.must_renew)
    assert must_renew.pk in found(admin, ends="30d")
    assert found(admin, ends=str(must_renew.not_after.date()), q="edge") == {must_renew.pk}
    assert found(admin, issuer="9" * 20) == found(admin, key=f"EC-{'9' * 20}") == set()


class TestList:
    def body(self, reply) -> str:
        assert reply.status_code == 200
        return b"".join(reply.streaming_content).decode()

    def counts(self, client, **query) -> dict[str, str]:
        page = client.get("/certificates", query)
        return {str(each): str(count) for each, *_, count in page.context["tally"]}

    @pytest.mark.both_databases
    def test_what_is_found_is_counted_by_state(self, fleet, admin):
        every = ("valid", "expired", "revoked", "ended", "all")
        for query in ({}, {"use": "in-use"}, {"q": "app-server"}, {"key": "RSA-2048"}):
            expected = {each: str(len(found(admin, shown=each, **query))) for each in every}
            for each in every:
                assert self.counts(admin, shown=each, **query) == expected, (query, each)

    @pytest.mark.both_databases
    def test_counts_stop_at_their_cap_and_a_census_knows_more(self, fleet, admin, now, monkeypatch):
        every = {each: len(found(admin, shown=each)) for each in ("valid", "ended", "all")}
        real = Certificate.objects.exclude(orchestrator__demonstration=True).count()
        assert real < every["all"]
        monkeypatch.setattr("renewal.selectors.certificate_counts.CAP", 3)
        counts = self.counts(admin)
        # The only page knows how many it shows.
        assert (counts["valid"], counts["all"]) == (str(every["valid"]), "3+")
        assert self.counts(admin, shown="ended")["ended"] == str(every["ended"])
        assert "the least that there is" in admin.get("/certificates").content.decode()
        census.take_due(now=now)
        assert self.counts(admin)["all"] == f"≈{real}"
        page = admin.get("/certificates").content.decode()
        assert "Numbers with ≈ as counted" in page
        assert "≈" not in "".join(self.counts(admin, use="in-use").values())

    def test_columns_and_density_are_the_persons_own(self, fleet, admin, as_role):
        given = {"columns": ["serial", "names"], "move": "names:up", "density": "compact"}
        back = admin.post("/certificates/layout", given | {"query": "shown=all&q=app"})
        assert back["Location"] == "/certificates?q=app&shown=all"
        text = admin.get("/certificates").content.decode()
        assert "is-compact" in text
        heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text)
        assert heads == ["Name", "Ends", "Other names", "Serial number"]
        other = as_role("Read only").get("/certificates").content.decode()
        assert "is-compact" not in other
        # The list of orchestrators has a layout of its own.
        assert "is-compact" not in admin.get("/orchestrators").content.decode()
        admin.post("/certificates/layout", {"columns": list(CERTIFICATES.by_key)})
        text = admin.get("/certificates").content.decode()
        assert all(f">{column.title}</th>" in text for column in CERTIFICATES.every)

    @pytest.mark.parametrize(
        "form", [{"columns": "nothing"}, {"move": "serial:sideways"}, {"query": "nowhere=1"}]
    )
    def test_a_layout_that_makes_no_sense_is_refused(self, form, fleet, admin):
        assert admin.post("/certificates/layout", form).status_code == 400
        assert not Layout.objects.exists()

    def test_an_export_holds_the_rows_of_the_list_in_its_order_with_its_columns(self, fleet, admin):
        admin.cookies["zone"] = "Europe/Berlin"
        for query in ("", "?shown=all", "?q=app", "?use=former&shown=ended"):
            listed = admin.get(f"/certificates{query}").context["rows"]
            expected = [row.certificate.pk for row in listed]
            body = self.body(admin.get(f"/certificates/export.csv{query}"))
            table = list(csv.DictReader(io.StringIO(body)))
            told = json.loads(self.body(admin.get(f"/certificates/export.json{query}")))
            assert [int(row["id"]) for row in table] == expected
            assert [row["id"] for row in told] == expected
            assert [row["state"] for row in told] == [row.state for row in listed]
        assert "alternative_names" not in told[0]
        admin.post("/certificates/layout", {"columns": ["names"]})
        (first, *_) = json.loads(self.body(admin.get("/certificates/export.json")))
        assert "alternative_names" in first
        assert "serial_number" not in first
        audit = AuditEntry.objects.filter(action="certificates_exported").order_by("pk")
        assert audit.count() == 9
        assert audit[2].after == {"query": "shown=all", "time_zone": "Europe/Berlin"}

    def test_an_export_of_many_comes_in_runs(self, fleet, now):
        found = selectors.matching(
            selectors.Search(shown=selectors.Shown.ENDED), reach=EVERYTHING, now=now
        )
        runs = list(selectors.every(found, run=1))
        expected = [row.pk for row in selectors.page(found).rows]
        assert [row.pk for run in runs for row in run] == expected

    def test_no_cell_of_the_csv_is_a_formula(self, db, now, admin):
        facts = read_certificate(pki.certificate("CN=one", not_after=now + DAY))
        made = certificates.create(facts, standing=Standing.OWN, now=now)
        Certificate.objects.filter(pk=made.pk).update(common_name="=1+1")
        text = self.body(admin.get("/certificates/export.csv"))
        assert ",'=1+1," in text

    def test_an_export_ends_at_the_holders_reach(self, fleet, now):
        group, _ = groups.save_group("Plant", actor=rows.ALICE, now=now)
        groups.assign([fleet.requested.pk], group, actor=rows.ALICE)
        save_role(
            "Plant readers",
            permissions=[Permission.PORTAL_READ, Permission.CERTIFICATES_READ],
            limit=Reach(groups=frozenset({group.pk})),
            giver=None,
            actor=rows.ALICE,
        )
        reader = Client()
        reader.force_login(rows.user("reader", "Plant readers"))
        told = json.loads(self.body(reader.get("/certificates/export.json?shown=all")))
        own = Certificate.objects.filter(orchestrator=fleet.requested)
        assert [row["id"] for row in told] == [row.pk for row in own]
        assert self.counts(reader)["all"] == str(own.count())


def test_a_certificate_is_decoded_in_full_with_its_issuers(db, now, admin):
    authority, _ = create_local(Wanted("Decoded CA", "local", {}), actor=rows.ALICE, now=now)
    issuer = issuers.backend(authority).issuing_certificate()
    facts = read_certificate(
        pki.certificate("CN=leaf", sans=[x509.DNSName("leaf.example.com")], not_after=now + DAY)
    )
    made = certificates.create(facts, standing=Standing.OWN, now=now)
    html = admin.get(f"/certificates/{made.pk}").content.decode()
    for said in (
        "dns: leaf.example.com",
        "clientAuth (1.3.6.1.5.5.7.3.2)",
        "Its issuer is not known",
    ):
        assert said in html, said
    own = certificates.create(issuer, standing=Standing.OWN, now=now, authority=authority)
    html = admin.get(f"/certificates/{own.pk}").content.decode()
    assert "signs certificates, signs CRLs" in html
    assert "Decoded CA Root" in html
    chain = admin.get(f"/certificates/{own.pk}-chain.pem").content
    first = x509.load_pem_x509_certificates(chain)[0]
    assert first.subject.rfc4514_string() == issuer.subject
    assert chain.count(b"BEGIN CERTIFICATE") == 2


class TestRevoke:
    def form(self, certificate, **changes):
        return {
            "reason": "1",
            "comment": "stolen",
            "standing": certificate.standing,
            **changes,
        }

    def test_one_that_nobody_uses_is_revoked_with_the_reason(self, fleet, admin, now):
        made = rows.certificate(fleet.calm, now=now, standing=Standing.ARCHIVED)
        assert (
            "does not work with it any more"
            in admin.get(f"/certificates/{made.pk}/revoke").content.decode()
        )
        admin.post(f"/certificates/{made.pk}/revoke", self.form(made))
        made.refresh_from_db()
        assert (made.revoked_at is not None, made.revocation_reason) == (True, "keyCompromise")
        assert made.revocation.cause == "stolen"
        assert AuditEntry.objects.filter(action="revocation_requested", actor_name="administrator")

    def test_one_in_use_only_if_its_holders_name_is_typed(self, fleet, admin):
        made = Certificate.objects.get(orchestrator=fleet.calm)
        url = f"/certificates/{made.pk}/revoke"
        assert "locked out until" in admin.get(url).content.decode()
        for confirm in ({}, {"confirm": "app-server"}):
            assert admin.post(url, self.form(made, **confirm)).status_code == 400
        made.refresh_from_db()
        assert made.revoked_at is None
        admin.post(url, self.form(made, confirm="app-server-01.example.com"))
        made.refresh_from_db()
        assert made.revoked_at is not None
        assert admin.get(url)["Location"] == f"/certificates/{made.pk}"

    def test_one_whose_use_changed_since_the_page_was_shown_is_left_alone(self, fleet, admin, now):
        made = rows.certificate(fleet.calm, now=now, standing=Standing.ARCHIVED)
        response = admin.post(
            f"/certificates/{made.pk}/revoke", self.form(made, standing="superseded")
        )
        assert response.status_code == 400
        assert "has changed meanwhile" in response.content.decode()
        assert not Certificate.objects.filter(pk=made.pk, revoked_at__isnull=False).exists()

    def test_it_needs_the_permission(self, fleet, as_role):
        made = Certificate.objects.get(orchestrator=fleet.calm)
        auditor = as_role("Auditor")
        assert (
            f"/certificates/{made.pk}/revoke"
            not in auditor.get(f"/certificates/{made.pk}").content.decode()
        )
        assert auditor.get(f"/certificates/{made.pk}/revoke").status_code == 403


def test_downloads_are_the_certificate(fleet, admin):
    certificate = Certificate.objects.get(orchestrator=fleet.calm)
    der = admin.get(f"/certificates/{certificate.pk}.cer").content
    pem = admin.get(f"/certificates/{certificate.pk}.pem").content
    assert der == bytes(certificate.der)
    assert x509.load_pem_x509_certificate(pem).serial_number == int(certificate.serial_number, 16)
    assert admin.get("/certificates/99999999.pem").status_code == 404
    assert admin.get(f"/certificates/{10**30}").status_code == 404


def test_a_list_without_a_match_explains_what_was_asked_of_it(fleet, admin):
    by_filter = admin.get("/certificates?key=RSA-4096").content.decode()
    assert "None has all that these filters ask for" in by_filter
    assert "found by how they begin" not in by_filter
    assert "found by how they begin" in admin.get("/certificates?q=nothing").content.decode()


def test_a_certificate_is_made_from_a_csr(db, now, admin):
    authority, _ = create_local(Wanted("Pages CA", "local", {}), actor=rows.ALICE, now=now)
    Template.objects.create(
        name="Any",
        key_types=["EC-P256"],
        names_policy="open",
        extended_key_usages=["1.3.6.1.5.5.7.3.2"],
        created_at=now,
    )
    csr = base64.b64encode(pki.csr("CN=made-by-hand")).decode()
    form = {"csr": csr, "authority": authority.name, "template": "Any"}
    response = admin.post("/certificates/from-csr", form)
    certificate = Certificate.objects.get(common_name="made-by-hand")
    assert response["Location"] == f"/certificates/{certificate.pk}"
    assert certificate.standing == "own"
    bad = admin.post("/certificates/from-csr", {**form, "csr": "nonsense"})
    assert bad.status_code == 400
    assert 'id="id_csr_error"' in bad.content.decode()


def test_a_csr_gets_no_name_that_its_template_does_not_grant(db, now, admin):
    authority = rows.authority(now)
    contents = Contents(key_types=("EC-P256",), name_patterns=("dns:*.example.com",))
    save_template("Narrow", contents, actor=rows.ALICE, now=now)
    csr = base64.b64encode(pki.csr("CN=the-boss")).decode()
    form = {"csr": csr, "authority": authority.name, "template": "Narrow"}
    refused = admin.post("/certificates/from-csr", form)
    assert refused.status_code == 400
    assert "is covered by no pattern of the template" in refused.content.decode()
    assert not Certificate.objects.filter(common_name="the-boss").exists()
