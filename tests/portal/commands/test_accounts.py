"""Users, service accounts and tokens by command."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from portal.access.models import ApiToken, User, digest_of
from portal.audit.models import AuditEntry

pytestmark = pytest.mark.django_db

GOOD = "correct horse battery staple"
Run = Callable[..., dict[str, Any]]


def test_a_user_is_made_once_with_the_password_of_stdin(run: Run) -> None:
    flags = ("user", "--username", "ada", "--role", "Operator", "--email", "ada@example.com")

    first = run(*flags, "--password-stdin", stdin=f"{GOOD}\n")
    second = run(*flags, "--password-stdin", stdin=f"{GOOD}\n")

    assert first == {
        "changed": True,
        "username": "ada",
        "email": "ada@example.com",
        "roles": ["Operator"],
        "service_account": False,
        "active": True,
        "has_password": True,
    }
    assert second == {**first, "changed": False}
    assert User.objects.get(username="ada").check_password(GOOD)
    assert [e.action for e in AuditEntry.objects.filter(object_name="ada")] == ["user_added"]
    assert AuditEntry.objects.get(object_name="ada").actor_name.startswith("command (")


def test_a_generated_password_is_shown_once_and_then_kept(run: Run) -> None:
    flags = ("user", "--username", "ada", "--generate-password")

    first, second = run(*flags), run(*flags)

    password = first.pop("password")
    assert User.objects.get(username="ada").check_password(password)
    assert second == {**first, "changed": False}


def test_what_no_flag_says_stays_as_it_is(run: Run) -> None:
    run("user", "--username", "ada", "--role", "Operator", "--role", "Approver")
    run("user", "--username", "ada", "--email", "ada@example.com")

    answer = run("user", "--username", "ada", "--inactive")

    assert (answer["roles"], answer["email"]) == (["Approver", "Operator"], "ada@example.com")
    assert (answer["active"], answer["has_password"]) == (False, False)
    assert run("user", "--username", "ada", "--active", "--role", "Auditor")["roles"] == ["Auditor"]


def test_a_new_password_never_reaches_the_audit_log(run: Run) -> None:
    run("user", "--username", "ada", "--password-stdin", stdin=GOOD)
    run("user", "--username", "ada", "--password-stdin", stdin=f"{GOOD} again")

    entries = list(AuditEntry.objects.filter(object_name="ada").values("before", "after"))
    assert len(entries) == 2
    assert entries[1]["after"]["password"] == "set"
    assert GOOD not in str(entries)


def test_a_service_account_has_a_role_and_no_password(run: Run) -> None:
    flags = ("user", "--username", "EXAMPLE\\agents", "--service-account", "--role", "Orchestrator")

    first, second = run(*flags), run(*flags)

    assert (first["service_account"], first["has_password"]) == (True, False)
    assert second == {**first, "changed": False}


@pytest.mark.parametrize(
    ("flags", "stdin", "code"),
    [
        (["--username", "a:b"], "", "username_invalid"),
        (["--username", " "], "", "username_invalid"),
        (["--username", "a" * 151], "", "username_invalid"),
        (["--username", "new", "--email", "nobody"], "", "email_invalid"),
        (["--username", "new", "--role", "King"], "", "unknown_role"),
        (["--username", "new", "--password-stdin"], "short", "password_refused"),
        (["--username", "new", "--password-stdin"], "password1234", "password_refused"),
        (["--username", "new", "--password-stdin"], "", "secret_missing"),
        (["--username", "ada", "--service-account"], "", "not_a_service_account"),
        (["--username", "orchestrators", "--password-stdin"], GOOD, "service_account_password"),
        (["--username", "new", "--service-account", "--generate-password"], "",
         "service_account_password"),
        (["--username", "new", "--password-stdin", "--generate-password"], "", "usage"),
        (["--username", "new", "--active", "--inactive"], "", "usage"),
    ],
)  # fmt: skip
def test_a_user_that_cannot_be_is_refused_with_its_code(
    run: Run, refused: Callable[..., str], flags: list[str], stdin: str, code: str
) -> None:
    run("user", "--username", "ada")

    assert refused("user", *flags, stdin=stdin) == code
    assert not User.objects.filter(username="new").exists()


def test_a_token_is_shown_once_and_then_kept(run: Run) -> None:
    run("user", "--username", "ada")
    flags = ("token", "--username", "ada", "--name", "ci", "--days", "30")

    first, second = run(*flags), run(*flags)

    token = first.pop("token")
    assert ApiToken.objects.get().digest == digest_of(token)
    assert second == {**first, "changed": False}


def test_a_token_that_expired_gives_way_to_a_new_one(run: Run) -> None:
    run("user", "--username", "ada")
    run("token", "--username", "ada", "--name", "ci")
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(days=1))

    assert run("token", "--username", "ada", "--name", "ci")["token"]
    assert ApiToken.objects.usable(timezone.now()).count() == 1


def test_a_token_is_revoked_once(run: Run) -> None:
    run("user", "--username", "ada")
    run("token", "--username", "ada", "--name", "ci")
    flags = ("token", "--username", "ada", "--name", "ci", "--revoke")

    first, second = run(*flags), run(*flags)

    assert (first["changed"], first["revoked"]) == (True, True)
    assert second == {**first, "changed": False}
    assert not ApiToken.objects.usable(timezone.now()).exists()


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--username", "nobody", "--name", "ci"], "unknown_user"),
        (["--username", "ada", "--name", ""], "token_invalid"),
        (["--username", "ada", "--name", "ci", "--days", "4000"], "usage"),
        (["--username", "ada", "--name", "never", "--revoke"], "unknown_token"),
    ],
)
def test_a_token_that_cannot_be_is_refused_with_its_code(
    run: Run, refused: Callable[..., str], flags: list[str], code: str
) -> None:
    run("user", "--username", "ada")

    assert refused("token", *flags) == code
    assert not ApiToken.objects.exists()
