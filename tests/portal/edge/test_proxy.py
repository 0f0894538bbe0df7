"""Whose headers are believed, and which certificate a header then presents."""

from __future__ import annotations

import base64
import logging
import socket
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from orchestrators.protocol.codes import Code
from portal.edge.client_certificate import Presented, presented_certificate
from portal.edge.proxy import ProxyMiddleware
from portal.edge.request_id import RequestIdFilter, RequestIdMiddleware, current_request_id
from tests.services.certificates import Authority

SECRET = "a-shared-secret-of-the-proxy-0123456789"
PAIR = Authority().client("agent")
ONE_LINE = PAIR.pem.replace("\n", "")
BASE64 = base64.b64encode(PAIR.der).decode()


class UnixPeer:
    """What gunicorn hands over for a connection on its unix socket."""

    family = socket.AF_UNIX


def through(
    *, source: str = "header", addresses: tuple[str, ...] = ("unix",), secret: str = "", **meta: Any
) -> tuple[HttpRequest, Presented]:
    """Pass a request with these WSGI values through the proxy's middleware."""
    request = RequestFactory().get("/", **meta)
    config = replace(
        settings.CONFIG,
        certificate_source=source,
        certificate_header="X-ARR-ClientCert",
        proxy_addresses=addresses,
        proxy_secret=secret,
    )
    seen: list[Presented] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(presented_certificate(request))
        return HttpResponse()

    with override_settings(CONFIG=config):
        ProxyMiddleware(view)(request)
    return request, seen[0]


def certificate(**values: Any) -> Presented:
    return through(HTTP_X_ARR_CLIENTCERT=values.pop("value", BASE64), **values)[1]


UNIX = {"gunicorn.socket": UnixPeer()}
SENT = {"HTTP_X_PORTAL_PROXY_SECRET": SECRET}
BELIEVED = {
    "unix socket": {**UNIX},
    "unix socket with a secret": {**UNIX, **SENT, "secret": SECRET},
    "address with a secret": {
        **SENT,
        "secret": SECRET,
        "addresses": ("10.0.0.7",),
        "REMOTE_ADDR": "10.0.0.7",
    },
    "network with a secret": {
        **SENT,
        "secret": SECRET,
        "addresses": ("unix", "10.0.0.0/24"),
        "REMOTE_ADDR": "10.0.0.9",
    },
    "IPv6 with a secret": {
        **SENT,
        "secret": SECRET,
        "addresses": ("2001:db8::/64",),
        "REMOTE_ADDR": "2001:db8::5",
    },
}
IGNORED = {
    "no proxy is configured": {**UNIX, "addresses": ()},
    "the unix socket is not configured": {**UNIX, "addresses": ("10.0.0.7",)},
    "the unix socket without its secret": {**UNIX, "secret": SECRET},
    "an address without a configured secret": {
        "addresses": ("10.0.0.7",),
        "REMOTE_ADDR": "10.0.0.7",
    },
    "an address without the secret": {
        "secret": SECRET,
        "addresses": ("10.0.0.7",),
        "REMOTE_ADDR": "10.0.0.7",
    },
    "an address with a wrong secret": {
        "secret": SECRET + "x",
        **SENT,
        "addresses": ("10.0.0.7",),
        "REMOTE_ADDR": "10.0.0.7",
    },
    "another address with the secret": {
        **SENT,
        "secret": SECRET,
        "addresses": ("10.0.0.7",),
        "REMOTE_ADDR": "10.0.0.8",
    },
    "the socket is the source": {**UNIX, "source": "socket"},
    "there is no source": {**UNIX, "source": "none"},
}


@pytest.mark.parametrize("values", BELIEVED.values(), ids=BELIEVED)
def test_the_header_of_an_authenticated_proxy_is_believed(values: dict[str, Any]) -> None:
    assert certificate(**values) == Presented(PAIR.der)


@pytest.mark.parametrize("values", IGNORED.values(), ids=IGNORED)
def test_any_other_header_is_ignored(values: dict[str, Any]) -> None:
    assert certificate(**values) == Presented(None)


@pytest.mark.parametrize(
    "value",
    [ONE_LINE, quote(PAIR.pem), quote(PAIR.pem, safe=""), BASE64, f":{BASE64}:", f" {BASE64} "],
    ids=["PEM in one line", "escaped", "all escaped", "ARR", "RFC 9440", "padded"],
)
def test_every_form_of_the_header_is_read(value: str) -> None:
    assert certificate(value=value, **UNIX) == Presented(PAIR.der)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_header_is_no_certificate(value: str) -> None:
    assert certificate(value=value, **UNIX) == Presented(None)


@pytest.mark.parametrize(
    "value",
    [f"{BASE64},{BASE64}", f"{BASE64}, ", ONE_LINE * 2, f":{BASE64}:, :{BASE64}:", "x", "%%%"],
    ids=["two", "one and none", "two PEM", "two of RFC 9440", "a letter", "percent signs"],
)
def test_two_values_or_none_that_can_be_read_is_the_proxys_fault(value: str) -> None:
    assert certificate(value=value, **UNIX) == Presented(None, Code.CERTIFICATE_HEADER)


def test_a_trusted_proxy_without_the_header_presents_nothing() -> None:
    class TlsPeer(UnixPeer):
        def getpeercert(self, binary_form: bool) -> bytes:
            raise AssertionError("no fallback to the socket")

    assert through(**{"gunicorn.socket": TlsPeer()})[1] == Presented(None)


def test_the_socket_source_reads_the_socket() -> None:
    class TlsPeer:
        family = socket.AF_INET

        def getpeercert(self, binary_form: bool) -> bytes:
            assert binary_form
            return PAIR.der

    assert through(source="socket", **{"gunicorn.socket": TlsPeer()})[1] == Presented(PAIR.der)
    assert through(source="socket", **UNIX)[1] == Presented(None)


FORWARDED = {
    "HTTP_X_FORWARDED_FOR": "192.0.2.1, 198.51.100.7",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_REAL_IP": "192.0.2.1",
    "HTTP_FORWARDED": "for=192.0.2.1",
    "HTTP_X_REQUEST_ID": "proxy-0001",
}


def test_an_authenticated_proxy_says_who_the_client_is() -> None:
    request, _ = through(**UNIX, **FORWARDED)
    assert (request.META["REMOTE_ADDR"], request.scheme) == ("198.51.100.7", "https")


def test_nobody_else_says_who_the_client_is() -> None:
    request, _ = through(**FORWARDED, REMOTE_ADDR="203.0.113.9")
    assert (request.META["REMOTE_ADDR"], request.scheme) == ("203.0.113.9", "http")
    assert not set(FORWARDED) & set(request.META)


def test_an_address_that_is_none_is_not_passed_on() -> None:
    request, _ = through(**UNIX, HTTP_X_FORWARDED_FOR="<script>")
    assert request.META["REMOTE_ADDR"] == ""


def test_the_secret_goes_no_further() -> None:
    request, _ = through(**UNIX, **SENT, secret=SECRET)
    assert SECRET not in str(request.META)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("proxy-0001", True),
        ("a1b2c3d4e5f60718", True),
        ("short", False),
        ("x" * 65, False),
        ("forged\nINFO line", False),
        ("", False),
    ],
)
def test_only_a_sane_request_id_is_taken_over(given: str, kept: bool) -> None:
    request = RequestFactory().get("/", HTTP_X_REQUEST_ID=given)
    within: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        within.append(current_request_id())
        return HttpResponse()

    response = RequestIdMiddleware(view)(request)
    assert within == [response["X-Request-ID"]]
    assert (within[0] == given) is kept
    assert len(within[0]) >= 8
    assert current_request_id() == "-"


def test_every_log_line_names_its_request() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "m", None, None)
    assert RequestIdFilter().filter(record)
    assert record.request_id == "-"  # type: ignore[attr-defined]
