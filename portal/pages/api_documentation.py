"""The documentation of the REST API: each call with its parameters, curl and Python beside it.

Owns these pages, made of the checked-in OpenAPI document and nothing else; "try it" sends the call
from the browser under the visitor's own session. What it says is `portal/rest/schema.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from portal.pages.gate import page

DOCUMENT = Path(settings.BASE_DIR) / "portal" / "rest" / "openapi.json"
_EXAMPLES = {"string": "…", "integer": 1, "number": 1.5, "boolean": True}


@dataclass(frozen=True)
class Call:
    """One operation as the page shows it."""

    anchor: str
    method: str
    path: str
    summary: str
    about: str
    permissions: tuple[str, ...]
    parameters: tuple[Mapping[str, Any], ...]
    headers: tuple[str, ...]
    """Beside the one that every call needs."""
    body: str
    reply: str
    is_reply_of_dry_run: bool
    """The call itself answers without a body."""
    statuses: tuple[str, ...]
    curl: str
    python: str


@page()
def index(request: HttpRequest) -> HttpResponseBase:
    """All calls, by resource."""
    resources: dict[str, list[Call]] = {}
    for call in calls():
        resources.setdefault(call.path.split("/")[1], []).append(call)
    return render(request, "api/index.html", {"resources": sorted(resources.items())})


@page()
def resource(request: HttpRequest, name: str) -> HttpResponseBase:
    """The calls of one resource."""
    found = [call for call in calls() if call.path.split("/")[1] == name]
    if not found:
        raise Http404("The API has no such resource.")
    return render(request, "api/resource.html", {"name": name, "calls": found})


@page()
def download(request: HttpRequest) -> HttpResponseBase:
    """The OpenAPI document, for whoever makes a client."""
    return HttpResponse(DOCUMENT.read_bytes(), content_type="application/json")


@lru_cache(maxsize=1)
def calls() -> tuple[Call, ...]:
    """Return every operation of the document."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return tuple(_calls(document))


def _calls(document: dict[str, Any]) -> Iterator[Call]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            sent = _schema(operation.get("requestBody", {}))
            body = json.dumps(_example(document, sent), indent=2, ensure_ascii=False)
            done = next(iter(operation["responses"].items()))
            reply = _schema(done[1])
            parameters = [p for p in operation["parameters"] if p["in"] != "header"]
            shown = body if sent is not None else ""
            yield Call(
                anchor=operation["operationId"],
                method=method.upper(),
                path=path,
                summary=operation["summary"],
                about=operation["description"].replace("`", "").rpartition("Needs ")[0].strip(),
                permissions=tuple(operation["x-permissions"]),
                parameters=tuple(parameters),
                headers=tuple(
                    p["name"]
                    for p in operation["parameters"]
                    if p["in"] == "header" and not p["required"]
                ),
                body=shown,
                reply=""
                if reply is None
                else json.dumps(_example(document, reply), indent=2, ensure_ascii=False),
                is_reply_of_dry_run="204" in operation["responses"],
                statuses=tuple(operation["responses"]),
                curl=_curl(method.upper(), path, shown),
                python=_python(method.upper(), path, shown),
            )


def _schema(part: Mapping[str, Any]) -> Any:
    return part.get("content", {}).get("application/json", {}).get("schema")


def _example(document: dict[str, Any], schema: Any, depth: int = 0) -> Any:
    """Return a value of a schema's shape; what need not be there is shown too."""
    if not schema or depth > 6:
        return None
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _example(document, document["components"]["schemas"][name], depth + 1)
    if "anyOf" in schema:
        return _example(document, schema["anyOf"][0], depth + 1)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(k for k in kind if k != "null")
    if kind == "array":
        return [_example(document, schema["items"], depth + 1)]
    if kind == "object":
        members = schema.get("properties", {})
        return {name: _example(document, each, depth + 1) for name, each in members.items()}
    if schema.get("format") == "date-time":
        return "2026-06-01T12:00:00Z"
    return _EXAMPLES.get(str(kind))


def _curl(method: str, path: str, body: str) -> str:
    lines = [f'curl -sS -H "Authorization: Bearer $PORTAL_TOKEN" -X {method} \\']
    lines += ["  -H 'x-keyfactor-requested-with: APIClient' \\"]
    lines += [f'  "$PORTAL_URL/KeyfactorAPI{path}"' + (" \\" if body else "")]
    if body:
        lines += [f"  --json '{_compact(body)}'"]
    return "\n".join(lines)


def _python(method: str, path: str, body: str) -> str:
    sent = f"json.dumps({json.loads(body)!r}).encode()" if body else "None"
    return "\n".join(
        [
            "import json, os, urllib.request",
            "",
            "request = urllib.request.Request(",
            f'    os.environ["PORTAL_URL"] + "/KeyfactorAPI{path}",',
            f'    method="{method}",',
            f"    data={sent},",
            "    headers={",
            '        "Authorization": "Bearer " + os.environ["PORTAL_TOKEN"],',
            '        "x-keyfactor-requested-with": "APIClient",',
            '        "Content-Type": "application/json",',
            "    },",
            ")",
            "with urllib.request.urlopen(request) as answer:",
            "    print(answer.status, answer.read().decode())",
        ]
    )


def _compact(body: str) -> str:
    return json.dumps(json.loads(body), ensure_ascii=False)
