"""Which CA and template a group of orchestrators enrols with, instead of the settings' ones.

Owns the change with its audit row; the choice itself is `configuration.py`'s.
"""

from __future__ import annotations

from django.db import transaction

from orchestrators.models import OrchestratorGroup
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from renewal.models import CertificateAuthority, GroupIssuance, Template


@transaction.atomic
def set_issuance(
    group: OrchestratorGroup,
    authority: CertificateAuthority | None,
    template: Template | None,
    *,
    actor: Actor,
) -> bool:
    """Set CA and template of a group (None: the settings'); say whether that changed anything."""
    OrchestratorGroup.objects.select_for_update().get(pk=group.pk)
    row = issuance_of(group)
    before = _shown(row)
    after = {
        "authority": authority.name if authority else "",
        "template": template.name if template else "",
    }
    if before == after:
        return False
    GroupIssuance.objects.update_or_create(
        group=group, defaults={"authority": authority, "template": template}
    )
    record(
        actor,
        Category.AUTHORITY,
        "group_issuance_changed",
        object_type="group",
        object_id=group.pk,
        object_name=group.name,
        before=before,
        after=after,
    )
    return True


def issuance_of(group: OrchestratorGroup) -> GroupIssuance | None:
    """Return what a group chooses, if anything."""
    return GroupIssuance.objects.select_related("authority", "template").filter(group=group).first()


def _shown(row: GroupIssuance | None) -> dict[str, str]:
    return {
        "authority": row.authority.name if row and row.authority else "",
        "template": row.template.name if row and row.template else "",
    }
