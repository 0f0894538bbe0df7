"""The rules of auto-registration as a pure function, and the pattern language."""

from __future__ import annotations

import pytest

from orchestrators.confusables import skeleton
from orchestrators.registration.glob import matches
from orchestrators.registration.rules import Applicant, Outcome, Rule, evaluate, parse_network

APPLICANT = Applicant(
    client_machine="web01.example.com_20260601120000",
    source_address="10.1.2.3",
    service_account="web-agents",
    roles=frozenset({"Orchestrator", "Web agents"}),
    credential="bootstrap",
    parameters={"site": "Vienna", "rack": ""},
)


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("web*", "WEB01", True),
        ("web*", "aweb01", False),
        ("*.example.com", "web.example.com.", True),
        ("*.example.com", "example.com", False),
        ("web??", "web01", True),
        ("web??", "web1", False),
        ("web??", "web001", False),
        ("*a*b*c", "xxaxxbxxc", True),
        ("*a*b*c", "xxaxxcxxb", False),
        ("**", "x", True),
        ("", "x", False),
        ("[a-z]+", "abc", False),
        ("[a-z]+", "[a-z]+", True),
        ("ｗｅｂ*", "web01", True),
    ],
)
def test_a_pattern(pattern: str, text: str, does: bool) -> None:
    assert matches(pattern, text) is does


def test_a_pattern_that_ruins_regular_expressions_is_answered() -> None:
    assert not matches("*a" * 127 + "b", "a" * 255)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"name_patterns": ("db*", "web01.example.com")},
        {"networks": (parse_network("10.1.0.0/16"),)},
        {"networks": (parse_network("2001:db8::/32"), parse_network("10.1.2.3"))},
        {"service_account": "web-agents"},
        {"role": "Web agents"},
        {"credential": "bootstrap"},
        {"parameters": (("site", "vienna"), ("rack", "*"))},
    ],
)
def test_a_condition_that_holds(conditions: dict[str, object]) -> None:
    rule = Rule("r", Outcome.ALLOW, **conditions)  # type: ignore[arg-type]
    ruling = evaluate([rule], APPLICANT)
    assert (ruling.outcome, ruling.rule) == (Outcome.ALLOW, rule)


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({"is_enabled": False}, "switched off"),
        ({"name_patterns": ("db*",)}, "“db*”"),
        ({"networks": (parse_network("10.2.0.0/16"),)}, "10.1.2.3"),
        ({"networks": (parse_network("::/0"),)}, "10.1.2.3"),
        ({"service_account": "others"}, "not “others”"),
        ({"role": "Others"}, "no role “Others”"),
        ({"credential": "others"}, "not “others”"),
        ({"parameters": (("Site", "*"),)}, "no client parameter “Site”"),
        ({"parameters": (("site", "graz"),)}, "does not match “graz”"),
    ],
)
def test_a_condition_that_does_not_hold_says_why(conditions: dict[str, object], why: str) -> None:
    rule = Rule("r", Outcome.ALLOW, **conditions)  # type: ignore[arg-type]
    ruling = evaluate([rule], APPLICANT)
    assert (ruling.outcome, ruling.rule) == (Outcome.DEFER, None)
    (step,) = ruling.steps
    assert len(step.mismatches) == 1
    assert why in step.mismatches[0]


@pytest.mark.parametrize("address", ["", "unix:", "not an address", "fe80::1%eth0", "11.0.0.1"])
def test_what_is_no_address_of_the_network_is_in_none(address: str) -> None:
    rule = Rule("r", Outcome.ALLOW, networks=(parse_network("10.0.0.0/8"),))
    applicant = Applicant("web01", address, "orchestrators")
    assert evaluate([rule], applicant).rule is None


def test_an_ipv4_address_in_ipv6_clothes_is_the_same() -> None:
    rule = Rule("r", Outcome.ALLOW, networks=(parse_network("10.0.0.0/8"),))
    applicant = Applicant("web01", "::ffff:10.0.0.1", "orchestrators")
    assert evaluate([rule], applicant).rule == rule


def test_the_first_that_applies_decides_and_the_rest_are_not_looked_at() -> None:
    rules = [
        Rule("off", Outcome.DENY, is_enabled=False),
        Rule("db", Outcome.DENY, name_patterns=("db*",)),
        Rule("web", Outcome.DEFER, name_patterns=("web*",)),
        Rule("all", Outcome.ALLOW),
    ]
    ruling = evaluate(rules, APPLICANT)
    assert (ruling.outcome, ruling.rule) == (Outcome.DEFER, rules[2])
    assert [step.applies for step in ruling.steps] == [False, False, True]


def test_a_certificate_never_has_a_credential() -> None:
    rule = Rule("r", Outcome.ALLOW, credential="bootstrap")
    applicant = Applicant("web01", "10.0.0.1", "orchestrators")
    assert "certificate" in evaluate([rule], applicant).steps[0].mismatches[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("agent01", "agentOl"),
        ("agent01", "AGENT01."),
        ("modern", "modem"),
        ("vvindows", "windows"),
        ("paypal", "раураl"),
        ("agent01", "ägént01"),
        ("agent01", "agent01_20260601120000"),
        ("agent01", "xn--gent01-2nf"),
        ("web-01", "web‑01"),
        ("web-01", "web_01"),
        ("scope", "ѕсоре"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("agent01", "agent02"), ("web-01", "web01"), ("db", "bd")]
)
def test_names_that_do_not_look_alike_differ(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize(
    "name", ["", " ", "xn--", "xn--99999999999", "ﷺ" * 255, "﷽" * 20, "\u0301"]
)
def test_every_name_has_a_bounded_skeleton(name: str) -> None:
    assert len(skeleton(name)) <= 255
