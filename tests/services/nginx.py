"""nginx as a test's server, with the deployment's own configuration.

Owns the part of the configuration that a distribution brings, and the folders and ports of the
sample replaced by scratch ones. What is tested is ``deploy/nginx.conf`` itself.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.services.processes import ROOT, Process, accepts

_MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/portal.conf;
}}
"""


def sample(replacements: Mapping[str, str]) -> str:
    """Return deploy/nginx.conf with each of these texts replaced; each must be there."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in replacements.items():
        assert old in text, f"deploy/nginx.conf no longer has {old!r}"
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(program: str, folder: Path, configuration: str) -> Iterator[Process]:
    """Run nginx with this http-level configuration until the block ends."""
    folder.mkdir(exist_ok=True)
    (folder / "portal.conf").write_text(configuration)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
    ports = [int(port) for port in re.findall(r"listen 127\.0\.0\.1:(\d+)", configuration)]
    process = Process(
        [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")],
        folder / "log",
    )
    try:
        process.wait_ready(lambda: all(accepts(("127.0.0.1", port)) for port in ports))
        yield process
    finally:
        process.stop(signal.SIGTERM)
