"""The options and errors that every CA type shares."""

from __future__ import annotations

from datetime import timedelta

import pytest

from renewal.ca.base import CAMisconfigured, CAUnavailable, Option, check_options, secret_names

SCHEMA = (
    Option("url", "where it listens", is_required=True),
    Option("token", "opens it", is_required=True, is_secret=True),
    Option("days", "how long", kind=int),
    Option("is_test", "a closed test CA", kind=bool),
    Option("profile", "which one", choices=("client", "device")),
)
GOOD = {"url": "https://ca.example", "token": "t"}


@pytest.mark.parametrize(
    "options",
    [GOOD, GOOD | {"days": 30, "is_test": True, "profile": "device"}, GOOD | {"days": None}],
)
def test_options_are_good(options: dict[str, object]) -> None:
    check_options(SCHEMA, options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"token": "t"}, "'url' is missing: where it listens", id="missing"),
        pytest.param(GOOD | {"url": ""}, "'url' is missing", id="empty"),
        pytest.param(GOOD | {"ulr": "x"}, "'ulr' is not known", id="misspelt"),
        pytest.param(GOOD | {"days": "30"}, "'days' must be of type int", id="text for a number"),
        pytest.param(GOOD | {"days": True}, "'days' must be of type int", id="a flag for a number"),
        pytest.param(GOOD | {"is_test": 1}, "'is_test' must be of type bool", id="1 for a flag"),
        pytest.param(GOOD | {"profile": "x"}, "'profile' must be one of client, device", id="x"),
    ],
)
def test_an_option_is_named_that_is(options: dict[str, object], named: str) -> None:
    with pytest.raises(CAMisconfigured) as error:
        check_options(SCHEMA, options)
    assert named in error.value.reason
    assert "t" not in error.value.reason.split(), "no value is repeated"


def test_secrets_are_told_apart() -> None:
    assert secret_names(SCHEMA) == {"token"}


def test_unavailable_says_when_to_come_back() -> None:
    assert CAUnavailable("down", timedelta(minutes=5)).retry_after == timedelta(minutes=5)
    assert CAUnavailable("down").retry_after is None
