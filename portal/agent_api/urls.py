"""Paths of the agent protocol below its prefix; fixed segments match in any case."""

from django.urls import re_path

from orchestrators.jobs import COMPLETION_ENDPOINT, CONFIGURATION_ENDPOINT
from portal.agent_api import views
from portal.edge.paths import any_case_path

urlpatterns = [
    any_case_path("Session/Register", views.register),
    any_case_path("Session/Heartbeat", views.heartbeat),
    any_case_path(CONFIGURATION_ENDPOINT.lstrip("/"), views.fetch_logs_configuration),
    any_case_path(COMPLETION_ENDPOINT.lstrip("/"), views.fetch_logs_completion),
    re_path("", views.unknown_endpoint),
]
