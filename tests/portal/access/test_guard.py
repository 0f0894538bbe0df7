"""Nobody gives what they do not hold, and somebody always manages access."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from portal.access.accounts import save_user
from portal.access.catalogue import ROLES, Permission
from portal.access.guard import AccountRefused, has_administrator
from portal.access.models import ApiToken, User
from portal.access.reach import EVERYTHING, Reach, reach
from portal.access.role_changes import content_of, delete_role, restore_role, save_role
from portal.access.tokens import issue_token, revoke_token
from portal.audit.models import AuditEntry
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows

pytestmark = pytest.mark.django_db
P = Permission
NEW_PASSWORD = "a much longer pass phrase"


@pytest.fixture
def admin() -> User:
    return user("ada", "Administrator")


@pytest.fixture
def keeper(admin: User) -> User:
    """Somebody who manages access and sees orchestrators, and may do nothing else."""
    held = [P.PORTAL_READ, P.SECURITY_READ, P.SECURITY_MODIFY, P.AGENTS_READ]
    return user("kim", role("Keeper", held))


def unchanged() -> tuple[object, ...]:
    return (
        AuditEntry.objects.count(),
        sorted(Group.objects.values_list("name", "permissions__codename")),
        sorted(User.objects.values_list("username", "groups__name", "password", "is_active")),
        ApiToken.objects.count(),
    )


def role_named(name: str) -> Group:
    return Group.objects.get(name=name)


ESCALATIONS = {
    "make a role with more": lambda by: save_role(
        "mine", permissions=[P.AGENTS_RESET], giver=by, actor=TESTER
    ),
    "widen a role of one's own": lambda by: save_role(
        "Keeper", permissions=list(Permission), giver=by, actor=TESTER
    ),
    "narrow a role that holds more": lambda by: save_role(
        "Operator", permissions=[P.PORTAL_READ], giver=by, actor=TESTER
    ),
    "restore a role that holds more": lambda by: restore_role(
        role_named("Operator").pk, giver=by, actor=TESTER
    ),
    "give oneself a role that holds more": lambda by: save_user(
        "kim", roles=["Keeper", "Operator"], giver=by, actor=TESTER
    ),
    "give somebody new such a role": lambda by: save_user(
        "new", roles=["Administrator"], giver=by, actor=TESTER
    ),
    "set the password of somebody who holds more": lambda by: save_user(
        "ada", password=NEW_PASSWORD, giver=by, actor=TESTER
    ),
    "deactivate somebody who holds more": lambda by: save_user(
        "ada", is_active=False, giver=by, actor=TESTER
    ),
    "wake somebody who would hold more": lambda by: save_user(
        "olga", is_active=True, giver=by, actor=TESTER
    ),
    "mint a token of somebody who holds more": lambda by: issue_token(
        User.objects.get(username="ada"),
        "t",
        lasts=timedelta(days=1),
        actor=TESTER,
        now=timezone.now(),
        giver=by,
    ),
    "revoke the token of somebody who holds more": lambda by: revoke_token(
        ApiToken.objects.get(name="ada's"), actor=TESTER, now=timezone.now(), giver=by
    ),
}


@pytest.mark.parametrize("attempt", ESCALATIONS.values(), ids=ESCALATIONS.keys())
def test_nobody_gives_takes_or_uses_more_than_they_hold(attempt, keeper: User) -> None:
    save_user("olga", roles=["Operator"], is_active=False, actor=TESTER)
    ada = User.objects.get(username="ada")
    issue_token(ada, "ada's", lasts=timedelta(days=1), actor=TESTER, now=timezone.now())
    before = unchanged()
    with pytest.raises(AccountRefused) as refused:
        attempt(User.objects.get(username="kim"))
    assert refused.value.reason == "beyond_own_permissions"
    assert "/" in str(refused.value)
    assert unchanged() == before


def test_ones_own_token_goes_whatever_one_lost_since(keeper: User) -> None:
    now = timezone.now()
    token, _ = issue_token(keeper, "mine", lasts=timedelta(days=1), actor=TESTER, now=now)
    assert revoke_token(token, actor=TESTER, now=now, giver=keeper)
    assert not revoke_token(token, actor=TESTER, now=now, giver=keeper)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("portal", "username_invalid"),
        ("Anonymous", "username_invalid"),
        ("command (root)", "username_invalid"),
        ("orchestrator web-01", "username_invalid"),
        ("ADA", "username_taken"),
    ],
)
def test_no_user_is_named_like_somebody_else_in_the_audit_log(
    name: str, reason: str, keeper: User
) -> None:
    before = unchanged()
    with pytest.raises(AccountRefused) as refused:
        save_user(name, roles=[], actor=TESTER)
    assert refused.value.reason == reason
    assert unchanged() == before


def test_what_one_holds_oneself_one_may_give(keeper: User) -> None:
    made, _ = save_role("Viewer", permissions=[P.AGENTS_READ], giver=keeper, actor=TESTER)
    person, _ = save_user(
        "vera", roles=["Viewer"], password=NEW_PASSWORD, giver=keeper, actor=TESTER
    )
    assert reach(person, P.AGENTS_READ) == EVERYTHING
    delete_role(made.pk, giver=keeper, actor=TESTER)
    assert not User.objects.get(username="vera").groups.exists()


def test_who_holds_a_permission_for_a_group_gives_it_for_that_group_alone(
    fleet: rows.Fleet,
) -> None:
    one, two = group("one"), group("two")
    resets = role("resets", [P.AGENTS_RESET], only_groups=[one])
    keeper = user("kim", role("Keeper", [P.SECURITY_MODIFY]), resets)
    for limit in (EVERYTHING, Reach(groups=frozenset({one.pk, two.pk}))):
        with pytest.raises(AccountRefused):
            save_role("r", permissions=[P.AGENTS_RESET], limit=limit, giver=keeper, actor=TESTER)
    limit = Reach(groups=frozenset({one.pk}))
    made, changed = save_role(
        "r", permissions=[P.AGENTS_RESET], limit=limit, giver=keeper, actor=TESTER
    )
    assert changed
    assert content_of(made).limit == limit
    with pytest.raises(AccountRefused):
        save_role("r", limit=EVERYTHING, giver=keeper, actor=TESTER)


LAST = {
    "deactivated": lambda: save_user("ada", is_active=False, actor=TESTER),
    "stripped of the role": lambda: save_user("ada", roles=[], actor=TESTER),
    "left with a smaller role": lambda: save_role(
        "Administrator", permissions=[P.PORTAL_READ], giver=None, actor=TESTER
    ),
    "left with a limited role": lambda: save_role(
        "Administrator", limit=Reach(labels=frozenset({("a", "b")})), giver=None, actor=TESTER
    ),
}


@pytest.mark.parametrize("removal", LAST.values(), ids=LAST.keys())
def test_the_last_administrator_cannot_be(removal, admin: User) -> None:
    User.objects.create_user("without-password").groups.add(role_named("Administrator"))
    save_user(
        "asleep", roles=["Administrator"], password=NEW_PASSWORD, is_active=False, actor=TESTER
    )
    before = unchanged()
    with pytest.raises(AccountRefused) as refused:
        removal()
    assert refused.value.reason == "last_administrator"
    assert unchanged() == before


OWN = {
    "deactivates themselves": lambda by: save_user("ada", is_active=False, giver=by, actor=TESTER),
    "takes their own roles": lambda by: save_user("ada", roles=[], giver=by, actor=TESTER),
    "takes it from their own role": lambda by: save_role(
        "Administrator", permissions=set(Permission) - {P.SECURITY_MODIFY}, giver=by, actor=TESTER
    ),
}


@pytest.mark.parametrize("slip", OWN.values(), ids=OWN.keys())
def test_nobody_shuts_themselves_out_of_managing_access(slip, admin: User) -> None:
    everything = role("Everything", list(Permission))
    save_user("ben", roles=[everything.name], password=NEW_PASSWORD, actor=TESTER)
    before = unchanged()
    with pytest.raises(AccountRefused) as refused:
        slip(admin)
    assert refused.value.reason == "own_access"
    assert unchanged() == before
    slip(User.objects.get(username="ben"))
    assert unchanged() != before


def test_of_two_administrators_one_may_go(admin: User) -> None:
    save_user("ben", roles=["Administrator"], password=NEW_PASSWORD, actor=TESTER)
    assert save_user("ada", is_active=False, actor=TESTER)[1]
    assert has_administrator()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("on_postgresql")
def test_two_administrators_who_remove_each_other_at_once_leave_one() -> None:
    for name in ("ada", "ben"):
        save_user(name, roles=["Administrator"], password=NEW_PASSWORD, actor=TESTER)
    together, refused = threading.Barrier(2), []

    def remove(name: str) -> None:
        together.wait()
        try:
            save_user(name, is_active=False, actor=TESTER)
        except AccountRefused as refusal:
            refused.append(refusal.reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("ada", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["last_administrator"]
    assert has_administrator()


def test_a_shipped_role_is_restored_and_neither_renamed_nor_removed(admin: User) -> None:
    operator = role_named("Operator")
    save_role("Operator", permissions=[P.PORTAL_READ], giver=admin, actor=TESTER)
    assert restore_role(operator.pk, giver=admin, actor=TESTER)
    assert content_of(operator).permissions == ROLES["Operator"]
    assert not restore_role(operator.pk, giver=admin, actor=TESTER)
    for act in (
        lambda: delete_role(operator.pk, giver=admin, actor=TESTER),
        lambda: save_role("Other", pk=operator.pk, giver=admin, actor=TESTER),
    ):
        with pytest.raises(AccountRefused) as refused:
            act()
        assert refused.value.reason == "shipped_role"


NAMES = {
    "empty": "  ",
    "a NUL": "a\0b",
    "a right-to-left override": "a\u202eb",
    "101 characters": "x" * 101,
    "the name of another in another case": "OPERATOR",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_a_role_has_a_name_that_can_be_read(name: str, admin: User) -> None:
    with pytest.raises(AccountRefused):
        save_role(name, giver=admin, actor=TESTER)


def test_a_change_of_a_role_is_in_the_audit_log_with_before_and_after(admin: User) -> None:
    save_role("r", permissions=[P.AGENTS_READ], giver=admin, actor=TESTER)
    save_role("r", limit=Reach(labels=frozenset({("a", "b")})), giver=admin, actor=TESTER)
    added, changed = AuditEntry.objects.filter(object_type="role").order_by("pk")
    assert (added.action, added.after["permissions"]) == ("role_added", ["agents_read"])
    assert (changed.before["limited_to_labels"], changed.after["limited_to_labels"]) == (
        [],
        ["a=b"],
    )
