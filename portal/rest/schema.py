"""The OpenAPI 3.1 document, made of what the views declare.

Owns how permissions, parameters, bodies and replies of `base.ApiView` are written in OpenAPI, and
nothing that they say. The document is checked in beside this file (`openapi.json`); a test fails
where the two differ, and ``make openapi`` writes it anew.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import (
    Any,
    Literal,
    NotRequired,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.permissions import SAFE_METHODS

from portal.access.catalogue import entry_for
from portal.rest.base import ApiView
from portal.rest.codes import CODES, ErrorCode
from portal.rest.dry_run import DryRunResponse
from portal.rest.jobs_response import BulkJobResponse
from portal.rest.negotiation import PROBLEM
from portal.rest.parameter_texts import HEADERS, PARAMETERS

DOCUMENT = Path(__file__).with_name("openapi.json")
_REFUSALS = (400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 415, 422, 429, 503)
_IN_PATH = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_SCALARS: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
    Any: {},
}


class Problem(TypedDict):
    """The body of every refusal: what existing clients read, and the members of RFC 9457."""

    Message: str
    ErrorCode: str
    type: str
    title: str
    status: int
    detail: str
    instance: str
    FailedOperations: NotRequired[list[dict[str, str]]]


def document() -> dict[str, Any]:
    """Return the document as it is checked in."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


def generated() -> dict[str, Any]:
    """Return the document that the views make."""
    schema: dict[str, Any] = Generator().get_schema(public=True)
    schema["servers"] = [{"url": "/KeyfactorAPI"}]
    schema["security"] = [{"basic": []}, {"token": []}, {"session": []}]
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {
        "basic": {"type": "http", "scheme": "basic"},
        "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of a page, on the pages' address; writes need X-CSRFToken.",
        },
    }
    components["responses"] = {
        f"Refused{status}": {
            "description": ", ".join(sorted(c for c in CODES if CODES[c].status == status)),
            "content": {
                media: {"schema": {"$ref": "#/components/schemas/Problem"}}
                for media in ("application/json", PROBLEM)
            },
        }
        for status in _REFUSALS
    }
    plain: dict[str, Any] = json.loads(json.dumps(schema))
    return plain


class Generator(SchemaGenerator):
    """drf-spectacular's generator over the table of endpoints instead of the URL patterns."""

    def _initialise_endpoints(self) -> None:
        from portal.rest.status import documented
        from portal.rest.urls import OPERATIONS

        self.endpoints = [
            (f"/{documented(route)}", route, method, view.as_view())
            for route, view in OPERATIONS
            for method in view.needs
        ]


class Operation(AutoSchema):
    """One operation of the document, from a view's declarations."""

    view: ApiView

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> dict[str, Any]:
        view = type(self.view)
        schemas = _Schemas(registry)
        if not registry._components:
            schemas.of(Problem)
        needed = [entry_for(p).access_string for p in view.needed(method)]
        may = [entry_for(p).access_string for p in view.instead] if method != "GET" else []
        summary, about = _texts(view, method)
        rights = " and ".join(f"`{n}`" for n in needed) or "any sign-in"
        others = f" (or {', '.join(f'`{n}`' for n in may)})" if may else ""
        operation: dict[str, Any] = {
            "operationId": f"{method.lower()}{view.__name__}",
            "tags": [path.split("/")[1]],
            "summary": summary,
            "description": f"{about}\n\nNeeds {rights}{others}.".strip(),
            "x-permissions": needed,
            "parameters": [*_parameters(view, method, path)],
        }
        if method in view.takes:
            sent = schemas.of(view.takes[method], is_sent=True)
            content: dict[str, Any] = {"application/json": {"schema": sent}}
            if view.takes_csv:
                content["text/csv"] = {"schema": {"type": "string"}}
            operation["requestBody"] = {
                "required": _must_be_sent(view.takes[method]),
                "content": content,
            }
        operation["responses"] = dict(_responses(view, method, path, schemas))
        return operation


def _must_be_sent(shape: Any) -> bool:
    """Say whether a body may not be left out: it is a list, or has a member that is required."""
    return not is_typeddict(shape) or bool(shape.__required_keys__)


def _texts(view: type[ApiView], method: str) -> tuple[str, str]:
    """Return summary and description: the docstring without the call that it begins with."""
    lines = inspect.cleandoc(view.__doc__ or "").split("\n\n", 1)
    first = " ".join(lines[0].split())
    call, colon, rest = first.partition(": ")
    summary = view.summaries.get(method) or (rest if colon and "/" in call else "") or first
    about = " ".join(lines[1].split()) if len(lines) > 1 else ""
    return summary[:1].upper() + summary[1:].rstrip("."), about


def _parameters(view: type[ApiView], method: str, path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": dict(_IN_PATH)}
    for name in sorted(view.parameters_for(method)):
        text = PARAMETERS[name]
        yield {
            "name": text.name,
            "in": "query",
            "required": text.is_required,
            "description": text.about,
            "schema": dict(text.schema),
        }
    yield {
        "name": "x-keyfactor-requested-with",
        "in": "header",
        "required": True,
        "schema": {"type": "string", "enum": ["APIClient", "XMLHttpRequest"]},
    }
    for header in (*view.reads_headers, *_asked_for(view, method)):
        yield {
            "name": header,
            "in": "header",
            "required": False,
            "description": HEADERS[header],
            "schema": {"type": "string"},
        }


def _asked_for(view: type[ApiView], method: str) -> Iterator[str]:
    """Yield the headers of `writing.py` that a call takes."""
    if method in SAFE_METHODS:
        return
    if view.keeps_replies:
        yield "Idempotency-Key"
    if method in view.versioned:
        yield "If-Match"
    if view.has_order:
        yield "Prefer"


def _responses(
    view: type[ApiView], method: str, path: str, schemas: _Schemas
) -> Iterator[tuple[str, Any]]:
    told = ["X-Request-ID", "RateLimit", "RateLimit-Policy"]
    if "cursor" in view.parameters_for(method):
        told += ["X-Next-Cursor", "Link"]
    headers = {name: _header(name) for name in told}
    is_write = method not in SAFE_METHODS
    takes_dry_run = is_write and view.takes_dry_run()
    if is_write and view.keeps_replies:
        headers["Idempotency-Replayed"] = _header("Idempotency-Replayed")
    if method == "GET" and method in view.versioned:
        headers["ETag"] = _header("ETag")
    shapes = [view.returns[method]] if method in view.returns else []
    if takes_dry_run:
        shapes.append(DryRunResponse)
    if shapes:
        found = [schemas.of(shape) for shape in shapes]
        about = "Done." if method in view.returns else "What it would do, with dry_run."
        yield "200", _reply(about, headers, found[0] if len(found) == 1 else {"anyOf": found})
    if method not in view.returns:
        yield "204", {"description": "Done.", "headers": headers}
    if view.has_order and is_write:
        watched = {name: _header(name) for name in ("Location", "Preference-Applied")}
        job = schemas.of(BulkJobResponse)
        yield "202", _reply("A job, with Prefer: respond-async.", {**headers, **watched}, job)
    for status in _REFUSALS:
        # An id in the last place may be the name of another call, which takes another method.
        if status == 405 and not path.endswith("}"):
            continue
        if status in (412, 422) and not is_write:
            continue
        yield str(status), {"$ref": f"#/components/responses/Refused{status}"}


def _header(name: str) -> dict[str, Any]:
    return {"description": HEADERS[name], "schema": {"type": "string"}}


def _reply(about: str, headers: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"description": about, "headers": headers, "content": content}


class _Schemas:
    """Types as schemas; TypedDicts become components under their names."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def of(self, hint: Any, *, is_sent: bool = False) -> dict[str, Any]:
        """Return the schema of a type; one that is sent has no other member and may leave out."""
        if is_typeddict(hint):
            return self._component(hint, is_sent=is_sent)
        origin = get_origin(hint)
        if origin is list:
            return {"type": "array", "items": self.of(get_args(hint)[0], is_sent=is_sent)}
        if origin is dict:
            inner = self.of(get_args(hint)[1], is_sent=is_sent)
            return {"type": "object", "additionalProperties": inner}
        if origin is Literal:
            return {"enum": list(get_args(hint))}
        if origin in (Union, types.UnionType):
            found = [self.of(each, is_sent=is_sent) for each in get_args(hint)]
            if all(set(each) == {"type"} for each in found):
                return {"type": [each["type"] for each in found]}
            return {"anyOf": found}
        return dict(_SCALARS[hint])

    def _component(self, shape: Any, *, is_sent: bool) -> dict[str, Any]:
        name = shape.__name__
        component = ResolvedComponent(
            name=name, type=ResolvedComponent.SCHEMA, object=shape, schema={"type": "object"}
        )
        if component in self._registry:
            assert self._registry[component].object is shape, f"two shapes are called {name}"
            return dict(component.ref)
        self._registry.register(component)
        properties, required = {}, []
        for member, hint in get_type_hints(shape, include_extras=True).items():
            if get_origin(hint) is NotRequired:
                (hint,) = get_args(hint)
                # What need not be sent may be sent as null.
                hint = Union[hint, None] if is_sent else hint  # noqa: UP007 (a value, no annotation)
            else:
                required.append(member)
            properties[member] = self.of(hint, is_sent=is_sent)
        if shape is Problem:
            properties["ErrorCode"] = {"type": "string", "enum": sorted(map(str, ErrorCode))}
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if is_sent:
            schema["additionalProperties"] = False
        if (about := inspect.cleandoc(shape.__doc__ or "")) and "dict(" not in about:
            schema["description"] = " ".join(about.split())
        component.schema = schema
        return dict(component.ref)


def write() -> None:
    """Write the document."""
    DOCUMENT.write_text(json.dumps(generated(), indent=1, ensure_ascii=False) + "\n")
