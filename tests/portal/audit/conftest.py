"""A log with sealed blocks, and a way to change it as its table's owner could."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from portal import conf
from portal.audit import sealing, verification
from portal.audit.models import AuditEntry, Category
from portal.audit.trail import Actor, record
from tests.portal.audit.owner import as_owner

ANNA = Actor("anna", source_address="192.0.2.7", request_id="request-1")


class Log:
    """The log under test, its key and checkpoints in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = timezone.now()

    def write(self, count: int = 1, **fields: Any) -> list[int]:
        """Write rows; return their numbers."""
        values = {"object_type": "setting", "object_id": "7", "object_name": "Warning"} | fields
        return [
            record(ANNA, Category.SETTING, "setting_changed", after={"value": n}, **values).pk
            for n in range(count)
        ]

    def seal(self) -> int:
        return sealing.seal(now=lambda: self.now)

    def sql(self, statement: str, *values: object) -> None:
        """Do what only the tables' owner can."""
        with as_owner() as cursor:
            cursor.execute(statement, values)

    def report(self, **options: Any) -> verification.Report:
        asked = {
            "keys_in": settings.CONFIG.audit_folder,
            "checkpoints_file": settings.CONFIG.audit_checkpoints,
            "now": self.now,
        }
        return verification.verify(**asked | options)

    def findings(self) -> list[tuple[str, int | None, int | None]]:
        """Return what a run finds: kind, sequence, row."""
        return [(found.kind, found.sequence, found.entry) for found in self.report().findings]


@pytest.fixture
def log(db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Log:
    settings.CONFIG = conf.load({"PORTAL_DATA_DIR": str(tmp_path)})
    found = Log(tmp_path)
    # What set-up wrote is in the chain before the test begins.
    found.seal()
    found.now += timedelta(hours=1)
    monkeypatch.setattr(AuditEntry._meta.get_field("at"), "_get_default", lambda: found.now)
    return found
