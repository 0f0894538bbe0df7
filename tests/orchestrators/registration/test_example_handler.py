"""The example in deploy/ fulfils the contract of every handler."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from orchestrators.registration.handler import Allow, Defer, Issuance, RegistrationHandler
from tests.contract.registration_handler import (
    RegistrationHandlerContract,
    enrollment_request,
    registration_request,
)

_FILE = Path(__file__).resolve().parents[3] / "deploy" / "inventory_handler.py"


@pytest.fixture(autouse=True)
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "inventory.json"
    hosts = {"agent01.example.com": {"site": "vienna", "template": "Short-lived"}}
    file.write_text(json.dumps(hosts))
    monkeypatch.setenv("PORTAL_INVENTORY_FILE", str(file))


class TestInventory(RegistrationHandlerContract):
    def make_handler(self) -> RegistrationHandler:
        spec = importlib.util.spec_from_file_location("inventory_handler", _FILE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made: RegistrationHandler = module.Inventory()
        return made

    def test_it_allows_what_it_knows(self) -> None:
        handler = self.make_handler()
        known = registration_request(client_machine="AGENT01.example.com_20260601120000")
        assert handler.decide(known) == Allow("the inventory knows it", labels={"site": "vienna"})
        assert handler.enroll(enrollment_request(known)) == Issuance("", "Short-lived")

    def test_it_leaves_the_rest(self) -> None:
        handler = self.make_handler()
        for request in (
            registration_request(client_machine="agent02.example.com"),
            registration_request(credential=""),
        ):
            assert isinstance(handler.decide(request), Defer)
