"""What ``manage.py check`` and the environment say of registration handlers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from orchestrators.registration.checks import check_handlers
from portal import conf
from tests.orchestrators.registration import handlers


@pytest.mark.parametrize(
    ("named", "ids"),
    [
        ((), []),
        (("Spy", "AllowsWeb"), []),
        (("CannotBeMade", "NoHandler", "NoName", "Missing"), ["orchestrators.E001"] * 4),
        (("NamesUnknownCA", "NamesUnknownTemplate"), ["orchestrators.E002"]),
    ],
)
def test_a_chain_and_what_is_said_about_it(
    settings: Settings, named: tuple[str, ...], ids: list[str]
) -> None:
    paths = tuple(f"{handlers.__name__}.{name}" for name in named)
    settings.CONFIG = replace(settings.CONFIG, registration_handlers=paths)
    assert [found.id for found in check_handlers(None)] == ids


@pytest.mark.parametrize(
    ("value", "paths"),
    [("", ()), ("a.B", ("a.B",)), (" a.b.C , d.E,", ("a.b.C", "d.E"))],
)
def test_the_variable_names_classes_in_order(
    tmp_path: Path, value: str, paths: tuple[str, ...]
) -> None:
    environment = {"PORTAL_DATA_DIR": str(tmp_path), "PORTAL_REGISTRATION_HANDLERS": value}
    assert conf.load(environment).registration_handlers == paths


@pytest.mark.parametrize("value", ["Handler", "a.B,a.B", "a..B", "a.b-c"])
def test_what_is_no_list_of_classes_is_refused(tmp_path: Path, value: str) -> None:
    environment = {"PORTAL_DATA_DIR": str(tmp_path), "PORTAL_REGISTRATION_HANDLERS": value}
    with pytest.raises(conf.ConfigurationInvalid, match="PORTAL_REGISTRATION_HANDLERS"):
        conf.load(environment)
