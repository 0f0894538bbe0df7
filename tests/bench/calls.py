"""What is measured of pages and REST calls: the paths, and what each may cost.

Owns the list. Paths name rows by placeholders that each database fills with rows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

ALL, GROUP, LABEL = "all", "group", "label"
"""Who asks: one who reaches the whole fleet, one group of it, one label of it."""


@dataclass(frozen=True)
class Call:
    """One path, who asks for it, and the milliseconds that its median may take."""

    path: str
    most: float
    who: str = ALL
    is_proportional: bool = True
    """In a large fleet at most 1.5 times of what it costs in one of 1,000: pages with one filter,
    by one who reaches the whole fleet. The rest is shown."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path if self.who == ALL else f"{self.path}  as {self.who}"


LIST, DASHBOARD, ONE, DEEP = 200.0, 300.0, 15.0, 1500.0
_STATES = (
    *("waiting", "enrolling", "expired", "required"),
    *("unused", "warning", "ok", "disapproved"),
)
_MARKS = (
    *("unused", "requested", "required", "wrong-certificate", "revocation"),
    *("enrollment-failed", "name-differs", "error", "returning", "cannot-enrol", "cannot-renew"),
    "offline",
)
_FLEET = (
    "",
    "cursor=last",
    *(f"state={each}" for each in _STATES),
    *(f"state={each}&cursor=last" for each in ("required", "unused", "ok")),
    *(f"mark={each}" for each in _MARKS),
    *("sort=-ends", "sort=name", "sort=name&cursor=last", "sort=-name"),
    *("ends=7d", "ends=30d", "ends=180d", "ends=30d&cursor=last", "ends=2001-01-01"),
    *("group={group}", "group=nobody", "label=tier%3Dlaboratory", "label=tier", "label=no%3Dsuch"),
    *("platform=java", "version={version}", "version=none", "fleet=real", "fleet=demonstration"),
    *("account={account}", "account=bench-few", "account=nobody"),
    *("answer=A0100007", "answer=A0100008", "answer=A01F0030", "answer=A01F00FF", "answer=none"),
    *("seen=1d", "seen=7d", "seen=30d", "seen=3660d", "seen=never", "seen=7d&cursor=last"),
    *("sort=seen", "sort=seen&cursor=last", "sort=-seen", "mark=offline&sort=seen"),
    *("q={name}", "q=w", "q=no-such-name", "q={thumbprint}", "q={digits}", "q={id}"),
)
_TOGETHER = (
    *("state=ok&mark=requested", "state=warning&group={group}", "state=required&ends=30d"),
    *("mark=error&label=site%3Dber", "group={group}&sort=name", "label=critical&sort=name"),
    *("platform=java&version={version}&state=expired", "q=w&state=required", "q=w&mark=error"),
    *("label=critical&state=required", "version={version}&mark=unused", "q=w&version=none"),
    *("mark=offline&state=ok", "mark=offline&group={group}", "seen=30d&answer=A0100008"),
    *("account=bench-few&state=expired", "answer=A01F0030&sort=name", "seen=never&sort=seen"),
)
_CERTIFICATES = (
    "",
    "cursor=last",
    *(f"shown={each}" for each in ("expired", "revoked", "ended", "all")),
    *("shown=ended&cursor=last", "shown=revoked&cursor=last"),
    *(f"use={each}" for each in ("in-use", "unused", "former", "own")),
    *("issuer={issuer}", "issuer=other", "issuer=999999", "key=EC-256", "key=RSA-1024"),
    *("ends=7d", "ends=2001-01-01", "q={name}", "q=w", "q=no-such-name", "q={thumbprint}"),
    "q={serial}",
)
_CERTIFICATES_TOGETHER = (
    *("use=former&shown=ended", "use=unused&issuer={issuer}&key=RSA-4096"),
    *("use=in-use&key=EC-256&ends=30d", "issuer=other&shown=revoked", "q=w&shown=revoked"),
)
_ENROLLMENTS = (
    "",
    "cursor=last",
    *(
        f"state={each}"
        for each in (
            *("open", "waiting", "under-way", "submitted", "pending", "unknown"),
            *("failed", "refused", "rejected", "expired", "discarded", "issued"),
        )
    ),
    *("state=failed&cursor=last", "ca={issuer}", "ca=999999", "template=1", "template=999999"),
    *("cause=none", "cause=no%20such", "older=15m", "older=30d", "ended=24h", "ended=2001-01-01"),
    *("q={name}", "q=w", "q=no-such-name", "q={id}", "fleet=real", "fleet=demonstration"),
)
_QUERIES = (
    "CertificateNotAfter -lt {soon}",
    "CertificateNotAfter -eq NULL",
    "Level -ge 2",
    "Level -eq 1",
    "AuthCertificateReenrollment -eq 2",
    "Thumbprint -eq {thumbprint}",
    "LegacyThumbprint -eq {thumbprint}",
    "LastThumbprintUsed -eq {thumbprint}",
    'Group -eq "{group}"',
    "Group -eq NULL",
    'Label -eq "tier=laboratory"',
    'Label -eq "no=such"',
    "Label -eq NULL",
    "RenewalState -eq required",
    "RenewalState -eq enrolling",
    "RenewalState -eq expired",
    "Status -eq 1",
    "ClientMachine -contains no-such-name",
    "Identity -eq nobody",
    "LastSeen -lt 2001-01-01",
    "LastSeen -eq NULL",
    "LastErrorCode -ne NULL",
    "LastErrorCode -eq A01F0030",
    "Capabilities -contains NoSuch",
    'Group -eq "{group}" AND Level -ge 1',
    'Label -eq "critical=yes" AND CertificateNotAfter -lt {soon}',
)
_SORTS = (
    *("ClientMachine", "Identity", "Platform", "Version", "Status", "LastSeen", "Thumbprint"),
    *("AuthCertificateReenrollment", "CertificateNotAfter", "Level", "RenewalState", "Group"),
    "Label:tier",
)
_LIMITED = (
    "",
    "cursor=last",
    "state=ok",
    "state=required",
    "mark=error",
    "mark=offline",
    "ends=30d",
    "q=w",
)
AGENTS, CERTIFICATES = "/KeyfactorAPI/Agents", "/KeyfactorAPI/Certificates"


def calls() -> list[Call]:
    """Return what is measured."""
    found = [Call("/", DASHBOARD, is_proportional=False)]
    found += [Call(_path("/orchestrators", each), LIST) for each in _FLEET]
    found += [
        Call(_path("/orchestrators", each), LIST, is_proportional=False) for each in _TOGETHER
    ]
    found += [Call(_path("/certificates", each), LIST) for each in _CERTIFICATES]
    found += [
        Call(_path("/certificates", each), LIST, is_proportional=False)
        for each in _CERTIFICATES_TOGETHER
    ]
    found += [Call(_path("/enrollments", each), LIST) for each in _ENROLLMENTS]
    for who in (GROUP, LABEL):
        found.append(Call("/", DASHBOARD, who, is_proportional=False))
        paths = [_path("/orchestrators", each) for each in _LIMITED]
        paths += [_path("/certificates", each) for each in ("", "cursor=last")]
        paths += [_path("/enrollments", each) for each in ("", "state=open", "state=failed")]
        paths += [AGENTS, f"{AGENTS}?SortField=ClientMachine"]
        found += [Call(path, LIST, who, is_proportional=False) for path in paths]
    found += [
        Call(AGENTS, LIST),
        Call(f"{AGENTS}?cursor={{halfway}}", LIST),
        Call(f"{AGENTS}?PageReturned=1999", DEEP, is_proportional=False, status=200),
        Call(f"{AGENTS}?PageReturned=200000", DEEP, is_proportional=False, status=400),
        Call(f"{AGENTS}/{{id}}", ONE),
        Call(f"{CERTIFICATES}/{{certificate}}", ONE),
        Call(CERTIFICATES, LIST),
        Call(f"{CERTIFICATES}?SortField=NotAfter", LIST),
    ]
    found += [
        Call(f"{AGENTS}?QueryString={quote(each, safe='{}')}", 1000.0, is_proportional=False)
        for each in _QUERIES
    ]
    found += [Call(f"{AGENTS}?SortField={each}", 1000.0, is_proportional=False) for each in _SORTS]
    return found


def _path(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
