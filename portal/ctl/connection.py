"""Calls of the management REST API over HTTPS.

Owns headers, pages of lists, and what goes wrong on the way. A write has an Idempotency-Key, so
that a call that was cut off is sent again and done once.
"""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from socket import gaierror
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    ProxyHandler,
    Request,
    build_opener,
)
from uuid import uuid4

_SECONDS = 60
_PAGE = 500
_PAUSES = (1.0, 4.0)
"""Seconds before a call that was cut off is sent again."""
_BUSY = (502, 503, 504)
_UNFINISHED = "idempotency_unfinished"
_NOT_SENT = (ConnectionRefusedError, gaierror, ssl.SSLCertVerificationError)


class CallFailed(Exception):
    """The portal did not answer, or not as this API does."""


class _CutOff(CallFailed):
    """Nobody knows whether the call was carried out, or it was not: it can be sent again."""


class CallRefused(Exception):
    """The portal refused; ``code`` is stable, the message for a person."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class _NoRedirect(HTTPRedirectHandler):
    """A token goes nowhere but to the address that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


def bearer(token: str) -> str:
    """Return the Authorization header of an API token."""
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """Return the Authorization header of a user with a password (RFC 7617)."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True)
class Portal:
    """Where the API is, and who calls: ``authorization`` is that header."""

    url: str
    authorization: str
    ca_file: Path | None = None

    def get(self, *parts: str, **parameters: str | int) -> Any:
        """GET one resource. Raises CallFailed, CallRefused."""
        return self._call("GET", parts, parameters)[0]

    def post(self, *parts: str, body: Any = None, **parameters: str | int) -> Any:
        """POST JSON; None where the reply has no body. Raises CallFailed, CallRefused."""
        return self._call("POST", parts, parameters, body=body, more=_key())[0]

    def post_secret(self, *parts: str, body: Any) -> Any:
        """POST JSON whose reply has a secret in it: it is not kept, so this is sent once only.

        Raises CallFailed, CallRefused.
        """
        return self._sent("POST", parts, {}, body, {})[0]

    def submit(self, *parts: str, body: Any) -> Any:
        """POST JSON that becomes a job, and return the job. Raises CallFailed, CallRefused."""
        more = {"Prefer": "respond-async", **_key()}
        return self._call("POST", parts, {}, body=body, more=more)[0]

    def delete(self, *parts: str) -> Any:
        """DELETE one resource. Raises CallFailed, CallRefused."""
        return self._call("DELETE", parts, {}, more=_key())[0]

    def each(
        self,
        *parts: str,
        most: int | None = None,
        cursor: str = "cursor",
        **parameters: str | int,
    ) -> Iterator[Any]:
        """Yield the rows of a list, page by page; ``cursor`` is the parameter of the next one.

        Raises CallFailed, CallRefused.
        """
        seen = 0
        following: Mapping[str, str | int] = parameters
        while True:
            rows, headers = self._call("GET", parts, {"ReturnLimit": _PAGE, **following})
            for row in rows:
                if most is not None and seen >= most:
                    return
                seen += 1
                yield row
            found = headers.get("X-Next-Cursor")
            if not found:
                return
            following = {**parameters, cursor: found}

    def _call(
        self,
        method: str,
        parts: tuple[str, ...],
        parameters: Mapping[str, str | int],
        *,
        body: Any = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """Send a call that is done once however often it is sent: it reads, or it has a key."""
        for pause in _PAUSES:
            try:
                return self._sent(method, parts, parameters, body, more or {})
            except _CutOff:
                time.sleep(pause)
        return self._sent(method, parts, parameters, body, more or {})

    def _sent(
        self,
        method: str,
        parts: tuple[str, ...],
        parameters: Mapping[str, str | int],
        body: Any,
        more: Mapping[str, str],
    ) -> tuple[Any, Mapping[str, str]]:
        path = "/".join(quote(part, safe="") for part in parts)
        query = f"?{urlencode(parameters)}" if parameters else ""
        request = Request(  # noqa: S310  (`sign_in.py` lets no other scheme pass)
            f"{self.url.rstrip('/')}/KeyfactorAPI/{path}{query}",
            method=method,
            data=None if method == "GET" else json.dumps(body).encode(),
            headers={
                "Authorization": self.authorization,
                "Content-Type": "application/json",
                "Accept": "application/json",
                "x-keyfactor-requested-with": "APIClient",
                **more,
            },
        )
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        handlers: list[BaseHandler] = [_NoRedirect(), HTTPSHandler(context=context)]
        if urlsplit(self.url).scheme == "http":
            # It stays on this host: no proxy of the environment reads the token.
            handlers.append(ProxyHandler({}))
        opener = build_opener(*handlers)
        try:
            with opener.open(request, timeout=_SECONDS) as response:
                return _read(response), dict(response.headers)
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            kind = CallFailed if isinstance(reason, _NOT_SENT) else _CutOff
            raise kind(f"{self.url} does not answer: {reason}") from None


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def _read(response: HTTPResponse) -> Any:
    text = response.read()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise CallFailed("The reply is not JSON: is this the portal's address?") from None


def _refusal(error: HTTPError) -> Exception:
    if error.code in _BUSY:
        return _CutOff(f"The portal cannot answer now: HTTP {error.code}.")
    try:
        told = json.loads(error.read())
        if told["ErrorCode"] == _UNFINISHED:
            return _CutOff(str(told["Message"]))
        return CallRefused(error.code, str(told["ErrorCode"]), str(told["Message"]))
    except (ValueError, KeyError, TypeError, OSError):
        return CallFailed(f"HTTP {error.code}, and not in the form of this API.")
