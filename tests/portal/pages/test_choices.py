"""A CA or template that renewals need and cannot be used: told before anybody is locked out."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from orchestrators import groups
from orchestrators.models import Orchestrator, OrchestratorGroup, Status
from portal.preferences.models import Setting
from renewal.group_issuance import set_issuance
from renewal.models import BulkJob, CertificateAuthority, GroupIssuance
from tests.portal.pages import fleet as rows
from tests.portal.pages.test_acts import perform
from tests.portal.pages.test_bulk import PREVIEW, submit

pytestmark = pytest.mark.both_databases


def disable(name: str = "Portal CA") -> CertificateAuthority:
    CertificateAuthority.objects.filter(name=name).update(enabled=False)
    return CertificateAuthority.objects.get(name=name)


def in_group(name: str, *records: Orchestrator) -> OrchestratorGroup:
    made, _ = groups.save_group(name, actor=rows.ALICE, now=timezone.now())
    groups.assign([record.pk for record in records], made, actor=rows.ALICE)
    return made


def text_of(response) -> str:
    return " ".join(unescape(strip_tags(response.content.decode())).split())


def stopped(client, act="request", query="") -> list[tuple[str, str, str]]:
    page = text_of(client.get(f"{PREVIEW}?act={act}{query}"))
    return re.findall(r"(\d+) of them (cannot renew|will be locked out): ([^.]+\.)", page)


def approved() -> int:
    return Orchestrator.objects.filter(status=Status.APPROVED).count()


class TestTheCAOfTheSettings:
    @pytest.fixture(autouse=True)
    def _disabled(self, fleet, now):
        # Another one that is enabled helps nobody: it is not chosen.
        rows.authority(now, "Another CA")
        self.fleet, self.authority = fleet, disable()

    def test_it_is_an_alarm_that_leads_to_its_page(self, admin, client):
        page = admin.get("/").content.decode()
        assert "chosen for submitted CSRs: nothing can be renewed" in page
        alarms = page[page.index("The portal itself needs a look") :]
        assert f'href="/authorities/{self.authority.pk}">Look at it' in alarms
        health = page[page.index('id="health"') :]
        assert "Orchestrators need it to renew." in health
        degraded = client.get("/readyz").json()["degraded"]
        assert degraded["alarms"].count("enrollment_not_configured") == 1

    def test_it_is_no_alarm_before_there_is_anybody_who_needs_it(self, admin):
        for each in Orchestrator.objects.all():
            Orchestrator.objects.filter(pk=each.pk).delete()
        assert "nothing can be renewed" not in admin.get("/").content.decode()

    def test_the_first_steps_lead_to_it_and_not_to_another_one(self, admin):
        step, *others = admin.get("/").context["steps"]
        assert (step.done, step.url) == (False, f"/authorities/{self.authority.pk}")
        assert step.name == "The certificate authority Portal CA, enabled"
        assert all(other.done for other in others)
        Setting.objects.filter(name="CertificateAuthorityForSubmittedCSRs").delete()
        step, *_ = admin.get("/").context["steps"]
        assert (step.done, step.name) == (True, "A certificate authority")

    def test_a_preview_says_whom_it_stops_and_requires_a_reason(self, admin):
        why = "The CA 'Portal CA' is disabled."
        assert stopped(admin) == [(str(approved()), "cannot renew", why)]
        assert stopped(admin, "require") == [(str(approved()), "will be locked out", why)]
        assert stopped(admin, "clear") == []
        refused = submit(admin, "require", "&q=db-primary", typed="1")
        assert refused.status_code == 400
        assert "Say why: some of them will be locked out." in text_of(refused)
        submit(admin, "require", "&q=db-primary", typed="1", message="stolen disk")
        assert BulkJob.objects.get().reason == "stolen disk"

    def test_to_require_of_one_requires_a_reason_too(self, admin):
        page = admin.get(f"/orchestrators/act?act=require&ids={self.fleet.calm.pk}")
        assert "It will be locked out: The CA 'Portal CA' is disabled." in text_of(page)
        assert perform(admin, "require", self.fleet.calm).status_code == 400
        perform(admin, "require", self.fleet.calm, message="stolen disk")
        self.fleet.calm.refresh_from_db()
        assert self.fleet.calm.flag == 2

    def test_a_group_that_chooses_another_one_is_not_stopped(self, admin, now):
        berlin = in_group("Berlin", self.fleet.calm, self.fleet.waiting)
        another = CertificateAuthority.objects.get(name="Another CA")
        set_issuance(berlin, another, None, actor=rows.ALICE)
        assert [number for number, *_ in stopped(admin)] == [str(approved() - 1)]
        assert stopped(admin, query="&group=Berlin") == []
        # It takes the template from the settings all the same.
        Setting.objects.filter(name="TemplateForSubmittedCSRs").delete()
        ((number, _, why),) = stopped(admin)
        assert (number, why) == (str(approved()), "Not set: Template For Submitted CSRs.")
        set_issuance(berlin, None, rows.template(now), actor=rows.ALICE)
        assert [number for number, *_ in stopped(admin, query="&group=Berlin")] == ["1"]

    def test_the_settings_mark_it(self, admin):
        stops = "Portal CA cannot be used: nothing can be renewed"
        assert text_of(admin.get("/settings")).count(stops) == 1
        setting = "/settings/CertificateAuthorityForSubmittedCSRs"
        assert stops in text_of(admin.get(setting))
        admin.post(setting, {"value": "Another CA", "was": "Portal CA"})
        assert "nothing can be renewed" not in text_of(admin.get("/settings"))
        Setting.objects.filter(name="TemplateForSubmittedCSRs").delete()
        assert "None is chosen: nothing can be renewed" in text_of(admin.get("/settings"))

    def test_the_page_of_one_says_to_enable_it(self, admin):
        page = text_of(admin.get(f"/orchestrators/{self.fleet.calm.pk}"))
        assert "Enable the CA Portal CA, or choose another that is enabled." in page


def test_the_ca_of_a_group_stops_its_orchestrators_alone(fleet, admin, now):
    another = rows.authority(now, "Another CA")
    set_issuance(in_group("Empty"), another, None, actor=rows.ALICE)
    disable("Another CA")
    assert all(alarm.authority is None for alarm in admin.get("/").context["alarms"])

    berlin = in_group("Berlin", fleet.calm, fleet.warned)
    CertificateAuthority.objects.update(enabled=True)
    set_issuance(berlin, another, None, actor=rows.ALICE)
    assert stopped(admin) == []
    disable("Another CA")
    page = admin.get("/")
    assert "groups choose it: their orchestrators cannot renew." in text_of(page)
    assert page.context["steps"] == []
    assert stopped(admin) == [("2", "cannot renew", "The CA 'Another CA' is disabled.")]
    assert stopped(admin, query="&q=edge-gateway") == []

    # Each is counted once, whatever else is wrong.
    disable()
    Setting.objects.filter(name="TemplateForSubmittedCSRs").delete()
    numbers = [int(number) for number, *_ in stopped(admin)]
    assert (len(numbers), sum(numbers)) == (2, approved())
    raised = admin.get("/").context["alarms"]
    assert [a.what for a in raised if a.authority or a.setting] == [
        "CA and template for submitted CSRs",
        "CA Portal CA",
        "CA Another CA",
    ]


def test_a_group_keeps_its_ca_though_it_is_disabled(fleet, admin, now):
    another = rows.authority(now, "Another CA")
    berlin = in_group("Berlin", fleet.calm)
    set_issuance(berlin, another, None, actor=rows.ALICE)
    disable("Another CA")
    page = admin.get(f"/groups/{berlin.pk}").content.decode()
    assert '<option value="Another CA" selected>Another CA (disabled)</option>' in page
    form = {"name": "Berlin", "description": "x", "authority": "Another CA", "template": ""}
    assert admin.post(f"/groups/{berlin.pk}", form).status_code == 302
    assert GroupIssuance.objects.get(group=berlin).authority == another
