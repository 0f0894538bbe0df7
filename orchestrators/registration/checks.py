"""What ``manage.py check`` says of the registration handlers: a mistake shows at the start.

Owns that judgement. While the portal runs, a handler that cannot be loaded is one that fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from orchestrators.registration.chain import handlers


def register_checks() -> None:
    """Make the check known to Django; called when the application is ready."""
    register(check_handlers)


def check_handlers(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Judge every class that PORTAL_REGISTRATION_HANDLERS names."""
    loaded = handlers()
    found: list[CheckMessage] = [
        Error(
            f"The registration handler {handler.path} {handler.problem}",
            hint="Until it can be loaded, it defers every registration and refuses every CSR.",
            id="orchestrators.E001",
        )
        for handler in loaded
        if handler.problem
    ]
    names = [handler.name for handler in loaded]
    found += [
        Error(
            f"Two registration handlers are called {name!r}.",
            hint="Give each a name of its own: audit log and enrollments keep it.",
            id="orchestrators.E002",
        )
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return found
