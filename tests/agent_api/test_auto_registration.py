"""Auto-registration at the front door: rules, handlers, and what neither may do.

Owns first registrations that no operator decides, and the handlers' choice of CA and template
(S33, S34).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from pytest_django import Settings

from orchestrators import groups, own_names
from orchestrators.labels import labels_of
from orchestrators.models import (
    AutoRegistrationRule,
    BootstrapCredential,
    HandlerHealth,
    Orchestrator,
)
from orchestrators.registration import chain as registration_chain
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents
from orchestrators.registration.handler import Defer
from portal.access.models import User
from portal.audit.models import AuditEntry
from portal.preferences import store
from renewal import issuers
from renewal.alarms import alarms
from renewal.configuration import by_settings
from renewal.identity import approvals
from renewal.models import CertificateAuthority, Enrollment, GroupIssuance, Template
from renewal.rules.alarms import Kind
from tests.agent_api.front_door import (
    DAY,
    OPERATOR,
    FrontDoor,
    Host,
    actions,
    csr,
    new_key,
    refusals,
)
from tests.orchestrators.registration import handlers

pytestmark = pytest.mark.both_databases
Basic = tuple[str, str]
MakeCredential = Callable[..., tuple[BootstrapCredential, Basic]]
NOT_APPROVED = (3, "A01F0001", False, False)
DENIED = (3, "A01F000E", False, False)
FULL = (1, "", True, True)


@pytest.fixture
def rule(door: FrontDoor) -> Callable[..., AutoRegistrationRule]:
    """Factory of rules, each behind the ones before it."""

    def make(name: str, outcome: str, **conditions: Any) -> AutoRegistrationRule:
        row, _ = editing.save(name, Contents(outcome, **conditions), actor=OPERATOR, now=door.now)
        return row

    return make


@pytest.fixture
def chain(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Names the handlers of the deployment, in order. Whoever hangs takes no other test's place."""
    monkeypatch.setattr(registration_chain, "_places", {})

    def name(*classes: str) -> None:
        paths = tuple(f"{handlers.__name__}.{cls}" for cls in classes)
        settings.CONFIG = replace(settings.CONFIG, registration_handlers=paths)

    handlers.asked.clear()
    handlers.release.clear()
    yield name
    handlers.release.set()


@pytest.fixture
def basic(make_credential: MakeCredential) -> Basic:
    return make_credential()[1]


@pytest.fixture
def second(door: FrontDoor, ca_folder: Any) -> CertificateAuthority:
    """Another CA and template than the settings name."""
    row, _ = issuers.save_authority(
        name="Second CA",
        alias="local",
        options={"directory": str(ca_folder), "passphrase": "not a secret"},
        actor=OPERATOR,
        now=door.now,
    )
    Template.objects.create(
        name="Short-lived",
        key_types=["EC-P256"],
        extended_key_usages=["1.3.6.1.5.5.7.3.2"],
        validity_seconds=7 * 86400,
        created_at=door.now,
    )
    return row


def register(door: FrontDoor, basic: Basic, name: str = "web01", **members: Any) -> Any:
    return door.register(
        basic=basic, **({"ClientMachine": name, "CSR": csr(new_key(), f"CN={name}")} | members)
    )


class TestRules:
    def test_without_a_rule_an_operator_approves(self, door: FrontDoor, basic: Basic) -> None:
        assert register(door, basic).said == NOT_APPROVED
        assert door.record("web01").status == 1

    def test_allow_opens_the_claim_and_serves_the_same_register(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        row = rule("Web hosts", "allow", name_patterns=("web*",))
        key = new_key()
        reply = register(door, basic, CSR=csr(key, "CN=web01"))
        assert reply.said == FULL
        host = Host(door, "web01", reply.certificate, key, reply.agent_id)
        assert host.register().said == (1, "", True, False)
        assert host.row.standing == "current"
        row.refresh_from_db()
        assert (row.hits, row.last_hit_at) == (1, door.now)
        entry = AuditEntry.objects.get(action="approved")
        assert entry.actor_name == "auto-registration rule “Web hosts”"
        assert entry.orchestrator_id == host.record.pk

    def test_allow_binds_a_certificate_as_an_approval_does(
        self, door: FrontDoor, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        key = new_key()
        der = door.certificate(key, subject="CN=web01")
        reply = door.register(der, ClientMachine="web01")
        assert reply.said == (1, "", True, False)
        host = Host(door, "web01", der, key, reply.agent_id)
        assert host.row.standing == "current"
        assert host.record.thumbprint == host.thumbprint
        assert host.register().said == (1, "", True, False)

    def test_allow_with_a_certificate_and_a_csr_is_one_call_too(
        self, door: FrontDoor, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        der = door.certificate(new_key(), subject="CN=web01", left=20 * DAY)
        reply = door.register(der, ClientMachine="web01", CSR=csr(new_key(), "CN=web01"))
        assert reply.said == FULL

    def test_without_a_csr_an_allowed_credential_is_told_to_send_one(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        assert register(door, basic, CSR=None).said == (3, "A01F0009", False, False)
        assert door.record("web01").status == 2
        assert register(door, basic).said == FULL

    def test_a_record_that_waits_is_approved_once_a_rule_allows_it(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        assert register(door, basic).said == NOT_APPROVED
        rule("All", "allow")
        assert register(door, basic).said == FULL
        assert Orchestrator.objects.count() == 1

    def test_deny_disapproves_with_its_own_code(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        row = rule("Nobody", "deny")
        reply = register(door, basic)
        assert reply.said == DENIED
        assert reply.body["Session"] is None
        record = door.record("web01")
        assert record.status == 3
        assert actions(record) == ["registered", "disapproved"]
        assert register(door, basic).said == (3, "A01F0002", False, False)
        row.refresh_from_db()
        assert row.hits == 1
        assert door.ca.ledger == []

    def test_an_operator_may_approve_what_was_denied(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("Nobody", "deny")
        register(door, basic)
        assert door.approve(door.record("web01"))
        assert register(door, basic).said == FULL

    def test_defer_leaves_it_to_an_operator_and_hits_once(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        row = rule("Look at web hosts", "defer", name_patterns=("web*",))
        rule("All", "allow")
        for _ in range(3):
            assert register(door, basic).said == NOT_APPROVED
        row.refresh_from_db()
        assert row.hits == 1
        assert register(door, basic, "db01").said == FULL

    def test_the_first_rule_that_applies_decides(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("Off", "deny", enabled=False)
        rule("Not db", "deny", name_patterns=("db*",))
        last = rule("All", "allow")
        assert register(door, basic).said == FULL
        assert register(door, basic, "db01").said == DENIED
        editing.move(last.pk, 1, expected=None, actor=OPERATOR, now=door.now)
        assert register(door, basic, "db02").said == FULL

    @pytest.mark.parametrize(
        ("conditions", "members"),
        [
            ({"name_patterns": ("web*",)}, {"ClientMachine": "db01"}),
            ({"networks": ("10.0.0.0/8",)}, {}),
            ({"service_account": "web-agents"}, {}),
            ({"role": "Web agents"}, {}),
            ({"credential": "other"}, {}),
            ({"parameters": (("site", "vienna"),)}, {}),
            (
                {"parameters": (("site", "vienna"),)},
                {"ClientParameters": {"site": "graz"}},
            ),
            (
                {"name_patterns": ("web*",), "parameters": (("site", "*"), ("rack", "*"))},
                {"ClientParameters": {"site": "graz"}},
            ),
        ],
    )
    def test_every_condition_must_hold(
        self,
        door: FrontDoor,
        basic: Basic,
        make_credential: MakeCredential,
        rule: Callable[..., AutoRegistrationRule],
        conditions: dict[str, Any],
        members: dict[str, Any],
    ) -> None:
        make_credential("other")
        User.objects.create(username="web-agents", is_service_account=True)
        Group.objects.create(name="Web agents")
        rule("Some", "allow", **conditions)
        assert register(door, basic, **members).said == NOT_APPROVED

    def test_every_condition_that_holds_allows(
        self,
        door: FrontDoor,
        make_credential: MakeCredential,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        account = User.objects.create(username="web-agents", is_service_account=True)
        account.groups.add(
            Group.objects.get(name="Orchestrator"), Group.objects.create(name="Web agents")
        )
        _, basic = make_credential("web", service_account=account)
        rule(
            "Web",
            "allow",
            name_patterns=("db*", "web*"),
            networks=("10.0.0.0/8", "127.0.0.1"),
            service_account="web-agents",
            role="Web agents",
            credential="web",
            parameters=(("site", "v*a"), ("rack", "?1")),
        )
        reply = register(door, basic, ClientParameters={"site": "Vienna", "rack": "a1"})
        assert reply.said == FULL
        assert door.record("web01").service_account == account

    def test_a_rule_gives_its_service_account(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        account = User.objects.create(username="web-agents", is_service_account=True)
        account.groups.add(Group.objects.get(name="Orchestrator"))
        rule("Web", "allow", assign_service_account="web-agents")
        assert register(door, basic).said == FULL
        record = door.record("web01")
        assert record.service_account == account
        assert "service_account_changed" in actions(record)
        Orchestrator.objects.update(service_account=User.objects.get(username="orchestrators"))
        account.delete()
        assert register(door, basic, "web02").said == NOT_APPROVED
        assert "auto_registration_withheld" in actions(door.record("web02"))

    def test_a_rule_puts_into_a_group_and_labels(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        group, _ = groups.save_group("Vienna", actor=OPERATOR, now=door.now)
        row = rule(
            "Web", "allow", assign_group=group.pk, assign_labels=(("tier", "web"), ("os", "linux"))
        )
        assert register(door, basic).said == FULL
        record = door.record("web01")
        assert record.group == group
        assert labels_of(record) == {"tier": "web", "os": "linux"}
        assert {"group_assigned", "labels_changed"} <= set(actions(record))
        Orchestrator.objects.update(group=None)
        groups.delete_group(group.pk, actor=OPERATOR)
        assert register(door, basic, "web02").said == NOT_APPROVED
        row.refresh_from_db()
        assert row.hits == 2


class TestSafety:
    def test_a_return_after_reset_is_never_decided_by_a_rule(
        self,
        door: FrontDoor,
        host: Host,
        basic: Basic,
        rule: Callable[..., AutoRegistrationRule],
        chain: Callable[..., None],
    ) -> None:
        chain("AllowsWeb", "Spy")
        for outcome in ("allow", "deny"):
            AutoRegistrationRule.objects.all().delete()
            rule("All", outcome)
            door.reset(host.record)
            assert host.register().said == NOT_APPROVED
            assert register(door, basic, "agent01").said == NOT_APPROVED
            assert host.record.status == 1
        assert handlers.asked == []

    def test_a_disapproved_record_stays_disapproved(
        self, door: FrontDoor, host: Host, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        approvals.disapprove(host.record.pk, actor=OPERATOR, now=door.now)
        assert host.register().code == "A01F0002"
        assert register(door, basic, "agent01").code == "A01F0002"
        assert host.record.status == 3

    @pytest.mark.parametrize(
        "twin",
        [
            "AGENT01.",
            "agent0l",
            "agent01_20260601120000",
            "аgеnt01",
            "ａｇｅｎｔ０１",
            "ägent01",
            "xn--gent01-2nf",
        ],
    )
    def test_a_name_that_looks_like_an_approved_one_waits_for_an_operator(
        self,
        door: FrontDoor,
        host: Host,
        rule: Callable[..., AutoRegistrationRule],
        twin: str,
    ) -> None:
        rule("All", "allow")
        stranger = door.certificate(subject="CN=stranger")
        reply = door.register(stranger, ClientMachine=twin)
        assert reply.code in ("A01F0001", "A01F0003")
        assert reply.body["Session"] is None
        assert Orchestrator.objects.filter(status=2).count() == 1

    def test_a_name_that_looks_like_one_that_an_operator_accepted_waits(
        self,
        door: FrontDoor,
        host: Host,
        basic: Basic,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        rule("All", "allow")
        host.register(ClientMachine="paypal01")
        assert own_names.accept_seen_name(host.record.pk, "paypal01", actor=OPERATOR)
        assert register(door, basic, "paypaI01").said == NOT_APPROVED
        # What it is called no more is free again.
        assert register(door, basic, "agent01").said == FULL

    def test_the_probable_successor_of_an_approved_one_waits(
        self,
        door: FrontDoor,
        make_host: Callable[..., Host],
        basic: Basic,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        make_host("web_01")
        rule("All", "allow")
        assert register(door, basic, "web_20260601120000").said == NOT_APPROVED
        record = door.record("web_20260601120000")
        assert actions(record) == ["registered", "auto_registration_withheld"]
        # Who reads this record's history may not know of the other.
        told = AuditEntry.objects.get(action="auto_registration_withheld").message
        assert told == "Its name is, or looks like, that of an approved orchestrator."
        assert register(door, basic, "db_20260601120000").said == FULL

    def test_when_two_came_forward_an_operator_chooses(
        self,
        door: FrontDoor,
        basic: Basic,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        stranger = door.certificate(subject="CN=stranger")
        assert register(door, basic).said == NOT_APPROVED
        assert door.register(stranger, ClientMachine="web01").said == NOT_APPROVED
        rule("All", "allow")
        assert register(door, basic).said == NOT_APPROVED
        assert door.register(stranger, ClientMachine="web01").said == NOT_APPROVED

    def test_a_denied_stranger_does_no_harm_to_the_one_who_waits(
        self,
        door: FrontDoor,
        basic: Basic,
        make_credential: MakeCredential,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        assert register(door, basic).said == NOT_APPROVED
        before = Orchestrator.objects.values().get()
        _, other = make_credential("other")
        rule("Not them", "deny", credential="other")
        assert register(door, other).said == DENIED
        assert Orchestrator.objects.values().get() == before
        assert refusals() == ["refused_A01F000E"]

    def test_denied_ones_are_bounded(
        self, door: FrontDoor, basic: Basic, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("Nobody", "deny")
        door.setting("NewOrchestratorsPerHour", 4)
        codes = [register(door, basic, f"host{n}").code for n in range(3)]
        assert codes == ["A01F000E", "A01F000E", "A01F0030"]
        assert Orchestrator.objects.count() == 2

    def test_a_credential_gets_no_more_approvals_than_it_may(
        self,
        door: FrontDoor,
        make_credential: MakeCredential,
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        row, basic = make_credential()
        row.record_limit = 2
        row.save()
        rule("All", "allow")
        assert [register(door, basic, f"host{n}").code for n in range(3)] == ["", "", "A01F0001"]

    def test_an_expired_certificate_is_not_approved_by_a_rule(
        self, door: FrontDoor, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        der = door.certificate(subject="CN=web01", left=-DAY)
        assert door.register(der, ClientMachine="web01").code == "A01F0005"
        assert not Orchestrator.objects.exists()

    def test_a_nameless_one_waits(
        self, door: FrontDoor, rule: Callable[..., AutoRegistrationRule]
    ) -> None:
        rule("All", "allow")
        der = door.certificate(subject="CN=web01")
        assert door.register(der, ClientMachine="").said == NOT_APPROVED


class TestHandlers:
    def test_the_first_answer_decides_before_the_rules(
        self,
        door: FrontDoor,
        basic: Basic,
        chain: Callable[..., None],
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        row = rule("Nobody", "deny")
        chain("Spy", "AllowsWeb", "DeniesAll")
        assert register(door, basic).said == FULL
        assert [who for who, what, _ in handlers.asked if what == "decide"] == [
            "Spy",
            "AllowsWeb",
        ]
        assert labels_of(door.record("web01")) == {"tier": "web"}
        entry = AuditEntry.objects.get(action="approved")
        assert entry.actor_name == "registration handler “web hosts”"
        assert entry.message == "a web host"
        row.refresh_from_db()
        assert row.hits == 0

    def test_deny_disapproves(
        self, door: FrontDoor, basic: Basic, chain: Callable[..., None]
    ) -> None:
        chain("AllowsWeb", "DeniesAll")
        assert register(door, basic, "db01").said == DENIED
        assert AuditEntry.objects.get(action="disapproved").message == (
            "the inventory does not know it"
        )

    def test_when_all_defer_the_rules_decide(
        self,
        door: FrontDoor,
        basic: Basic,
        chain: Callable[..., None],
        rule: Callable[..., AutoRegistrationRule],
    ) -> None:
        chain("Spy")
        assert register(door, basic).said == NOT_APPROVED
        rule("All", "allow")
        assert register(door, basic).said == FULL

    def test_what_it_sees_is_typed_and_without_secrets(
        self, door: FrontDoor, basic: Basic, chain: Callable[..., None]
    ) -> None:
        chain("Spy")
        register(door, basic, ClientParameters={"site": "vienna"})
        (_, _, request), *_ = handlers.asked
        assert request.client_machine == "web01"
        assert request.credential == basic[0]
        assert request.service_account == "orchestrators"
        assert dict(request.client_parameters) == {"site": "vienna"}
        assert (request.has_csr, request.certificate, request.agent_id) == (True, None, "")
        assert basic[1] not in repr(request)
        with pytest.raises(TypeError):
            request.client_parameters["site"] = "graz"
        door.register(door.certificate(subject="CN=web02"), ClientMachine="web02")
        assert handlers.asked[-1][2].certificate.subject == "CN=web02"

    @pytest.mark.parametrize(
        "broken", ["Raises", "AnswersNonsense", "AnswersLater", "CannotBeMade", "NoHandler"]
    )
    def test_one_that_fails_leaves_it_to_the_next(
        self, door: FrontDoor, basic: Basic, chain: Callable[..., None], broken: str
    ) -> None:
        chain(broken, "AllowsWeb")
        der = door.certificate(subject="CN=web01")
        assert door.register(der, ClientMachine="web01").said == (1, "", True, False)
        health = HandlerHealth.objects.get(path=f"{handlers.__name__}.{broken}")
        assert (health.failures, health.time_outs) == (1, 0)
        assert health.last_error
        chain(broken)
        other = door.certificate(subject="CN=web02")
        assert door.register(other, ClientMachine="web02").said == NOT_APPROVED

    def test_one_that_hangs_costs_its_time_and_leaves_it_to_an_operator(
        self, door: FrontDoor, basic: Basic, chain: Callable[..., None]
    ) -> None:
        door.setting("RegistrationHandlerTimeoutSeconds", 1)
        chain("Hangs")
        assert register(door, basic).said == NOT_APPROVED
        health = HandlerHealth.objects.get()
        assert (health.failures, health.time_outs) == (0, 1)
        assert health.last_error == "did not answer decide in time."

    def test_one_that_hangs_takes_no_time_from_the_next(
        self, door: FrontDoor, chain: Callable[..., None]
    ) -> None:
        door.setting("RegistrationHandlerTimeoutSeconds", 1)
        chain("Hangs", "AllowsInATenth")
        der = door.certificate(subject="CN=web01")
        assert door.register(der, ClientMachine="web01").said == (1, "", True, False)
        health = {row.path.rpartition(".")[2]: row for row in HandlerHealth.objects.all()}
        assert (health["Hangs"].time_outs, health["AllowsInATenth"].time_outs) == (1, 0)

    def test_it_is_asked_at_first_registrations_only(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        chain("Spy")
        host.register()
        assert handlers.asked == []

    def test_no_transaction_is_open_while_handlers_are_asked(
        self,
        door: FrontDoor,
        basic: Basic,
        chain: Callable[..., None],
        rule: Callable[..., AutoRegistrationRule],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        chain("Spy")
        rule("All", "allow")
        around = len(connection.atomic_blocks)
        asked: list[tuple[str, int]] = []

        def ask(_loaded: object, method: str, *_more: object, **_limits: object) -> object:
            asked.append((method, len(connection.atomic_blocks) - around))
            return Defer() if method == "decide" else None

        monkeypatch.setattr(registration_chain, "_ask", ask)
        assert register(door, basic).said == FULL
        assert asked == [("decide", 0), ("enroll", 0)]

    def test_calls_that_hang_use_up_their_places_and_no_more(
        self,
        door: FrontDoor,
        basic: Basic,
        chain: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(registration_chain, "_PLACES", 1)
        door.setting("RegistrationHandlerTimeoutSeconds", 1)
        chain("Hangs")
        for number in range(2):
            assert register(door, basic, f"web{number}").said == NOT_APPROVED
        assert "was not asked" in HandlerHealth.objects.get().last_error

    def test_one_that_hangs_in_decide_stops_no_enrollment_and_is_an_alarm(
        self,
        door: FrontDoor,
        make_host: Callable[..., Host],
        basic: Basic,
        chain: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(registration_chain, "_PLACES", 1)
        door.setting("RegistrationHandlerTimeoutSeconds", 1)
        chain("HangsInDecide", "Spy")
        for number in range(2):
            register(door, basic, f"web{number}")
        first, second = make_host("first"), make_host("second")
        for host in (first, second):
            assert host.send_csr()[0].said == FULL
        # Another handler is asked all the same, and what hangs is not asked what it cannot say.
        assert [method for _, method, _ in handlers.asked].count("enroll") == 2
        (alarm,) = [
            a
            for a in alarms(None, by_settings(store.load()), now=door.now)
            if a.kind is Kind.REGISTRATION_HANDLER
        ]
        assert "HangsInDecide" in alarm.what
        later = alarms(None, by_settings(store.load()), now=door.now + 2 * DAY)
        assert Kind.REGISTRATION_HANDLER not in {alarm.kind for alarm in later}

    def test_the_second_register_of_the_c_agent_is_told(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        chain("Raises", "Spy")
        wish = {"RegistrationRequest": "registration-enroll-stores"}
        assert host.register(ClientParameters=wish).said == (1, "", True, False)
        ((_, what, request),) = handlers.asked
        assert what == "registration-enroll-stores"
        assert request.agent_id == host.agent_id


class TestAuthorityAndTemplate:
    def chosen(self) -> tuple[str, str, str]:
        row = Enrollment.objects.select_related("authority", "template").latest("pk")
        return row.authority.name, row.template.name, row.chosen_by

    def test_the_handlers_choice_comes_before_the_settings(
        self,
        door: FrontDoor,
        host: Host,
        second: CertificateAuthority,
        chain: Callable[..., None],
    ) -> None:
        chain("NamesSecond")
        assert host.send_csr()[0].said == FULL
        assert self.chosen() == ("Second CA", "Short-lived", "handler second")
        entry = AuditEntry.objects.filter(action="enrollment_requested").latest("pk")
        assert entry.after["chosen_by"] == "handler second"

    def test_when_the_first_defers_the_second_is_used(
        self,
        door: FrontDoor,
        host: Host,
        second: CertificateAuthority,
        chain: Callable[..., None],
    ) -> None:
        chain("Spy", "NamesSecond")
        assert host.send_csr()[0].said == FULL
        assert [who for who, _, _ in handlers.asked] == ["Spy", "second"]
        assert self.chosen() == ("Second CA", "Short-lived", "handler second")

    def test_what_it_leaves_out_comes_from_the_settings(
        self,
        door: FrontDoor,
        host: Host,
        second: CertificateAuthority,
        chain: Callable[..., None],
    ) -> None:
        chain("NamesTemplateOnly")
        assert host.send_csr()[0].said == FULL
        assert self.chosen() == ("Test CA", "Short-lived", "handler template only, settings")

    def test_it_comes_before_the_group_and_the_group_before_the_settings(
        self,
        door: FrontDoor,
        host: Host,
        second: CertificateAuthority,
        chain: Callable[..., None],
    ) -> None:
        group, _ = groups.save_group("Vienna", actor=OPERATOR, now=door.now)
        Orchestrator.objects.update(group=group)
        GroupIssuance.objects.create(group=group, authority=second)
        chain("NamesTemplateOnly")
        assert host.send_csr()[0].said == FULL
        assert self.chosen() == ("Second CA", "Short-lived", "handler template only, group Vienna")
        door.tick(2 * DAY)
        chain("Spy")
        assert host.send_csr()[0].said == FULL
        assert self.chosen() == ("Second CA", "Orchestrator", "group Vienna")
        assert handlers.asked[-1][2].registration.group == "Vienna"

    def test_when_all_are_silent_the_settings_are_used(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        chain("Spy")
        assert host.send_csr()[0].said == FULL
        assert self.chosen() == ("Test CA", "Orchestrator", "settings")
        request = handlers.asked[-1][2]
        assert (request.csr_subject, request.key_type) == ("CN=agent01", "EC-P256")
        assert request.registration.agent_id == host.agent_id

    def test_with_both_settings_empty_the_request_is_refused_with_that_reason(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        chain("Spy")
        door.setting("CertificateAuthorityForSubmittedCSRs", "")
        door.setting("TemplateForSubmittedCSRs", "")
        reply, _ = host.send_csr()
        assert reply.said == (2, "A01F0021", True, False)
        assert "Certificate Authority For Submitted CSRs" in reply.message
        assert host.record.last_error_code == "A01F0021"

    def test_it_chooses_for_a_first_enrollment_too(
        self,
        door: FrontDoor,
        basic: Basic,
        second: CertificateAuthority,
        rule: Callable[..., AutoRegistrationRule],
        chain: Callable[..., None],
    ) -> None:
        chain("NamesSecond")
        rule("All", "allow")
        assert register(door, basic).said == FULL
        assert self.chosen()[2] == "handler second"
        assert handlers.asked[-1][2].is_first

    @pytest.mark.parametrize("broken", ["Raises", "AnswersNonsense", "CannotBeMade"])
    def test_one_that_fails_refuses_and_no_ca_is_asked(
        self, door: FrontDoor, host: Host, chain: Callable[..., None], broken: str
    ) -> None:
        chain(broken, "NamesSecond")
        reply, _ = host.send_csr()
        assert reply.said == (2, "A01F0024", True, False)
        assert broken in reply.message
        assert door.ca.ledger == []
        assert not Enrollment.objects.exists()
        assert HandlerHealth.objects.get().failures == 1
        assert host.record.last_error_code == "A01F0024"

    def test_one_that_hangs_refuses_and_no_ca_is_asked(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        door.setting("RegistrationHandlerTimeoutSeconds", 1)
        door.set_flag(host.record, 2)
        chain("Hangs")
        assert host.send_csr()[0].said == (3, "A01F0024", False, False)
        assert door.ca.ledger == []
        assert HandlerHealth.objects.get().time_outs == 1

    @pytest.mark.parametrize(
        ("stale", "named"),
        [("NamesUnknownCA", "Gone CA"), ("NamesUnknownTemplate", "Gone")],
    )
    def test_a_name_that_is_not_there_refuses_and_is_shown(
        self, door: FrontDoor, host: Host, chain: Callable[..., None], stale: str, named: str
    ) -> None:
        chain(stale)
        reply, _ = host.send_csr()
        assert reply.said == (2, "A01F0025", True, False)
        assert named in reply.message
        assert door.ca.ledger == []
        assert named in HandlerHealth.objects.get().last_error

    def test_a_disabled_ca_refuses(
        self,
        door: FrontDoor,
        host: Host,
        second: CertificateAuthority,
        chain: Callable[..., None],
    ) -> None:
        CertificateAuthority.objects.filter(pk=second.pk).update(enabled=False)
        chain("NamesSecond")
        assert host.send_csr()[0].said == (2, "A01F0025", True, False)
        assert door.ca.ledger == []

    def test_it_is_not_asked_about_a_csr_that_is_none(
        self, door: FrontDoor, host: Host, chain: Callable[..., None]
    ) -> None:
        chain("Spy")
        assert host.register(CSR="bm90IGEgQ1NS").code == "A01F0012"
        assert handlers.asked == []
