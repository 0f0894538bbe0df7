"""What every page shows around its content: navigation, theme, account.

Owns the entries of the navigation and who sees which. Costs no query for a visitor who is not
signed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from portal.access.catalogue import Permission
from portal.access.permissions import holds
from portal.pages.gate import EVERYWHERE, may_open
from portal.pages.shipped_views import SHIPPED_VIEWS
from renewal.selectors import inbox

THEMES = {"system": "device-desktop", "light": "sun", "dark": "moon"}
THEME_COOKIE = "theme"


@dataclass(frozen=True)
class Entry:
    """One entry of the navigation; ``sections`` are the first segments of the paths below it."""

    name: str
    view: str
    icon: str
    permission: Permission
    sections: tuple[str, ...] = ()
    key: str = ""
    """The letter that leads here after ``g``."""
    query: str = ""

    @property
    def url(self) -> str:
        return f"{reverse(self.view)}{self.query and '?'}{self.query}"

    def is_for(self, user: Any) -> bool:
        """Say whether the page opens for a user who is signed in."""
        if self.view in EVERYWHERE:
            return may_open(user, self.view)
        return holds(user, self.permission)


P = Permission
NAVIGATION: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Fleet",
        (
            Entry("Dashboard", "home", "layout-dashboard", P.PORTAL_READ, ("",), "d"),
            Entry(
                "Orchestrators",
                "orchestrators",
                "server-2",
                P.AGENTS_READ,
                ("orchestrators", "groups", "jobs"),
                "o",
            ),
            Entry("Approvals", "approvals", "user-check", P.AGENTS_READ, ("approvals",), "a"),
            Entry(
                "Certificates",
                "certificates",
                "certificate",
                P.CERTIFICATES_READ,
                ("certificates",),
                "c",
            ),
            Entry("Enrollments", "enrollments", "send", P.AGENTS_READ, ("enrollments",), "e"),
            Entry("Forecast", "forecast", "calendar-stats", P.AGENTS_READ, ("forecast",), "f"),
        ),
    ),
    (
        "Administration",
        (
            Entry(
                "Authorities",
                "authorities",
                "building-bank",
                P.AUTHORITIES_READ,
                ("authorities", "templates", "trusted-issuers"),
                "h",
            ),
            Entry("Settings", "settings", "settings", P.SETTINGS_READ, ("settings",), "s"),
            Entry("Access", "roles", "lock", P.SECURITY_READ, ("access",), "u"),
            Entry("Audit", "audit", "clipboard-list", P.AUDITING_READ, ("audit",), "l"),
        ),
    ),
)
COMMANDS = (
    Entry("Groups", "groups", "plug-connected", P.AGENTS_READ, key="g"),
    Entry("Bulk jobs", "bulk_jobs", "progress-check", P.AGENTS_READ, key="j"),
    Entry("Trusted issuers", "trusted_issuers", "shield-check", P.AUTHORITIES_READ, key="t"),
    Entry("Add a certificate authority", "authority_add", "plus", P.AUTHORITIES_MODIFY),
    Entry("Add a template", "template_add", "plus", P.AUTHORITIES_MODIFY),
    Entry("Add an orchestrator", "add_orchestrator", "plus", P.AGENTS_APPROVE),
    Entry("Auto-registration", "auto_registration", "user-check", P.AUTO_REGISTRATION_READ),
    Entry("Certificate from a CSR", "certificate_from_csr", "plus", P.ENROLL_CSR),
    Entry("Users", "users", "user-circle", P.SECURITY_READ),
    Entry("Tokens of everybody", "tokens", "key", P.SECURITY_READ),
    Entry("Verify the audit log", "audit_verification", "clipboard-list", P.AUDITING_READ),
    Entry("My account", "account", "user-circle", P.PORTAL_READ),
    Entry("My API tokens", "own_tokens", "key", P.PORTAL_READ),
    Entry("Change my password", "change_password", "lock", P.PORTAL_READ),
    Entry("The API", "api", "file-text", P.PORTAL_READ),
    *(
        Entry(f"Orchestrators: {name}", "orchestrators", "bookmark", P.AGENTS_READ, query=query)
        for name, query in SHIPPED_VIEWS
    ),
)
"""What the command palette offers besides the navigation."""
SEARCHES = (
    Entry("Find orchestrators", "orchestrators", "search", P.AGENTS_READ),
    Entry("Find certificates", "certificates", "search", P.CERTIFICATES_READ),
    Entry("Find settings", "settings", "search", P.SETTINGS_READ),
    Entry("Search the audit log", "audit", "search", P.AUDITING_READ),
)
"""Pages that take what was typed into the palette as their search."""


def theme_of(request: HttpRequest) -> str:
    """Return the theme that the visitor chose; the server writes it, so nothing flashes."""
    chosen = request.COOKIES.get(THEME_COOKIE, "system")
    return chosen if chosen in THEMES else "system"


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return the context of the shell."""
    user = getattr(request, "user", None)
    context: dict[str, Any] = {
        "now": timezone.now(),
        "theme": theme_of(request),
        "themes": THEMES,
        "navigation": [],
        "may": Allowed(user),
        "may_open": Openable(user),
    }
    if user is not None and user.is_authenticated:
        context["viewing"] = getattr(request, "viewing", None)
        context["viewer"] = getattr(request, "viewer", user)
        section = request.path_info.strip("/").partition("/")[0]
        context["section"] = section
        context["navigation"] = [
            (group, [entry for entry in entries if holds(user, entry.permission)])
            for group, entries in NAVIGATION
        ]
        context["commands"] = [each for each in COMMANDS if each.is_for(user)]
        context["searches"] = [each for each in SEARCHES if holds(user, each.permission)]
        if holds(user, Permission.AGENTS_READ) and holds(user, Permission.AGENTS_APPROVE):
            context["approvals_waiting"] = inbox.count_waiting_for(user, now=context["now"])
    return context


class Allowed:
    """``may.agents_reset`` in a template: does the visitor hold this permission?"""

    def __init__(self, user: Any) -> None:
        self._user = user

    def __getitem__(self, codename: str) -> bool:
        if self._user is None or not self._user.is_authenticated:
            return False
        return holds(self._user, Permission(codename))


class Openable:
    """``may_open.add_orchestrator`` in a template: does a page of `EVERYWHERE` open for the
    visitor?
    """

    def __init__(self, user: Any) -> None:
        self._user = user

    def __getitem__(self, name: str) -> bool:
        if self._user is None or not self._user.is_authenticated:
            return False
        return may_open(self._user, name)
