"""Django's registration of the orchestrators app."""

from django.apps import AppConfig


class OrchestratorsConfig(AppConfig):
    name = "orchestrators"
