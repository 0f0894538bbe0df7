"""Django's registration of the renewal app."""

from django.apps import AppConfig


class RenewalConfig(AppConfig):
    name = "renewal"

    def ready(self) -> None:
        from renewal.configuration import register_validators

        register_validators()
