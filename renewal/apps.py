"""Django's registration of the renewal app."""

from django.apps import AppConfig


class RenewalConfig(AppConfig):
    name = "renewal"

    def ready(self) -> None:
        from renewal import configuration
        from renewal.identity import policies

        configuration.register_validators()
        policies.register_validators()
