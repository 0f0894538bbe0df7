"""Django's registration of the orchestrators app."""

from django.apps import AppConfig


class OrchestratorsConfig(AppConfig):
    name = "orchestrators"

    def ready(self) -> None:
        from orchestrators.registration.checks import register_checks

        register_checks()
