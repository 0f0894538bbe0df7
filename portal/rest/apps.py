"""Django's registration of the management API."""

from django.apps import AppConfig


class RestConfig(AppConfig):
    name = "portal.rest"
    label = "rest"
