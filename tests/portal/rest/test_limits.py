"""Limits of calls: by token, user and address, with headers, whatever the broker does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.conf import settings
from django.test import Client, override_settings

from portal.rest import limits
from portal.rest.limits import Quota, judge
from tests.portal.rest.conftest import Caller, caller_with, refused, user_with

pytestmark = pytest.mark.django_db
NOWHERE = "redis://127.0.0.1:1/0"


@contextmanager
def limited(*, caller: int = 0, address: int = 0, broker: str = NOWHERE) -> Iterator[None]:
    """A portal with these limits, at the beginning of a window that lasts."""
    config = replace(
        settings.CONFIG,
        api_calls_per_caller=caller,
        api_calls_per_address=address,
        redis_url=broker,
    )
    with override_settings(CONFIG=config):
        yield


@pytest.fixture(autouse=True)
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of a test lies in one window, and nothing is left of another test's."""
    monkeypatch.setattr(limits, "_quiet_until", 0.0)
    monkeypatch.setattr(limits, "_counts", {})
    monkeypatch.setattr(limits, "WINDOW_SECONDS", 10**9)


JUDGED = {
    "the first call of a window": (1, 60.0, (9, 60, False)),
    "in the middle of a window": (5, 90.0, (5, 30, False)),
    "the last call that is let in": (10, 119.5, (0, 1, False)),
    "one too many": (11, 60.0, (0, 60, True)),
}


@pytest.mark.parametrize(("count", "now", "expected"), JUDGED.values(), ids=JUDGED)
def test_a_count_is_judged(
    count: int, now: float, expected: tuple[int, int, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WINDOW_SECONDS", 60)
    spent = judge(Quota("token", 10), count, now)
    assert (spent.remaining, spent.reset, spent.is_exceeded) == expected


def test_each_reply_tells_the_quotas_and_what_is_left_of_them() -> None:
    ada = caller_with("Administrator", "ada")
    with limited(caller=5, address=9):
        ada.get("Agents")
        answer = ada.get("Agents")
    assert answer["RateLimit-Policy"] == f'"address";q=9;w={10**9}, "user";q=5;w={10**9}'
    assert answer["RateLimit"].startswith('"address";r=7;t=')
    assert '"user";r=3;t=' in answer["RateLimit"]


def test_beyond_the_limit_a_caller_is_refused_and_told_when_to_come_back() -> None:
    ada = caller_with("Administrator", "ada")
    with limited(caller=2):
        assert [ada.get("Agents").status_code for _ in range(2)] == [200, 200]
        answer = ada.get("Agents")
        refused(answer, 429, "too_many_requests")
        assert int(answer["Retry-After"]) > 0
        assert answer["RateLimit"].startswith('"user";r=0;t=')
        assert caller_with("Administrator", "ben").get("Agents").status_code == 200


def test_each_token_has_a_quota_of_its_own(token: Callable[..., str]) -> None:
    ada = user_with("Administrator", "ada")
    scripts = [
        Caller({"Authorization": f"Bearer {token(user)}"}) for user in (ada, user_with(None))
    ]
    with limited(caller=1):
        assert scripts[0].get("Status/Endpoints").status_code == 200
        refused(scripts[0].get("Status/Endpoints"), 429, "too_many_requests")
        assert scripts[1].get("Status/Endpoints").status_code == 200


def test_an_address_is_limited_before_anybody_signs_in() -> None:
    wrong = Caller({"Authorization": "Bearer nonsense"})
    with limited(address=2):
        assert [wrong.get("Agents").status_code for _ in range(3)] == [401, 401, 429]
        elsewhere = Caller(wrong.headers, Client(REMOTE_ADDR="192.0.2.9"))
        assert elsewhere.get("Agents").status_code == 401


def test_one_network_of_ipv6_is_one_address() -> None:
    with limited(address=1):
        answers = [
            Caller(client=Client(REMOTE_ADDR=f"2001:db8::{host}")).get("Agents").status_code
            for host in (1, 2)
        ]
    assert answers == [401, 429]


def test_a_refused_call_changes_nothing() -> None:
    ada = caller_with("Administrator", "ada")
    with limited(caller=1):
        ada.get("Agents")
        refused(ada.post("Tokens", {"Name": "mine"}), 429, "too_many_requests")
    assert ada.get("Tokens").json() == []


def test_all_processes_count_together_in_the_broker(redis_url: str) -> None:
    ada = caller_with("Administrator", "ada")
    with limited(caller=2, broker=redis_url):
        assert ada.get("Agents").status_code == 200
        limits._counts.clear()
        assert ada.get("Agents").status_code == 200
        assert limits._counts == {}
        refused(ada.get("Agents"), 429, "too_many_requests")


def test_a_broker_that_is_down_is_no_error_and_no_way_around_the_limit() -> None:
    ada = caller_with("Administrator", "ada")
    with limited(caller=2):
        assert [ada.get("Agents").status_code for _ in range(3)] == [200, 200, 429]
