"""Bodies in chunks, taken apart by the server that runs in production, up to the application."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.test.client import ClientHandler
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.wsgi import create

from orchestrators.models import Orchestrator
from portal.rest.parsers import MOST_BYTES
from tests.portal.rest.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ADDRESS = ("127.0.0.1", 12345)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def reset(caller: Caller, body: bytes, coding: str = "chunked") -> tuple[int, dict[str, Any]]:
    """Send a Reset as raw bytes; return the status and the reply."""
    headers = {
        "Host": "testserver",
        "x-keyfactor-requested-with": "APIClient",
        "Content-Type": "application/json",
        "Transfer-Encoding": coding,
        **caller.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raw = f"POST /KeyfactorAPI/Agents/Reset HTTP/1.1\r\n{lines}\r\n".encode() + body
    ours, theirs = socket.socketpair()
    config = Config()
    with ours, theirs:
        request = next(get_parser(config, iter([raw]), ADDRESS))
        _, environ = create(request, ours, ADDRESS, ADDRESS, config)
        response = ClientHandler()(environ)
    return response.status_code, json.loads(response.content or b"{}")


@pytest.mark.parametrize("coding", ["chunked", "Chunked"])
@pytest.mark.parametrize("cuts", [(1, 2), (0, 0), (20, 30)], ids=["early", "whole", "in an id"])
def test_a_body_in_chunks_is_read_as_one(
    admin: Caller, orchestrator: Callable[..., Orchestrator], coding: str, cuts: tuple[int, int]
) -> None:
    body = json.dumps([str(orchestrator().pk)]).encode()
    pieces = (body[: cuts[0]], body[cuts[0] : cuts[1]], body[cuts[1] :])
    assert reset(admin, chunks(*filter(None, pieces)), coding) == (204, {})
    assert Orchestrator.objects.get().generation == 1


HALF = MOST_BYTES // 2
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no chunk at all": (chunks(), 400, "body_wrong_shape"),
    "one byte too many": (chunks(b" " * HALF, b" " * HALF, b" "), 413, "body_too_large"),
    "far too many, without an end": (
        chunks(*[b" " * HALF] * 3, end=b"ffffff\r\n "),
        *(413, "body_too_large"),
    ),
    "a chunk without a size": (b"x\r\n[]\r\n0\r\n\r\n", 400, "request_unreadable"),
    "a chunk that is longer than its size": (b"1\r\n[]\r\n0\r\n\r\n", 400, "request_unreadable"),
    "an end in the middle of a chunk": (b"a\r\n[", 400, "request_unreadable"),
    "no last chunk": (chunks(b"[]", end=b""), 400, "request_unreadable"),
}


@pytest.mark.parametrize(("body", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_body_in_chunks_is_refused_and_nothing_changes(
    admin: Caller,
    orchestrator: Callable[..., Orchestrator],
    body: bytes,
    status: int,
    code: str,
) -> None:
    orchestrator()
    told, reply = reset(admin, body)
    assert (told, reply["ErrorCode"]) == (status, code)
    assert Orchestrator.objects.get().generation == 0


def test_who_may_not_write_is_refused_before_a_chunk_is_read(
    orchestrator: Callable[..., Orchestrator],
) -> None:
    orchestrator()
    told, reply = reset(Caller(), b"not a chunk")
    assert (told, reply["ErrorCode"]) == (401, "not_authenticated")
