"""The portal as a Django application: system checks, commands, the Celery application."""

from __future__ import annotations

from django.apps import AppConfig


class PortalAppConfig(AppConfig):
    """Registers what belongs to no other application."""

    name = "portal"
    label = "portal"

    def ready(self) -> None:
        # Tasks bind to the application that exists when they are first used.
        from portal import celery  # noqa: F401
        from portal.checks import register_checks

        register_checks()
