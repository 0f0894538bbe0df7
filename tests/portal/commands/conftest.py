"""What the tests of commands share: a data folder of their own, and how a command is called.

Owns no expectation. Commands run in this process, as the test's database does; that a refusal goes
to stderr as JSON with status 1 is proven in `test_form.py` with the real `manage.py`.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from portal.audit.models import AuditEntry
from portal.management.base import CommandFailed
from tests.renewal.fleet import csr, scratch

Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def data_dir(settings: Any, tmp_path: Path, db: None) -> Path:
    scratch(settings, tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> Run:
    """``run("user", "--username", "ada", stdin="…")`` returns the printed object."""

    def call(name: str, *flags: str, stdin: str = "") -> dict[str, Any]:
        said = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with django_capture_on_commit_callbacks(execute=True):
            # Status 2: it did what it was asked and found something to tell.
            with suppress(SystemExit):
                call_command(name, *flags, stdout=said)
        answer: dict[str, Any] = json.loads(said.getvalue())
        return answer

    return call


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Run a command that is refused; return its code. Nothing may have been changed by it."""

    def call(name: str, *flags: str, stdin: str = "") -> str:
        before = AuditEntry.objects.count()
        with pytest.raises(CommandFailed) as failure:
            run(name, *flags, stdin=stdin)
        assert str(failure.value).endswith((".", ")"))
        assert AuditEntry.objects.count() == before
        return failure.value.code

    return call


@pytest.fixture
def csr_file(tmp_path: Path) -> Callable[[str], str]:
    def write(name: str) -> str:
        path = tmp_path / f"{name}.csr"
        path.write_text(csr(name))
        return str(path)

    return write


@pytest.fixture
def set_up(run: Run) -> None:
    """A local CA that is trusted, a template, and the two settings."""
    run("certificate_authority", "--name", "local", "--create", "--trust")
    run("template", "--name", "Orchestrator")
    run("setting", "--name", "CertificateAuthorityForSubmittedCSRs", "--value", "local")
    run("setting", "--name", "TemplateForSubmittedCSRs", "--value", "Orchestrator")


@pytest.fixture
def certificate_file(run: Run, set_up: None, csr_file: Callable[[str], str], tmp_path: Path) -> Any:
    """Factory of certificates that an operator had made: the path of the PEM file."""

    def make(name: str, *flags: str) -> str:
        path = tmp_path / f"{name}.pem"
        run(
            *("certificate", "--authority", "local", "--template", "Orchestrator"),
            *("--csr", csr_file(name), "--out", str(path), *flags),
        )
        return str(path)

    return make
