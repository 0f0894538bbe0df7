"""Shipping of the roles, and of the shared service account, into the database."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission

from portal.access.catalogue import ROLES
from portal.access.models import User

SHARED_SERVICE_ACCOUNT = "orchestrators"
"""Account of orchestrators whose credential or rule names none."""


def ship_roles(*, using: str = "default") -> None:
    """Create the shipped roles that do not exist yet; an edited one is left as it is."""
    known = {
        p.codename: p
        for p in DjangoPermission.objects.using(using).filter(content_type__app_label="access")
    }
    for name, permissions in ROLES.items():
        group, created = Group.objects.using(using).get_or_create(name=name)
        if created:
            group.permissions.set([known[str(p)] for p in permissions])
    account, created = User.objects.using(using).get_or_create(
        username=SHARED_SERVICE_ACCOUNT, defaults={"is_service_account": True}
    )
    if created:
        account.set_unusable_password()
        account.save(using=using)
        account.groups.add(Group.objects.using(using).get(name="Orchestrator"))
