"""Django's registration of the access app; ships roles after every migrate."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    name = "portal.access"
    label = "access"

    def ready(self) -> None:
        post_migrate.connect(_ship_roles, sender=self)


def _ship_roles(**kwargs: Any) -> None:
    from portal.access.roles import ship_roles

    ship_roles(using=kwargs.get("using", "default"))
