"""A request is told how long it stood in line, by each of the portal's servers."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.services.ports import free_port
from tests.services.processes import accepts, gunicorn, running


def waited(port: int, path: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    return float(json.loads(connection.getresponse().read())["waited"])


@pytest.mark.parametrize("module", ["gunicorn_pages", "gunicorn_proxied"])
def test_the_second_request_for_one_thread_waits_for_the_first(
    short_folder: Path, module: str
) -> None:
    port = free_port()
    process = gunicorn(
        module,
        f"127.0.0.1:{port}",
        short_folder,
        short_folder / "log",
        {"PORTAL_WEB_THREADS": "1", "PORTAL_SECURE_COOKIES": "off"},
    )
    with running(process, lambda: accepts(("127.0.0.1", port))), ThreadPoolExecutor(2) as pool:
        figures = sorted(pool.map(lambda path: waited(port, path), ("/slow", "/slow")))
    assert figures[0] < 0.5 < figures[1]
