"""The table of who may call what (`matrix.md`), and how one of its cells is tried.

Owns the reading of the table, the people and things that it speaks of, and the bodies and ids that
stand for its words. Expects nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from orchestrators.models import BootstrapCredential, Job, Orchestrator
from portal.access.catalogue import ROLES
from portal.access.models import ApiToken, RoleReach, User
from portal.access.tokens import issue_token
from portal.audit.models import AuditEntry, Category
from portal.preferences.models import Setting
from renewal.models import Certificate, CertificateAuthority, Template, TrustAnchor
from tests.portal.access.conftest import TESTER, group, role, user
from tests.portal.pages import fleet as rows

TABLE = Path(__file__).with_name("matrix.md")
WHO = (*ROLES, "Berlin admins", "no role", "service account", "not signed in")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    url: str
    sends: str
    expected: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.method} /{self.url} {self.sends}".strip()


def table() -> list[Row]:
    """Read the table."""
    found = []
    for line in TABLE.read_text().splitlines():
        if line.startswith(("| GET", "| POST", "| PUT", "| PATCH", "| DELETE")):
            method, url, sends, *expected = [c.strip() for c in line.strip().strip("|").split("|")]
            found.append(Row(method, url.strip("`/"), sends.strip("`"), tuple(expected)))
    return found


def urls() -> Iterator[str]:
    """Yield every route of the URL configuration."""
    yield from urls_of(get_resolver().url_patterns)


def urls_of(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """Yield every route of these."""

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            else:
                yield route.strip("/")

    yield from walk(patterns, "")


@dataclass
class World:
    """People of every kind, and the things that the table speaks of."""

    fleet: rows.Fleet
    people: dict[str, User] = field(default_factory=dict)
    cookies: dict[str, SimpleCookie] = field(default_factory=dict)
    token: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    before: tuple[object, ...] = ()
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    """Has each one's cookies in turn: a new client would make the middleware anew."""

    @classmethod
    def made(cls) -> World:
        made = rows.fleet(timezone.now())
        berlin = group("Berlin", made.calm, made.waiting, made.renewed)
        empty = group("Empty")
        role("Berlin admins", ROLES["Administrator"], only_groups=[berlin])
        own = role("Own", ROLES["Read only"])
        world = cls(made)
        for who in WHO[:-3]:
            world.people[who] = user(who.lower().replace(" ", "-"), who)
        world.people["no role"] = user("no-role")
        world.people["service account"] = rows.service_account()
        target = user("target", "Read only")
        _, world.token = issue_token(
            rows.service_account(), "t", lasts=timedelta(days=1), actor=TESTER, now=timezone.now()
        )
        token, _ = issue_token(
            target, "old", lasts=timedelta(days=1), actor=TESTER, now=timezone.now()
        )
        for who, person in world.people.items():
            client = Client()
            client.force_login(person, "django.contrib.auth.backends.ModelBackend")
            world.cookies[who] = client.cookies
        job = Job.objects.get()
        certificates = Certificate.objects
        later = timezone.now() + timedelta(hours=1)
        enrollments = {
            where: rows.enrollment(holder, now=timezone.now(), next_attempt_at=later)
            for where, holder in (("inside", made.calm), ("outside", made.warned))
        }
        world.ids = {
            "inside": str(made.calm.pk),
            "outside": str(made.warned.pk),
            "waiting": str(made.waiting.pk),
            "user": str(target.pk),
            "token": str(token.pk),
            "role": str(own.pk),
            "operator": str(Group.objects.get(name="Operator").pk),
            "berlin": str(berlin.pk),
            "empty": str(empty.pk),
            "job": str(job.job_id),
            "with-log": str(job.orchestrator_id),
            "authority": str(CertificateAuthority.objects.get().pk),
            "template": str(Template.objects.earliest("pk").pk),
            "anchor": str(TrustAnchor.objects.get().pk),
            "rule": str(rows.rule("Rule", now=timezone.now(), name_patterns=("unit-*",)).pk),
            "request": str(made.waiting.approval_requests.get().pk),
            "request-outside": str(made.conflicting.approval_requests.get().pk),
            "no-job": "4040404",
            **{f"enrollment-{where}": str(row.pk) for where, row in enrollments.items()},
            "credential": str(BootstrapCredential.objects.latest("pk").pk),
            "thumbprint-inside": made.calm.thumbprint,
            "thumbprint-outside": made.warned.thumbprint,
            "certificate-inside": str(certificates.filter(orchestrator=made.calm).latest("pk").pk),
            "certificate-outside": str(
                certificates.filter(orchestrator=made.warned).latest("pk").pk
            ),
        }
        world.before = state()
        return world

    def path(self, row: Row) -> str:
        """Return the path that a row means."""
        word = row.sends.split(" ")[0]
        is_api = row.url.startswith("Keyfactor")
        which = word if word in ("inside", "outside") else "inside"
        number = {
            "groups": {"inside": "berlin", "outside": "empty"}[which],
            "certificates": f"certificate-{which}",
            "enrollments": f"enrollment-{which}",
            "approvals": {"inside": "request", "outside": "request-outside"}[which],
            "authorities": "authority",
            "templates": "template",
            "jobs": "no-job",
            "trusted-issuers": "anchor",
            "orchestrators": "credential",
        }.get(row.url.split("/")[0], "")
        if row.url.startswith("orchestrators/auto-registration"):
            number = "rule"
        if row.url.startswith("access/roles"):
            number = "operator" if row.url.endswith("restore") else "role"
        if row.url.startswith("access/users"):
            number = "user"
        if "tokens/" in row.url:
            number = "token"
        agent = "with-log" if "<uuid:job_id>" in row.url else which
        url = row.url
        for part, value in {
            "<int:pk>": self.ids.get(number, ""),
            "<str:token_id>": self.ids["token"],
            "<str:role_id>": self.ids["role"],
            "<str:identity_id>": self.ids["user"],
            "<str:job_id>": self.ids["no-job"],
            "<uuid:pk>": self.ids[agent],
            "<uuid:job_id>": self.ids["job"],
            "<str:agent_id>": self.ids[which],
            "<str:authority_id>": self.ids["authority"],
            "<str:template_id>": self.ids["template"],
            "<str:certificate_id>": self.ids[f"certificate-{which}"],
            "<str:enrollment_id>": self.ids[f"enrollment-{which}"],
            "<str:rule_id>": self.ids["rule"],
            "<str:group_id>": self.ids[{"inside": "berlin", "outside": "empty"}[which]],
            "<str:issuer_id>": self.ids["anchor"],
            "<str:credential_id>": self.ids["credential"],
            "<str:request_id>": self.ids[
                {"inside": "request", "outside": "request-outside"}[which]
            ],
            "<str:thumbprint>": self.ids[f"thumbprint-{which}"],
            "<str:setting_id>": word or "SessionLengthMinutes",
            "<str:name>": word if row.url.startswith("settings") else "nowhere",
            "<path:rest>": "Elsewhere",
            # A row has its address without the last slash, which is all that this one is about.
            "<path:page>": "orchestrators/",
        }.items():
            url = url.replace(part, value)
        return f"/{url}/" if is_api and not url.partition("/")[2] else f"/{url}"

    def body(self, row: Row) -> str:
        """Return the form or JSON that a row sends."""
        words = row.sends.split(" ")
        text = row.sends
        if words[0] in ("inside", "outside") or row.url.startswith(
            ("settings/", "KeyfactorAPI/AppSetting/")
        ):
            text = " ".join(words[1:])
        for name, value in self.ids.items():
            text = text.replace(f"<{name}>", value)
        return text

    def send(
        self, row: Row, who: str, *, may_change: bool = False, **headers: str
    ) -> tuple[int, bool]:
        """Send a row's request as somebody; return the status, and whether anything changed.

        What it changed is undone, so that there is one state before all of them. Where an answer
        below 400 ``may_change`` something, only a refusal is looked at.
        """
        edge = "agents" if row.url.startswith("KeyfactorAgents") else settings.CONFIG.edge
        wrote = Writes()
        with transaction.atomic(), override_settings(CONFIG=replace(settings.CONFIG, edge=edge)):
            with connection.execute_wrapper(wrote):
                response = self._sent(row, who, headers)
            is_free = may_change and response.status_code < 400
            changed = wrote.anything and not is_free and state() != self.before
            transaction.set_rollback(True)
        return response.status_code, changed

    def _sent(self, row: Row, who: str, headers: dict[str, str]) -> HttpResponse:
        client = self.client
        client.cookies = SimpleCookie()
        path, body = self.path(row), self.body(row)
        if row.url.startswith("Keyfactor"):
            return client.generic(
                row.method,
                path,
                body or ("null" if row.method == "POST" else ""),
                content_type="application/json",
                headers={
                    "x-keyfactor-requested-with": "APIClient",
                    **self._credentials(who),
                    **headers,
                },
            )
        for name, morsel in self.cookies.get(who, SimpleCookie()).items():
            client.cookies[name] = morsel.value
        fields: dict[str, list[str]] = {}
        for name, value in parse_qsl(body, keep_blank_values=True):
            fields.setdefault(name, []).append(value)
        if row.method == "POST":
            return client.post(path, fields, headers=headers)
        return client.generic(row.method, path, query_params=fields, headers=headers)

    def _credentials(self, who: str) -> dict[str, str]:
        if who == "not signed in":
            return {}
        if who == "service account":
            return {"Authorization": f"Bearer {self.token}"}
        pair = f"{self.people[who].username}:{rows.PASSWORD}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class Writes:
    """Whether any statement may have changed a row, a note of the refusal itself left aside: only
    then is the state worth comparing.
    """

    anything = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_note = '"audit_notedrefusal"' in sql or (
            sql.startswith('INSERT INTO "audit_auditentry"') and Category.REFUSAL in params
        )
        self.anything |= not is_note and not sql.startswith(
            ("SELECT", "(SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK")
        )
        return execute(sql, params, many, context)


def state() -> tuple[object, ...]:
    """What a refused request leaves as it was."""
    return (
        AuditEntry.objects.exclude(category=Category.REFUSAL).count(),
        list(
            Orchestrator.objects.order_by("pk").values_list(
                "status", "generation", "flag", "thumbprint", "extra_names", "group", "labels__key"
            )
        ),
        list(User.objects.order_by("pk").values_list("username", "password", "is_superuser")),
        list(User.groups.through.objects.order_by("pk").values_list("user_id", "group_id")),
        list(
            Group.permissions.through.objects.order_by("pk").values_list("group_id", "permission")
        ),
        RoleReach.objects.count(),
        ApiToken.objects.filter(revoked_at=None).count(),
        list(Setting.objects.order_by("name").values_list("name", "value")),
        TrustAnchor.objects.filter(enabled=True).count(),
        list(CertificateAuthority.objects.order_by("pk").values_list("name", "version", "enabled")),
        Template.objects.count(),
        BootstrapCredential.objects.filter(revoked_at=None).count(),
    )
