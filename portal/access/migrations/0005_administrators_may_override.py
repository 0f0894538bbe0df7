"""Roles that granted everything grant the override of approvals too.

Django makes permissions after the migrations of all apps; this one is made here, so that an
installation that had an administrator still has one.
"""

from django.db import migrations

NEW = "approvals_override"
BEFORE = frozenset(
    {
        "portal_read",
        "agents_read",
        "agents_modify",
        "agents_approve",
        "agents_reset",
        "agents_renew",
        "agents_logs",
        "auto_registration_read",
        "auto_registration_modify",
        "enroll_csr",
        "certificates_read",
        "certificates_revoke",
        "authorities_read",
        "authorities_modify",
        "trust_anchors_modify",
        "settings_read",
        "settings_modify",
        "renewal_periods_modify",
        "security_read",
        "security_modify",
        "auditing_read",
    }
)
"""The catalogue before it."""
NAME = (
    "Approve an orchestrator against the policies of approval, in an emergency; needs the "
    "permission to approve besides."
)


def give(apps, schema_editor):
    groups = apps.get_model("auth", "Group").objects.all()
    holders = [group for group in groups if BEFORE <= _held(group)]
    if not holders:
        return
    content_types = apps.get_model("contenttypes", "ContentType").objects
    content_type, _ = content_types.get_or_create(app_label="access", model="user")
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=NEW, defaults={"name": NAME}
    )
    for group in holders:
        group.permissions.add(permission)


def _held(group):
    held = group.permissions.filter(content_type__app_label="access")
    return set(held.values_list("codename", flat=True))


class Migration(migrations.Migration):
    dependencies = [
        ("access", "0004_scopes_of_tokens"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
